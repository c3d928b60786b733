//! The operations on a shard, as they are collected, written and recovered.
//!
//! Each is one record of the log. What the header of a record holds for which operation, and what its body, is said
//! at [`Operation::meta`] and [`Change::decode`]; the entries' own layout is in `entry_table`.

use logboom_wal::{BodyWriter, Meta, Record, Sequence};

use crate::{
    Boundary, ShardId,
    buffers::{Buffers, Part},
    entry_table::{self, ROW},
};

const APPEND: u8 = 1;
const TRUNCATE: u8 = 2;
const COMPACT: u8 = 3;
const RESET: u8 = 4;
const DESTROY: u8 = 5;
const HARD_STATE: u8 = 6;
const COMMIT_HINT: u8 = 7;
const PUT: u8 = 8;
const DELETE: u8 = 9;

/// Bytes in front of the key of a `PUT`: the key's length.
const KEY_LEN: usize = 2;

/// An operation on a shard, its bytes elsewhere in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Entries of one term; `bytes` of context and payload.
    Append {
        first: u64,
        term: u64,
        items: Part,
        bytes: u32,
    },
    /// Makes room for an append at `index`; written as a truncation or a reset, if at all.
    Cut {
        index: u64,
    },
    Truncate {
        keep: u64,
    },
    /// The term is known when the batch is submitted.
    Compact {
        index: u64,
        term: Option<u64>,
    },
    Reset {
        boundary: Option<Boundary>,
    },
    Destroy,
    HardState(Part),
    CommitHint(Part),
    Put {
        key: Part,
        value: Part,
    },
    Delete {
        key: Part,
    },
}

