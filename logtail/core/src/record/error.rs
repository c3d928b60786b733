//! Why an entry is no record.

/// Why an entry of the log is no record of the log tail. The engine has verified its bytes, so it was written by
/// something else: another program, or a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It ends before its kind and position do.
    #[error("the record is too short")]
    Short,
    /// Its version is not known here.
    #[error("version {0} of records is not known here")]
    Version(u8),
    /// Its kind is not known here.
    #[error("records of kind {0} are not known here")]
    Kind(u8),
    /// Its fields do not fill it.
    #[error("the fields of a record of kind {kind} are malformed")]
    Malformed {
        /// The kind.
        kind: u8,
    },
}
