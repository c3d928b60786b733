//! The state of a shard in memory, and how a change of it is applied.

use std::ops::{Bound, Range};

use bytes::Bytes;
use logboom_snapshot::Registered;
use logboom_wal::Place;
use parking_lot::Mutex;

use crate::{
    encoding::{extent::Extent, operation::Change},
    index::log_index::{IndexedRecord, LogIndex},
    shard_state::{
        applied::Applied,
        keys::Keys,
        published::{Published, View},
        quarantine::Missing,
    },
    types::{delta::Delta, ids::ShardId, limits::STATE_BYTES_MAX, refusal::Refusal},
};

/// A shard: its published bounds, and its state behind a lock.
///
/// Its size is the cost of an idle shard; a test bounds it.
#[derive(Debug)]
pub(crate) struct ShardCell {
    pub(crate) id: ShardId,
    pub(crate) published: Published,
    pub(crate) state: Mutex<State>,
}

/// The state behind a shard's lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) log: LogIndex,
    rare: Option<Box<RareState>>,
    hard_state: InlineBytes,
    applied: Applied,
}

/// State that most shards do not have.
#[derive(Debug, Default)]
struct RareState {
    commit_hint: InlineBytes,
    keys: Keys,
    /// Registered, oldest first.
    snapshots: Vec<Registered>,
    missing: Option<Box<Missing>>,
}

/// `Option` of up to [`STATE_BYTES_MAX`] bytes, without an allocation: hard states change with every vote.
#[derive(Clone, Debug)]
pub(crate) struct InlineBytes {
    len: u8,
    bytes: [u8; STATE_BYTES_MAX],
}

impl ShardCell {
    pub(crate) fn new(id: ShardId) -> Self {
        Self { id, published: Published::default(), state: Mutex::default() }
    }

    /// A shard without any known record, which is held back.
    pub(crate) fn unknown(id: ShardId) -> Self {
        let mut cell = Self::new(id);
        cell.published.store(View { quarantined: true, ..View::default() });
        cell.state.get_mut().set_missing(Missing::unknown());
        cell
    }
}

impl State {
    /// Applies `change`, whose record is at `place`, to a shard with a log of `extent`. Returns the extent after it; on
    /// error nothing was changed.
    pub(crate) fn apply(
        &mut self,
        shard: ShardId,
        extent: Extent,
        change: &Change<'_>,
        place: Place,
        delta: &mut Delta,
    ) -> Result<Extent, Refusal> {
        let after = change.extent_after(extent)?;
        self.applied.follow(&extent, &after, matches!(change, Change::Reset { .. }));
        match *change {
            Change::Append { first, count, term } => {
                if self.log.append(&extent, &IndexedRecord { first, count, term, place }, delta) {
                    delta.touch(shard);
                }
            }
            Change::Heal { first, count, term } => {
                self.log.replace(&extent, &IndexedRecord { first, count, term, place }, delta);
                delta.touch(shard);
            }
            Change::Truncate { .. } => self.log.truncate(&extent, after.next, delta),
            Change::Compact { .. } => self.log.compact(&extent, after.first, delta),
            Change::Reset { .. } => self.log.clear(&extent, delta),
            Change::Destroy => {
                self.log.clear(&extent, delta);
                *self = Self::default();
            }
            Change::HardState(_)
            | Change::CommitHint(_)
            | Change::Put { .. }
            | Change::Delete { .. }
            | Change::Register { .. }
            | Change::Forget { .. } => self.set(change),
            Change::AcceptLoss { .. } => {}
        }
        if let Some(missing) = self.rare.as_mut().and_then(|rare| rare.missing.as_mut()) {
            missing.follow(change, &after);
            if missing.is_nothing() {
                self.end_quarantine();
            }
        }
        Ok(after)
    }

    /// Applies `change` to everything but the log.
    pub(crate) fn set(&mut self, change: &Change<'_>) {
        match *change {
            Change::HardState(state) => self.hard_state = InlineBytes::new(state),
            Change::CommitHint(hint) => self.rare_mut().commit_hint = InlineBytes::new(hint),
            Change::Put { key, value } => self.rare_mut().keys.put(key, value),
            Change::Delete { key } => self.delete(key),
            Change::Register { snapshot, kept } => {
                snapshot.registered_in(&mut self.rare_mut().snapshots, kept as usize);
            }
            Change::Forget { id } => self.retain_snapshots(|snapshot| snapshot.id != id),
            Change::Append { .. }
            | Change::Truncate { .. }
            | Change::Compact { .. }
            | Change::Reset { .. }
            | Change::Destroy
            | Change::Heal { .. }
            | Change::AcceptLoss { .. } => {}
        }
    }