/// What a record says: an operation, its bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<'b> {
    Append { first: u64, count: u64, term: u64 },
    Truncate { keep: u64 },
    Compact { index: u64, term: u64 },
    Reset { boundary: Option<Boundary> },
    Destroy,
    HardState(&'b [u8]),
    CommitHint(&'b [u8]),
    Put { key: &'b [u8], value: &'b [u8] },
    Delete { key: &'b [u8] },
}

impl Operation {
    /// The size of its record's body in bytes.
    pub(crate) fn body_len(&self) -> usize {
        match *self {
            Self::Append { items, bytes, .. } => items.len as usize * ROW + bytes as usize,
            Self::HardState(part) | Self::CommitHint(part) | Self::Delete { key: part } => part.len as usize,
            Self::Put { key, value } => KEY_LEN + key.len as usize + value.len as usize,
            Self::Cut { .. } | Self::Truncate { .. } | Self::Compact { .. } | Self::Reset { .. } | Self::Destroy => 0,
        }
    }

    /// Why it may not be lazy: raft's safety, or a reader's view of the log, hangs on its order among acknowledged
    /// operations.
    pub(crate) fn durable_only(&self) -> Option<&'static str> {
        match self {
            Self::Cut { .. } => Some("an overwriting append"),
            Self::Truncate { .. } => Some("a truncation"),
            Self::Reset { .. } => Some("a reset"),
            Self::Destroy => Some("a destruction"),
            Self::HardState(_) => Some("a hard state"),
            Self::Append { .. }
            | Self::Compact { .. }
            | Self::CommitHint(_)
            | Self::Put { .. }
            | Self::Delete { .. } => None,
        }
    }

    /// Whether it may free entries, and with them segments.
    pub(crate) fn frees(&self) -> bool {
        matches!(
            self,
            Self::Cut { .. } | Self::Truncate { .. } | Self::Compact { .. } | Self::Reset { .. } | Self::Destroy
        )
    }

    /// The header of its record.
    pub(crate) fn meta(&self, shard: ShardId, prev: Sequence) -> Meta {
        let (kind, first, count, attr) = match *self {
            Self::Append { first, term, items, .. } => (APPEND, first, items.len, term),
            Self::Truncate { keep } => (TRUNCATE, keep, 0, 0),
            Self::Compact { index, term } => (COMPACT, index, 0, term.unwrap_or(0)),
            Self::Reset { boundary: Some(boundary) } => (RESET, boundary.index, 1, boundary.term),
            Self::Reset { boundary: None } => (RESET, 0, 0, 0),
            Self::Destroy => (DESTROY, 0, 0, 0),
            Self::HardState(_) => (HARD_STATE, 0, 0, 0),
            Self::CommitHint(_) => (COMMIT_HINT, 0, 0, 0),
            Self::Put { .. } => (PUT, 0, 0, 0),
            Self::Delete { .. } => (DELETE, 0, 0, 0),
            // Never planned: a cut is planned as what it comes down to.
            Self::Cut { index } => (TRUNCATE, index, 0, 0),
        };
        Meta { owner: shard.0, kind, first, count, attr, prev }
    }

    /// Puts the body of its record, [`Operation::body_len`] bytes.
    pub(crate) fn put_body(&self, buffers: &Buffers<'_>, body: &mut BodyWriter<'_>) {
        match *self {
            Self::Append { items, .. } => entry_table::put(buffers.items(items), &mut |bytes| body.put(bytes)),
            Self::HardState(part) | Self::CommitHint(part) | Self::Delete { key: part } => {
                body.put(buffers.bytes(part))
            }
            Self::Put { key, value } => {
                // The limit of keys is far below.
                body.put(&u16::try_from(key.len).unwrap_or(u16::MAX).to_le_bytes());
                body.put(buffers.bytes(key));
                body.put(buffers.bytes(value));
            }
            Self::Cut { .. } | Self::Truncate { .. } | Self::Compact { .. } | Self::Reset { .. } | Self::Destroy => {}
        }
    }

    /// What it does; `None` for what is never written.
    pub(crate) fn change<'b>(&self, buffers: &'b Buffers<'_>) -> Option<Change<'b>> {
        Some(match *self {
            Self::Append { first, term, items, .. } => Change::Append { first, count: u64::from(items.len), term },
            Self::Truncate { keep } => Change::Truncate { keep },
            Self::Compact { index, term } => Change::Compact { index, term: term? },
            Self::Reset { boundary } => Change::Reset { boundary },
            Self::Destroy => Change::Destroy,
            Self::HardState(part) => Change::HardState(buffers.bytes(part)),
            Self::CommitHint(part) => Change::CommitHint(buffers.bytes(part)),
            Self::Put { key, value } => Change::Put { key: buffers.bytes(key), value: buffers.bytes(value) },
            Self::Delete { key } => Change::Delete { key: buffers.bytes(key) },
            Self::Cut { .. } => return None,
        })
    }
}

impl<'b> Change<'b> {
    /// What a recovered record says, if this version knows its kind and its body has the right form.
    pub(crate) fn decode(record: &'b Record) -> Option<Self> {
        let (first, body) = (record.first(), record.body());
        Some(match record.kind() {
            // Never of nothing: the index would have a place for no entry.
            APPEND if record.count() == 0 => return None,
            APPEND => {
                entry_table::EntryTable::parse(body, record.count())?;
                Self::Append { first, count: u64::from(record.count()), term: record.attr() }
            }
            TRUNCATE => Self::Truncate { keep: first },
            COMPACT => Self::Compact { index: first, term: record.attr() },
            RESET => {
                let boundary = Boundary { index: first, term: record.attr() };
                Self::Reset { boundary: (record.count() == 1).then_some(boundary) }
            }
            DESTROY => Self::Destroy,
            HARD_STATE => Self::HardState(body),
            COMMIT_HINT => Self::CommitHint(body),
            PUT => {
                let (len, rest) = body.split_first_chunk::<KEY_LEN>()?;
                let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
                Self::Put { key, value }
            }
            DELETE => Self::Delete { key: body },
            _ => return None,
        })
    }

    /// Whether `record` holds entries.
    pub(crate) fn is_append(record: &Record) -> bool {
        record.kind() == APPEND
    }
}
