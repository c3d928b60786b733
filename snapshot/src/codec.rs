//! Unfinished.
impl crate::Codec {
    pub(crate) fn check(self) -> crate::Result<()> {
        Ok(())
    }
}
