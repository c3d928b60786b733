//! The operations on a shard, and how each is encoded in a record of the log.
//!
//! The bytes are laid out in FORMAT.md, "Records".

use std::ops::Range;

use logboom_snapshot::{EntryId, Registered};
use logboom_wal::{BodyWriter, Descriptor, Meta, Record, Sequence};

use crate::{
    encoding::{
        buffers::{BufferRange, Buffers},
        entry_table::{self, ROW},
    },
    types::ids::ShardId,
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
const HEAL: u8 = 10;
const ACCEPT_LOSS: u8 = 11;
const ACCEPT_UNKNOWN_LOSSES: u8 = 12;
const REGISTER: u8 = 13;
const FORGET: u8 = 14;

/// The size of the key's length in front of the key of a `PUT`, in bytes.
const KEY_LEN: usize = 2;

/// The size of the body of a `REGISTER`, in bytes.
const REGISTER_LEN: usize = 20;

/// An operation of a batch; its bytes are in the batch's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Appends entries of one term, with `bytes` of context and payload.
    Append {
        first: u64,
        term: u64,
        items: BufferRange,
        bytes: u32,
    },
    /// Replaces entries of one term that the log has or has lost.
    Heal {
        first: u64,
        term: u64,
        items: BufferRange,
        bytes: u32,
    },
    /// Removes the entries from `index` on, for an append there. Written as a truncation or a reset, or not at all.
    Overwrite {
        index: u64,
    },
    Truncate {
        keep: u64,
    },
    /// The term is known when the batch is submitted.
    Compact {
        index: u64,
        term: Option<u64>,
        /// Ignores the leases of snapshots.
        past_leases: bool,
    },
    Reset {
        boundary: Option<EntryId>,
    },
    Destroy,
    HardState(BufferRange),
    CommitHint(BufferRange),
    Put {
        key: BufferRange,
        value: BufferRange,
    },
    Delete {
        key: BufferRange,
    },
    /// Accepts losses; which ones is known when the batch is submitted.
    AcceptLoss {
        hard_state: Option<Sequence>,
        keys: u32,
        snapshot: Option<Sequence>,
    },
    /// Registers a snapshot; the shard keeps its newest `kept`. The other fields are in the body.
    Register {
        index: u64,
        term: u64,
        body: BufferRange,
        kept: u32,
    },
    Forget {
        id: u64,
    },
}

