//! `Import`: writes a group from another storage, without a `Ready`.

use logboom::{Durability, Engine, EntryId, Shard, ShardId};
use raft::eraftpb::{ConfState, Entry, HardState};

use crate::{
    entry,
    error::{Error, Result},
    round::Batches,
    state,
};

/// Entries that are collected for a write.
const ENTRIES_TOGETHER: usize = 256;

/// A group from another storage, or of a test, to be written without a [`Ready`](raft::Ready).
///
/// # Example
/// The storage that a core ran on before has everything needed:
///
/// ```
/// use logboom::{Config, Engine, EntryId, ShardId};
/// use logboom_raft_rs::{Group, Import};
/// use raft::{GetEntriesContext, Storage, eraftpb::Entry, storage::MemStorage};
///
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 1 << 20;
/// # let engine = Engine::open(config)?;
/// # let entry = |index| Entry { index, term: 3, ..Entry::default() };
/// # let old = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
/// # old.wl().append(&[entry(1), entry(2)])?;
/// # old.wl().mut_hard_state().term = 4;
/// # old.wl().mut_hard_state().commit = 2;
/// let applied = 1; // by the application, whose state is its own to move
/// let state = old.initial_state()?; // hard state, and the configuration as of what is applied
/// let (first, last) = (old.first_index()?, old.last_index()?);
///
/// let boundary = EntryId { index: first - 1, term: old.term(first - 1)? };
/// let import = Import::new(boundary, state.hard_state, vec![(applied, state.conf_state)]);
/// let entries = old.entries(first, last + 1, None, GetEntriesContext::empty(false))?; // in pieces, if they are many
/// import.write(&engine, ShardId(7), entries)?;
///
/// let group = Group::open(&engine, ShardId(7), applied)?;
/// assert_eq!(group.initial_state()?.hard_state, old.initial_state()?.hard_state);
/// assert_eq!((group.first_index()?, group.last_index()?, group.term(2)?), (1, 2, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Import {
    /// The boundary of the log: index and term 0 if it has the group's first entry.
    pub boundary: EntryId,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The configurations, each with the index from which it is in force. The application starts with the last one at
    /// or below its applied index, so there must be one.
    pub conf_states: Vec<(u64, ConfState)>,
}

impl Import {
    /// A group with this boundary, hard state and configurations.
    pub fn new(boundary: EntryId, hard_state: HardState, conf_states: Vec<(u64, ConfState)>) -> Self {
        Self { boundary, hard_state, conf_states }
    }

    /// Writes the group to a shard, with `entries` behind the boundary. Durable on return. An error leaves nothing;
    /// after a crash in between, [`Group::open`] returns [`Error::Unfinished`], and the import has to be repeated.
    ///
    /// There may be any number of entries; they are written a few hundred at a time.
    ///
    /// # Errors
    /// [`Error::Exists`] when the shard has a log or a hard state. [`Error::Commit`], [`Error::Term`] and
    /// [`Error::Malformed`] for what contradicts itself; [`Error::Engine`], with [`logboom::Error::Gap`] for entries
    /// that do not follow one another.
    ///
    /// [`Group::open`]: crate::Group::open
    pub fn write(&self, engine: &Engine, shard: ShardId, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
        let shard = engine.shard(shard);
        let has_begun = state::is_importing(&shard)?;
        if !has_begun && (shard.next().is_some() || shard.hard_state()?.is_some()) {
            return Err(Error::Exists { shard: shard.id() });
        }
        self.write_to(engine, &shard, entries).inspect_err(|_| {
            let mut batch = engine.batch();
            // If this fails too, the mark stays.
            drop(batch.destroy(shard.id()).map(drop).and_then(|()| engine.write(batch)));
        })
    }

    fn write_to(&self, engine: &Engine, shard: &Shard, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
        self.begin(engine, shard)?;
        let (mut last, mut last_term) = (self.boundary.index, self.boundary.term);
        let mut entries = entries.into_iter();
        loop {
            let some: Vec<Entry> = entries.by_ref().take(ENTRIES_TOGETHER).collect();
            let mut batches = Batches::new(engine);
            for entry in &some {
                if entry.term < last_term {
                    return Err(state::malformed(shard, format!("entry {} is of a term before the last", entry.index)));
                }
                batches.fit(|batch| Ok(batch.append(shard.id(), entry::to_engine(entry)).map(drop)?))?;
                (last, last_term) = (entry.index, entry.term);
            }
            for batch in batches.full() {
                drop(engine.submit(batch, Durability::Durable)?);
            }
            if some.len() < ENTRIES_TOGETHER {
                return self.end(engine, shard, last, last_term);
            }
        }
    }

    /// Writes everything but the hard state, and the mark of an unfinished import.
    fn begin(&self, engine: &Engine, shard: &Shard) -> Result<()> {
        let mut batch = engine.batch();
        batch.destroy(shard.id())?.reset_to(shard.id(), Some(self.boundary))?;
        state::mark_import(&mut batch, shard)?;
        for (index, conf_state) in &self.conf_states {
            state::put_conf(&mut batch, shard, *index, conf_state)?;
        }
        drop(engine.submit(batch, Durability::Durable)?);
        Ok(())
    }

    /// Writes the hard state, after checking it against the log, durably behind everything else.
    fn end(&self, engine: &Engine, shard: &Shard, last: u64, last_term: u64) -> Result<()> {
        let HardState { term, commit, .. } = self.hard_state;
        if commit < self.boundary.index || commit > last {
            let first = self.boundary.index.saturating_add(1);
            return Err(Error::Commit { shard: shard.id(), commit, first, last });
        }
        if term < last_term {
            return Err(Error::Term { shard: shard.id(), term, last_term });
        }
        let mut batch = engine.batch();
        batch.hard_state(shard.id(), &state::encode(&self.hard_state))?;
        state::unmark_import(&mut batch, shard)?;
        Ok(engine.write(batch)?)
    }
}
