//! The body of a checkpoint: the state of each shard, so that opening need not replay older segments.
//!
//! Each shard's row is as of its own last record. It does not state where the shard's entries lie: footers do.
//! The bytes are laid out in FORMAT.md, "Checkpoint".

use bytes::Bytes;
use logboom_wal::mutants::{self, Mutant};
use rkyv::{Archive, Serialize};

use crate::{
    checkpoint::{
        damages::{Damages, UnknownLosses},
        snapshot_table::SnapshotTable,
    },
    encoding::{archive::ArchiveFormat, extent::Extent},
    index::terms::TermRun,
    shard_state::{keys::Keys, published::View, quarantine::Missing, state::State},
    types::{error::Result, ids::ShardId},
};

const FORMAT: ArchiveFormat = ArchiveFormat { name: *b"chkpnt", version: 1 };

/// A checkpoint that is being collected.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    tables: Tables,
    /// Written in front of the tables, unless empty.
    pub(crate) damages: Damages,
    snapshots: SnapshotTable,
}

/// Tables that all shards share: a shard costs no allocation of its own.
#[derive(Archive, Debug, Default, Serialize)]
struct Tables {
    shards: Vec<Row>,
    terms: Vec<TermRow>,
    keys: Vec<KeyRow>,
    bytes: Vec<u8>,
}

#[derive(Archive, Debug, Serialize)]
struct Row {
    shard: u64,
    sequence: u64,
    first: u64,
    next: u64,
    boundary_term: u64,
    has_boundary: bool,
    has_hard_state: bool,
    has_commit_hint: bool,
    /// The ends of this shard's parts of the tables; each part begins where that of the row before ends.
    hard_state_end: u32,
    commit_hint_end: u32,
    terms_end: u32,
    keys_end: u32,
}

#[derive(Archive, Debug, Serialize)]
struct TermRow {
    first: u64,
    term: u64,
}

#[derive(Archive, Debug, Serialize)]
struct KeyRow {
    key_end: u32,
    value_end: u32,
}

/// A decoded shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) view: View,
    pub(crate) terms: Vec<TermRun>,
    pub(crate) state: State,
    pub(crate) missing: Missing,
}

impl Checkpoint {
    /// Adds a shard. Ids rise from call to call.
    pub(crate) fn add(&mut self, id: ShardId, view: &View, state: &State) -> Result<()> {
        if let Some(missing) = state.missing()
            && !mutants::is_on(Mutant::DamageForgotten)
        {
            self.damages.add(id, missing);
        }
        self.snapshots.add(id, state);
        self.tables.add(id, view, state)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.damages.encode()?;
        bytes.extend_from_slice(&self.snapshots.encode()?);
        let tables = FORMAT.encode(&self.tables)?;
        if bytes.is_empty() {
            return Ok(tables);
        }
        bytes.extend_from_slice(&tables);
        Ok(bytes)
    }

    /// Calls `each` for every shard of an encoded checkpoint. Returns what is known of shards that are not in it, if
    /// records of such shards may be lost.
    pub(crate) fn decode(bytes: &[u8], mut each: impl FnMut(Shard)) -> Result<Option<UnknownLosses>> {
        let (damages, rest) = Damages::split(bytes)?;
        let (mut snapshots, tables) = SnapshotTable::split(rest)?;
        let mut missing = damages.missing;
        FORMAT.decode::<Tables, ()>(tables, |archive| {
            let mut cursor = Cursor::new(archive);
            for row in archive.shards.iter() {
                let mut shard =
                    cursor.shard(row).ok_or_else(|| FORMAT.malformed(&"a row that names what is not there"))?;
                shard.missing = missing.remove(&shard.id).unwrap_or_default();
                let snapshots = snapshots.remove(shard.id);
                shard.missing.snapshot = snapshots.lost;
                shard.state.set_snapshots(snapshots.registered);
                each(shard);
            }
            Ok(())
        })?;
        Ok(damages.unknown_losses)
    }
}

