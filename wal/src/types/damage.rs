//! What was durable and is not what was written: where, and what it held as far as that can be told.

use std::fmt;

use crate::types::{error::Error, ids::SegmentId};

/// A stretch of a segment that is not what was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Damage {
    /// What kind of damage it is.
    pub kind: DamageKind,
    /// The segment.
    pub segment: SegmentId,
    /// Where in it, in bytes.
    pub offset: u32,
    /// The first group that is hit, where that is known.
    pub group: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What is lost, if a copy of the descriptors survived.
    pub lost: Vec<Descriptor>,
    /// Records are lost that no descriptor tells of.
    pub unknown: bool,
}

/// What kind of damage was found: each is mended in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// Durable groups are not intact, or not to be found in their segment: records are lost.
    Records,
    /// The log went on behind its newest segment, and nothing of that is there.
    End,
    /// A segment that a checkpoint, or the one begun behind it, names is not there.
    Missing,
    /// The device does not give what a segment holds.
    Unreadable,
    /// The second copy of what a group says that it holds is not intact. Nothing is lost.
    Descriptors,
    /// A footer was written and is not intact. Nothing is lost: the segment is read in its place.
    Footer,
}

impl Damage {
    /// A footer that was written and is not intact: the segment is read in its place, and nothing is lost.
    pub(crate) fn footer(segment: SegmentId) -> Self {
        let what = "the footer is not intact; nothing is lost".to_owned();
        Self { kind: DamageKind::Footer, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: false }
    }

    /// A segment that cannot be read.
    pub(crate) fn unreadable(segment: SegmentId, error: &Error) -> Self {
        let what = format!("the segment cannot be read: {error}");
        Self { kind: DamageKind::Unreadable, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: true }
    }

    /// A segment that a checkpoint names and that is not there.
    pub(crate) fn missing(segment: SegmentId) -> Self {
        let what = "the segment is missing: the checkpoint names it as live".to_owned();
        Self { kind: DamageKind::Missing, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: true }
    }
}

/// A file of the log that is not as the log keeps it, or could not be read as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OddFile {
    /// Its name.
    pub name: String,
    /// What is odd about it.
    pub what: String,
}

impl fmt::Display for OddFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)
    }
}

/// What a record held, said apart from the record: names what is lost when the record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Whose record it was.
    pub owner: u64,
    /// Its first number.
    pub first: u64,
    /// How many numbers.
    pub count: u32,
    /// Its kind.
    pub kind: u8,
}