/// A decoded record: an operation with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<'b> {
    Append { first: u64, count: u64, term: u64 },
    Truncate { keep: u64 },
    Compact { index: u64, term: u64 },
    Reset { boundary: Option<EntryId> },
    Destroy,
    HardState(&'b [u8]),
    CommitHint(&'b [u8]),
    Put { key: &'b [u8], value: &'b [u8] },
    Delete { key: &'b [u8] },
    Heal { first: u64, count: u64, term: u64 },
    AcceptLoss { hard_state: Option<Sequence>, keys: u32, snapshot: Option<Sequence> },
    Register { snapshot: Registered, kept: u32 },
    Forget { id: u64 },
}

/// What the descriptor of a lost record tells of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostChange {
    /// All of it.
    Change(Change<'static>),
    /// Entries of an unknown term: appended, or else healed.
    Entries {
        first: u64,
        count: u64,
        appended: bool,
    },
    Compact {
        index: u64,
    },
    HardState,
    CommitHint,
    Key,
    Snapshot,
    Unknown,
}

impl Operation {
    /// The size of its record's body in bytes.
    pub(crate) fn body_len(&self) -> usize {
        match *self {
            Self::Append { items, bytes, .. } | Self::Heal { items, bytes, .. } => {
                items.len as usize * ROW + bytes as usize
            }
            Self::HardState(part)
            | Self::CommitHint(part)
            | Self::Delete { key: part }
            | Self::Register { body: part, .. } => part.len as usize,
            Self::Put { key, value } => KEY_LEN + key.len as usize + value.len as usize,
            Self::Overwrite { .. }
            | Self::Truncate { .. }
            | Self::Compact { .. }
            | Self::Reset { .. }
            | Self::Destroy
            | Self::AcceptLoss { .. }
            | Self::Forget { .. } => 0,
        }
    }

    /// Its name for an error, if it may not be lazy: raft's safety or a reader's view of the log depends on its order
    /// among acknowledged operations.
    pub(crate) fn durable_only(&self) -> Option<&'static str> {
        match self {
            Self::Overwrite { .. } => Some("an overwriting append"),
            Self::Truncate { .. } => Some("a truncation"),
            Self::Reset { .. } => Some("a reset"),
            Self::Destroy => Some("a destruction"),
            Self::HardState(_) => Some("a hard state"),
            Self::Heal { .. } => Some("a healed entry"),
            Self::AcceptLoss { .. } => Some("the acceptance of a loss"),
            Self::Append { .. }
            | Self::Compact { .. }
            | Self::CommitHint(_)
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::Register { .. }
            | Self::Forget { .. } => None,
        }
    }

    /// Whether it may free entries, and so segments.
    pub(crate) fn frees(&self) -> bool {
        matches!(
            self,
            Self::Overwrite { .. } | Self::Truncate { .. } | Self::Compact { .. } | Self::Reset { .. } | Self::Destroy
        )
    }

    /// Whether its record holds entries.
    pub(crate) fn adds_entries(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Heal { .. })
    }

    /// The header of its record.
    pub(crate) fn meta(&self, shard: ShardId, prev: Sequence) -> Meta {
        let (kind, first, count, attr) = match *self {
            Self::Append { first, term, items, .. } => (APPEND, first, items.len, term),
            Self::Truncate { keep } => (TRUNCATE, keep, 0, 0),
            Self::Compact { index, term, .. } => (COMPACT, index, 0, term.unwrap_or(0)),
            Self::Reset { boundary: Some(boundary) } => (RESET, boundary.index, 1, boundary.term),
            Self::Reset { boundary: None } => (RESET, 0, 0, 0),
            Self::Destroy => (DESTROY, 0, 0, 0),
            Self::HardState(_) => (HARD_STATE, 0, 0, 0),
            Self::CommitHint(_) => (COMMIT_HINT, 0, 0, 0),
            Self::Put { .. } => (PUT, 0, 0, 0),
            Self::Delete { .. } => (DELETE, 0, 0, 0),
            Self::Heal { first, term, items, .. } => (HEAL, first, items.len, term),
            Self::AcceptLoss { hard_state, keys, snapshot } => {
                (ACCEPT_LOSS, hard_state.unwrap_or(Sequence::NONE).0, keys, snapshot.unwrap_or(Sequence::NONE).0)
            }
            Self::Register { index, term, kept, .. } => (REGISTER, index, kept, term),
            Self::Forget { id } => (FORGET, id, 0, 0),
            // Never planned: validation resolves it to a truncation or a reset.
            Self::Overwrite { index } => (TRUNCATE, index, 0, 0),
        };
        Meta { owner: shard.0, kind, first, count, attr, prev }
    }

    /// Writes the body of its record, [`Operation::body_len`] bytes.
    pub(crate) fn put_body(&self, buffers: &Buffers<'_>, body: &mut BodyWriter<'_>) {
        match *self {
            Self::Append { items, .. } | Self::Heal { items, .. } => {
                entry_table::put(buffers.items(items), &mut |bytes| body.put(bytes))
            }
            Self::HardState(part)
            | Self::CommitHint(part)
            | Self::Delete { key: part }
            | Self::Register { body: part, .. } => body.put(buffers.bytes(part)),
            Self::Put { key, value } => {
                // The limit of keys is far lower.
                body.put(&u16::try_from(key.len).unwrap_or(u16::MAX).to_le_bytes());
                body.put(buffers.bytes(key));
                body.put(buffers.bytes(value));
            }
            Self::Overwrite { .. }
            | Self::Truncate { .. }
            | Self::Compact { .. }
            | Self::Reset { .. }
            | Self::Destroy
            | Self::AcceptLoss { .. }
            | Self::Forget { .. } => {}
        }
    }

    /// The change that its record holds, with the bytes that `bytes` returns; `None` if it is never written.
    pub(crate) fn change<'b>(&self, bytes: impl Fn(BufferRange) -> &'b [u8]) -> Option<Change<'b>> {
        Some(match *self {
            Self::Append { first, term, items, .. } => Change::Append { first, count: u64::from(items.len), term },
            Self::Heal { first, term, items, .. } => Change::Heal { first, count: u64::from(items.len), term },
            Self::Truncate { keep } => Change::Truncate { keep },
            Self::Compact { index, term, .. } => Change::Compact { index, term: term? },
            Self::Reset { boundary } => Change::Reset { boundary },
            Self::Destroy => Change::Destroy,
            Self::HardState(part) => Change::HardState(bytes(part)),
            Self::CommitHint(part) => Change::CommitHint(bytes(part)),
            Self::Put { key, value } => Change::Put { key: bytes(key), value: bytes(value) },
            Self::Delete { key } => Change::Delete { key: bytes(key) },
            Self::AcceptLoss { hard_state, keys, snapshot } => Change::AcceptLoss { hard_state, keys, snapshot },
            Self::Register { index, term, body, kept } => {
                Change::Register { snapshot: decode_snapshot(index, term, bytes(body))?, kept }
            }
            Self::Forget { id } => Change::Forget { id },
            Self::Overwrite { .. } => return None,
        })
    }

    /// The entries that it appends or heals.
    pub(crate) fn run(&self) -> Option<EntryRun> {
        match *self {
            Self::Append { first, term, items, .. } | Self::Heal { first, term, items, .. } => {
                Some(EntryRun { first, term, items })
            }
            _ => None,
        }
    }
}

