//! What the frames of one log's bytes have in common.

/// The unit and the checksums of a log's frames; both follow from its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Frames begin and end at multiples of this, in bytes: it is the unit of writes.
    pub(crate) pad: usize,
    /// What the checksums begin with, so that those of another log are wrong.
    pub(crate) seed: u32,
}
