//! Items that a walk over the log finds: records and losses.

use crate::{
    format::record::Record,
    types::{
        damage::Descriptor,
        ids::{Place, SegmentId, Sequence},
    },
};

/// An item that a walk over the log finds, in the order of the log.
#[derive(Clone, Debug)]
pub enum Scanned {
    /// A record, verified.
    Record(Record, Place),
    /// A loss of durable records.
    Lost(Loss),
}

/// Durable records that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// One record, whose position and descriptor are known.
    Record {
        /// The record's sequence.
        sequence: Sequence,
        /// The record's segment.
        segment: SegmentId,
        /// What the record held.
        descriptor: Descriptor,
    },
    /// One record that had been moved to this segment. Its sequence is lost with it.
    Moved {
        /// The segment that it was moved to.
        segment: SegmentId,
        /// What the record held.
        descriptor: Descriptor,
    },
    /// Any number of records, of any owners: their descriptors are lost as well. No record of an owner is among them if
    /// a later record of it, or a checkpoint, names the last known one as its predecessor.
    Unknown {
        /// Inclusive lower bound of their sequences.
        from: Sequence,
        /// Exclusive upper bound of their sequences.
        until: Sequence,
    },
}