/// Consecutive entries of one term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRun {
    pub(crate) first: u64,
    pub(crate) term: u64,
    pub(crate) items: BufferRange,
}

impl EntryRun {
    pub(crate) fn range(&self) -> Range<u64> {
        self.first..self.first.saturating_add(u64::from(self.items.len))
    }
}

/// The header of the record that ends the holding back of shards without any known record.
pub(crate) const UNKNOWN_LOSSES_ACCEPTED: Meta =
    Meta { owner: 0, kind: ACCEPT_UNKNOWN_LOSSES, first: 0, count: 0, attr: 0, prev: Sequence::NONE };

/// Whether `record` is [`UNKNOWN_LOSSES_ACCEPTED`], which belongs to no shard.
pub(crate) fn accepts_unknown_losses(record: &Record) -> bool {
    record.kind() == ACCEPT_UNKNOWN_LOSSES
}

impl LostChange {
    pub(crate) fn of(lost: &Descriptor) -> Self {
        let &Descriptor { first, count, kind, .. } = lost;
        match kind {
            APPEND | HEAL => Self::Entries { first, count: u64::from(count), appended: kind == APPEND },
            TRUNCATE => Self::Change(Change::Truncate { keep: first }),
            COMPACT => Self::Compact { index: first },
            RESET if count == 0 => Self::Change(Change::Reset { boundary: None }),
            DESTROY => Self::Change(Change::Destroy),
            HARD_STATE => Self::HardState,
            COMMIT_HINT => Self::CommitHint,
            PUT | DELETE => Self::Key,
            ACCEPT_LOSS => Self::Change(accepted(first, count, 0)),
            REGISTER => Self::Snapshot,
            FORGET => Self::Change(Change::Forget { id: first }),
            _ => Self::Unknown,
        }
    }
}

/// Decodes accepted losses. The descriptor of a lost record does not tell the snapshot: it accepts the loss of none.
fn accepted(first: u64, count: u32, attr: u64) -> Change<'static> {
    let sequence = |number| (number != 0).then_some(Sequence(number));
    Change::AcceptLoss { hard_state: sequence(first), keys: count, snapshot: sequence(attr) }
}

/// The body of a `REGISTER`: the fields that are not in its header.
pub(crate) fn encode_snapshot(snapshot: &Registered) -> [u8; REGISTER_LEN] {
    let mut body = [0; REGISTER_LEN];
    body[..8].copy_from_slice(&snapshot.id.to_le_bytes());
    body[8..16].copy_from_slice(&snapshot.file.to_le_bytes());
    body[16..].copy_from_slice(&snapshot.manifest_crc.to_le_bytes());
    body
}

fn decode_snapshot(index: u64, term: u64, body: &[u8]) -> Option<Registered> {
    let (id, rest) = body.split_first_chunk()?;
    let (file, crc) = rest.split_first_chunk()?;
    let manifest_crc = u32::from_le_bytes(crc.try_into().ok()?);
    Some(Registered { index, term, id: u64::from_le_bytes(*id), file: u64::from_le_bytes(*file), manifest_crc })
}

impl<'b> Change<'b> {
    /// Decodes a recovered record; `None` if this version does not know its kind, or its body is malformed.
    pub(crate) fn decode(record: &'b Record) -> Option<Self> {
        let (first, body) = (record.first(), record.body());
        Some(match record.kind() {
            // A record without entries would get a place in the index that holds no entry.
            APPEND | HEAL if record.count() == 0 => return None,
            kind @ (APPEND | HEAL) => {
                entry_table::EntryTable::parse(body, record.count())?;
                let (count, term) = (u64::from(record.count()), record.attr());
                if kind == APPEND { Self::Append { first, count, term } } else { Self::Heal { first, count, term } }
            }
            TRUNCATE => Self::Truncate { keep: first },
            COMPACT => Self::Compact { index: first, term: record.attr() },
            RESET => {
                let boundary = EntryId { index: first, term: record.attr() };
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
            ACCEPT_LOSS => accepted(first, record.count(), record.attr()),
            REGISTER => Self::Register { snapshot: decode_snapshot(first, record.attr(), body)?, kept: record.count() },
            FORGET => Self::Forget { id: first },
            _ => return None,
        })
    }

    /// Whether `record` holds entries.
    pub(crate) fn has_entries(record: &Record) -> bool {
        matches!(record.kind(), APPEND | HEAL)
    }
}
