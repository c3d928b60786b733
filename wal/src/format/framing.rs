//! Parameters that all frames of one log share.

/// The unit and the checksum seed of a log's frames; both follow from its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Frames begin and end at multiples of this many bytes: the unit of writes.
    pub(crate) pad: usize,
    /// The initial value of the checksums: those of another log do not match.
    pub(crate) seed: u32,
}