impl Tables {
    fn add(&mut self, id: ShardId, view: &View, state: &State) -> Result<()> {
        let hard_state_end = self.put(state.hard_state())?;
        // Keys follow the commit hint: all bytes of a shard are contiguous.
        let commit_hint_end = self.put(state.commit_hint())?;
        for (key, value) in state.keys() {
            let key_end = self.put(Some(key))?;
            let value_end = self.put(Some(value))?;
            self.keys.push(KeyRow { key_end, value_end });
        }
        let mut runs = Vec::new();
        state.log.term_runs(&view.extent, &mut runs);
        self.terms.extend(runs.iter().map(|run| TermRow { first: run.first, term: run.term }));
        self.shards.push(Row {
            shard: id.0,
            sequence: view.sequence.0,
            first: view.extent.first,
            next: view.extent.next,
            boundary_term: view.extent.boundary_term.unwrap_or(0),
            has_boundary: view.extent.boundary_term.is_some(),
            has_hard_state: state.hard_state().is_some(),
            has_commit_hint: state.commit_hint().is_some(),
            hard_state_end,
            commit_hint_end,
            terms_end: position(self.terms.len())?,
            keys_end: position(self.keys.len())?,
        });
        Ok(())
    }

    fn put(&mut self, bytes: Option<&[u8]>) -> Result<u32> {
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
        position(self.bytes.len())
    }
}

/// Reads the tables in the order of the rows.
struct Cursor<'c> {
    archive: &'c ArchivedTables,
    bytes: usize,
    terms: usize,
    keys: usize,
}

impl<'c> Cursor<'c> {
    fn new(archive: &'c ArchivedTables) -> Self {
        Self { archive, bytes: 0, terms: 0, keys: 0 }
    }

    fn shard(&mut self, row: &ArchivedRow) -> Option<Shard> {
        let hard_state = self.take(row.hard_state_end.to_native())?;
        let commit_hint = self.take(row.commit_hint_end.to_native())?;
        let keys = self.keys(row.keys_end.to_native() as usize)?;
        let terms = self.archive.terms.get(self.terms..row.terms_end.to_native() as usize)?;
        self.terms += terms.len();
        let (first, next) = (row.first.to_native(), row.next.to_native());
        let has_boundary = row.has_boundary;
        if next < first || (has_boundary && first == 0) {
            return None;
        }
        let extent = Extent { first, next, boundary_term: has_boundary.then(|| row.boundary_term.to_native()) };
        Some(Shard {
            id: ShardId(row.shard.to_native()),
            view: View { extent, sequence: logboom_wal::Sequence(row.sequence.to_native()), quarantined: false },
            terms: terms
                .iter()
                .map(|run| TermRun { first: run.first.to_native(), term: run.term.to_native() })
                .collect(),
            state: State::recovered(
                row.has_hard_state.then_some(hard_state),
                row.has_commit_hint.then_some(commit_hint),
                keys,
            ),
            missing: Missing::default(),
        })
    }

    fn keys(&mut self, end: usize) -> Option<Keys> {
        let archive = self.archive;
        let rows = archive.keys.get(self.keys..end)?;
        self.keys = end;
        let mut keys = Keys::default();
        for row in rows {
            let key = self.take(row.key_end.to_native())?;
            let value = self.take(row.value_end.to_native())?;
            keys.put_shared(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        }
        Some(keys)
    }

    fn take(&mut self, end: u32) -> Option<&'c [u8]> {
        let bytes = self.archive.bytes.get(self.bytes..end as usize)?;
        self.bytes = end as usize;
        Some(bytes)
    }
}

fn position(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| FORMAT.malformed(&"more than 4 GiB of keys and values"))
}

#[cfg(test)]
mod tests {
    use logboom_snapshot::{EntryId, Registered};
    use logboom_wal::{Place, SegmentId, Sequence};

    use super::*;
    use crate::{encoding::operation::Change, types::delta::Delta};

