//! What a walk over the log finds: records, and what is lost.

use crate::{
    format::record::Record,
    types::{
        damage::Descriptor,
        ids::{Place, SegmentId, Sequence},
    },
};

/// What a walk over the log finds, in the order of the log.
#[derive(Clone, Debug)]
pub enum Scanned {
    /// A record, verified.
    Record(Record, Place),
    /// Something that was durable and is not there.
    Lost(Loss),
}

/// Records that were durable and are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// One record, of which all is known but its body and the rest of its header.
    Record {
        /// The sequence that it had.
        sequence: Sequence,
        /// The segment that it was in.
        segment: SegmentId,
        /// What it held.
        descriptor: Descriptor,
    },
    /// One record that was moved to this segment and kept the sequence that it had, which is lost with it.
    Moved {
        /// The segment that it was in.
        segment: SegmentId,
        /// What it held.
        descriptor: Descriptor,
    },
    /// Any number of records, of any owners: what tells of them is lost as well. Of an owner nothing is missing here
    /// if a later record of it, or a checkpoint, proves it by naming the one that was known last.
    Unknown {
        /// No record before this sequence is among them.
        from: Sequence,
        /// No record from this sequence on is among them.
        until: Sequence,
    },
}
