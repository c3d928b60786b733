//! Damage: durable bytes that are not what was written, and what they held as far as that is known.

use std::fmt;

use crate::types::{error::Error, ids::SegmentId};

/// A range of a segment that is not what was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The kind of damage.
    pub kind: DamageKind,
    /// The segment.
    pub segment: SegmentId,
    /// Where the damage begins in the segment, in bytes.
    pub offset: u32,
    /// The first damaged group, if that is known.
    pub group: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// The lost records, if a copy of their descriptors survived.
    pub lost: Vec<Descriptor>,
    /// Whether further records are lost that no descriptor names.
    pub unknown: bool,
}

/// The kind of a damage; each kind is repaired in a different way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// Durable groups are not intact, or are missing from their segment: records are lost.
    Records,
    /// The log went on after its newest segment, and nothing of that was found.
    End,
    /// A segment is missing that a checkpoint, or the segment after it, names.
    Missing,
    /// The device fails to read a part of a segment.
    Unreadable,
    /// The second copy of a group's descriptors is not intact. Nothing is lost.
    Descriptors,
    /// A footer was written and is not intact. Nothing is lost: the segment is scanned instead.
    Footer,
}

impl Damage {
    /// A footer that was written and is not intact: the segment is scanned instead, and nothing is lost.
    pub(crate) fn footer(segment: SegmentId) -> Self {
        let what = "the footer is not intact; the groups are read instead".to_owned();
        Self { kind: DamageKind::Footer, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: false }
    }

    /// A segment that cannot be read.
    pub(crate) fn unreadable(segment: SegmentId, error: &Error) -> Self {
        let what = format!("the segment cannot be read: {error:#}");
        Self { kind: DamageKind::Unreadable, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: true }
    }

    /// A missing segment that a checkpoint names.
    pub(crate) fn missing(segment: SegmentId) -> Self {
        let what = "the segment is missing: the checkpoint names it as live".to_owned();
        Self { kind: DamageKind::Missing, segment, offset: 0, group: None, what, lost: Vec::new(), unknown: true }
    }
}

/// A file of the log that is not as the log left it, or could not be read completely.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OddFile {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for OddFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)
    }
}

/// What a record holds, stored apart from the record: if the record is lost, it says what is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The record's owner.
    pub owner: u64,
    /// The first of the record's numbers.
    pub first: u64,
    /// How many numbers the record holds.
    pub count: u32,
    /// The record's kind.
    pub kind: u8,
}