    /// Drops the commit hint: a later one is lost.
    pub(crate) fn forget_commit_hint(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.commit_hint = InlineBytes::default();
            self.drop_rare();
        }
    }

    /// Drops the snapshots: a later registration is lost, which may have replaced them.
    pub(crate) fn forget_snapshots(&mut self) {
        self.retain_snapshots(|_| false);
    }

    /// The registered snapshots, oldest first.
    pub(crate) fn snapshots(&self) -> &[Registered] {
        self.rare.as_ref().map_or(&[], |rare| &rare.snapshots)
    }

    /// Sets the snapshots of a checkpoint.
    pub(crate) fn set_snapshots(&mut self, snapshots: Vec<Registered>) {
        if !snapshots.is_empty() {
            self.rare_mut().snapshots = snapshots;
        }
    }

    /// What is missing of the shard, if anything.
    pub(crate) fn missing(&self) -> Option<&Missing> {
        self.rare.as_ref()?.missing.as_deref()
    }

    pub(crate) fn set_missing(&mut self, missing: Missing) {
        if !missing.is_nothing() {
            self.rare_mut().missing = Some(Box::new(missing));
        }
    }

    /// Adds entries of the log to what is missing.
    pub(crate) fn lose_entries(&mut self, range: Range<u64>) {
        self.rare_mut().missing.get_or_insert_default().entries.insert(range);
    }

    pub(crate) fn end_quarantine(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.missing = None;
            self.drop_rare();
        }
    }

    /// A recovered state, still without its log.
    pub(crate) fn recovered(hard_state: Option<&[u8]>, commit_hint: Option<&[u8]>, keys: Keys) -> Self {
        let mut state = Self { hard_state: hard_state.map(InlineBytes::new).unwrap_or_default(), ..Self::default() };
        if let Some(hint) = commit_hint {
            state.rare_mut().commit_hint = InlineBytes::new(hint);
        }
        if !keys.is_empty() {
            state.rare_mut().keys = keys;
        }
        state
    }

    /// Whether it holds nothing, apart from the log.
    pub(crate) fn is_bare(&self) -> bool {
        let nothing = self.rare.is_none() || self.missing().is_some_and(|missing| missing.unknown);
        nothing && self.hard_state.get().is_none()
    }

    pub(crate) fn hard_state(&self) -> Option<&[u8]> {
        self.hard_state.get()
    }

    pub(crate) fn commit_hint(&self) -> Option<&[u8]> {
        self.rare.as_ref().and_then(|rare| rare.commit_hint.get())
    }

    /// The first index of the log that is not known to be applied; `None` before any statement.
    pub(crate) fn applied_next(&self, extent: &Extent) -> Option<u64> {
        self.applied.next(extent)
    }

    pub(crate) fn raise_applied(&mut self, extent: &Extent, index: u64) {
        self.applied.raise(extent, index);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.rare.as_ref().and_then(|rare| rare.keys.get(key))
    }

    pub(crate) fn scan(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<(Bytes, Bytes)> {
        self.rare.as_ref().map_or_else(Vec::new, |rare| rare.keys.scan(range))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.rare.iter().flat_map(|rare| rare.keys.iter())
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(rare) = &mut self.rare {
            rare.keys.delete(key);
            self.drop_rare();
        }
    }

    fn retain_snapshots(&mut self, keeps: impl Fn(&Registered) -> bool) {
        if let Some(rare) = &mut self.rare {
            rare.snapshots.retain(keeps);
            self.drop_rare();
        }
    }

    /// Frees [`RareState`] if it is empty.
    fn drop_rare(&mut self) {
        let is_empty = |rare: &RareState| {
            let RareState { commit_hint, keys, snapshots, missing } = rare;
            commit_hint.get().is_none() && keys.is_empty() && snapshots.is_empty() && missing.is_none()
        };
        if self.rare.as_deref().is_some_and(is_empty) {
            self.rare = None;
        }
    }

    fn rare_mut(&mut self) -> &mut RareState {
        self.rare.get_or_insert_default()
    }
}

