//! Why bytes are not metadata of an object.

/// Bytes are not the metadata of an object, or fields cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The bytes end before the header or the archive does.
    #[error("metadata of an object: {len} bytes, where {expected} are expected")]
    Length {
        /// How many bytes there are.
        len: usize,
        /// How many the header states, or is long itself.
        expected: u64,
    },
    /// The bytes begin with something else.
    #[error("not the metadata of an object")]
    Foreign,
    /// They were written by a later version of this crate.
    #[error("metadata of an object in version {found} of their format, where {supported} is the last one known")]
    Newer {
        /// The version of the bytes.
        found: u16,
        /// The highest version that is read.
        supported: u16,
    },
    /// The checksum is another one.
    #[error("metadata of an object are damaged: checksum {found:08x}, where {expected:08x} is stated")]
    Checksum {
        /// Of the bytes that are there.
        found: u32,
        /// What the header states.
        expected: u32,
    },
    /// The archive is none of this format, though its checksum is right.
    #[error("metadata of an object are malformed")]
    Malformed,
    /// Fields contradict each other.
    #[error("metadata of an object contradict themselves: {0}")]
    Inconsistent(&'static str),
}