    fn shard(changes: &[Change<'_>]) -> (View, State) {
        let (mut extent, mut state) = (Extent::default(), State::default());
        let place = Place { segment: SegmentId(1), offset: 64, len: 128 };
        for change in changes {
            extent = state.apply(ShardId(1), extent, change, place, &mut Delta::default()).unwrap();
        }
        (View { extent, sequence: Sequence(77), quarantined: false }, state)
    }

    const SNAPSHOT: Registered = Registered { index: 1, term: 2, id: 3, file: 4, manifest_crc: 5 };

    fn shards() -> Vec<(View, State)> {
        let boundary = EntryId { index: 4, term: 2 };
        vec![
            shard(&[]),
            shard(&[Change::HardState(b"vote"), Change::CommitHint(b""), Change::Put { key: b"k", value: b"v" }]),
            shard(&[Change::Register { snapshot: SNAPSHOT, kept: 2 }]),
            shard(&[
                Change::Reset { boundary: Some(boundary) },
                Change::Append { first: 5, count: 2, term: 3 },
                Change::Append { first: 7, count: 1, term: 9 },
                Change::Put { key: b"", value: b"" },
                Change::Put { key: b"long", value: &[7; 100] },
            ]),
        ]
    }

    fn encoded() -> Vec<u8> {
        let mut checkpoint = Checkpoint::default();
        for (id, (view, state)) in (0..).zip(shards()) {
            checkpoint.add(ShardId(id), &view, &state).unwrap();
        }
        checkpoint.encode().unwrap()
    }

    #[test]
    fn shards_come_back() {
        let mut back = Vec::new();
        Checkpoint::decode(&encoded(), |shard| back.push(shard)).unwrap();
        for (id, ((view, state), back)) in (0..).zip(shards().into_iter().zip(&back)) {
            assert_eq!((back.id, back.view), (ShardId(id), view));
            assert_eq!(back.state.hard_state(), state.hard_state());
            assert_eq!(back.state.commit_hint(), state.commit_hint());
            assert_eq!(back.state.snapshots(), state.snapshots());
            assert!(back.state.keys().eq(state.keys()));
            let mut runs = Vec::new();
            state.log.term_runs(&view.extent, &mut runs);
            assert_eq!(back.terms, runs);
        }
        assert_eq!(back.len(), 4);
    }

    #[test]
    fn what_is_missing_comes_back() {
        let mut checkpoint = Checkpoint::default();
        let (view, mut state) = shard(&[Change::Append { first: 5, count: 9, term: 3 }]);
        let entries = [6..8, 13..14].into_iter().collect();
        let (hard_state, snapshot) = (Some(Sequence(9)), Some(Sequence(10)));
        let missing = Missing { entries, hard_state, keys: 3, snapshot, suffix: true, unknown: false };
        state.set_missing(missing.clone());
        checkpoint.add(ShardId(1), &view, &state).unwrap();
        let (view, state) = shard(&[Change::HardState(b"vote")]);
        checkpoint.add(ShardId(2), &view, &state).unwrap();
        for unknown_losses in [None, Some(UnknownLosses { upto: Sequence(50), empty: vec![ShardId(7)] })] {
            checkpoint.damages.unknown_losses = unknown_losses.clone();
            let mut back = Vec::new();
            let decoded = Checkpoint::decode(&checkpoint.encode().unwrap(), |shard| back.push(shard)).unwrap();
            assert_eq!(decoded, unknown_losses);
            assert_eq!(back[0].missing, missing);
            assert_eq!((back[1].id, &back[1].missing), (ShardId(2), &Missing::default()));
        }
    }

    #[test]
    fn without_damage_and_snapshots_there_are_only_the_tables() {
        let mut checkpoint = Checkpoint::default();
        let (view, state) = shard(&[Change::HardState(b"vote")]);
        checkpoint.add(ShardId(1), &view, &state).unwrap();
        assert_eq!(checkpoint.encode().unwrap()[..6], *b"chkpnt");
    }

    #[test]
    fn damaged_bytes_never_panic() {
        flip_bits(&encoded());
        let (view, mut state) = shard(&[Change::Append { first: 5, count: 9, term: 3 }]);
        state.set_missing(Missing { entries: std::iter::once(6..8).collect(), ..Missing::default() });
        let mut checkpoint = Checkpoint::default();
        checkpoint.add(ShardId(1), &view, &state).unwrap();
        checkpoint.damages.unknown_losses = Some(UnknownLosses { upto: Sequence(50), empty: vec![ShardId(7)] });
        flip_bits(&checkpoint.encode().unwrap());
    }

    fn flip_bits(good: &[u8]) {
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0x80;
            drop(Checkpoint::decode(&bad, |_| ()));
        }
    }
}