impl Change<'_> {
    /// The log's extent after the change, by the rules of [`Extent`].
    pub(crate) fn extent_after(&self, extent: Extent) -> Result<Extent, Refusal> {
        match *self {
            Self::Append { first, count, .. } => extent.append(first, count),
            Self::Truncate { keep } => extent.truncate(keep),
            Self::Compact { index, term } => extent.compact(index, term),
            Self::Reset { boundary } => Extent::reset(boundary),
            Self::Destroy => Ok(Extent::default()),
            Self::Heal { first, count, .. } => extent.heal(first, count),
            Self::HardState(_)
            | Self::CommitHint(_)
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::AcceptLoss { .. }
            | Self::Register { .. }
            | Self::Forget { .. } => Ok(extent),
        }
    }
}

impl InlineBytes {
    const NOTHING: u8 = u8::MAX;

    /// At most [`STATE_BYTES_MAX`] of the bytes: batches have no more, and those of a damaged record are dropped.
    fn new(from: &[u8]) -> Self {
        let from = &from[..from.len().min(STATE_BYTES_MAX)];
        let mut bytes = [0; STATE_BYTES_MAX];
        bytes[..from.len()].copy_from_slice(from);
        Self { len: u8::try_from(from.len()).unwrap_or(Self::NOTHING), bytes }
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }
}

impl Default for InlineBytes {
    fn default() -> Self {
        Self { len: Self::NOTHING, bytes: [0; STATE_BYTES_MAX] }
    }
}

#[cfg(test)]
mod tests {
    use logboom_snapshot::EntryId;
    use logboom_wal::SegmentId;

    use super::*;

    const PLACE: Place = Place { segment: SegmentId(1), offset: 64, len: 128 };

    fn apply(state: &mut State, extent: &mut Extent, change: Change<'_>) -> Result<(), Refusal> {
        *extent = state.apply(ShardId(1), *extent, &change, PLACE, &mut Delta::default())?;
        Ok(())
    }

    #[test]
    fn an_idle_shard_is_small() {
        // With two counts of an `Arc` and the table's slot (8 bytes and one of control, filled to 7/16 at least).
        assert!(size_of::<ShardCell>() + 16 + 9 * 16 / 7 <= 200, "{} bytes", size_of::<ShardCell>());
    }

    #[test]
    fn small_things_come_and_go() {
        let (mut state, mut extent) = (State::default(), Extent::default());
        assert!(state.is_bare() && state.hard_state().is_none());
        apply(&mut state, &mut extent, Change::HardState(b"")).unwrap();
        assert_eq!(state.hard_state(), Some(&b""[..]));
        apply(&mut state, &mut extent, Change::HardState(&[7; 64])).unwrap();
        assert_eq!(state.hard_state(), Some(&[7; 64][..]));
        apply(&mut state, &mut extent, Change::CommitHint(b"9")).unwrap();
        apply(&mut state, &mut extent, Change::Put { key: b"k", value: b"v" }).unwrap();
        assert_eq!((state.commit_hint(), state.get(b"k")), (Some(&b"9"[..]), Some(Bytes::from_static(b"v"))));
        apply(&mut state, &mut extent, Change::Reset { boundary: Some(EntryId { index: 3, term: 1 }) }).unwrap();
        assert!(state.get(b"k").is_some(), "a reset is of the log alone");
        apply(&mut state, &mut extent, Change::Destroy).unwrap();
        assert!(state.is_bare() && extent == Extent::default());
    }

    #[test]
    fn a_change_that_does_not_fit_changes_nothing() {
        let (mut state, mut extent) = (State::default(), Extent::default());
        apply(&mut state, &mut extent, Change::Append { first: 4, count: 2, term: 1 }).unwrap();
        for change in [
            Change::Append { first: 8, count: 1, term: 1 },
            Change::Truncate { keep: 6 },
            Change::Compact { index: 6, term: 1 },
            Change::Reset { boundary: Some(EntryId { index: u64::MAX, term: 1 }) },
        ] {
            assert!(apply(&mut state, &mut extent, change).is_err());
            assert_eq!((extent.first, extent.next), (4, 6));
            assert_eq!(state.log.term(5), Some(1));
        }
    }
}
