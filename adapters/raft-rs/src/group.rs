//! `Group`: creates, opens and compacts a raft group on a shard.

use std::{fmt, ops::Range, sync::Arc};

use logboom::{Batch, Durability, Engine, EntryId, Limit, Shard, ShardId};
use raft::{
    RaftState,
    eraftpb::{ConfState, HardState},
};

use crate::{
    error::{Error, Result},
    fetch::Fetch,
    group_state::Shared,
    state,
};

/// A raft group on a shard of an engine: raft-rs reads its log through it ([`raft::Storage`]).
///
/// A cheap handle; clones are the same group. Give one to the [`RawNode`](raft::RawNode), and others to the code that
/// applies entries, saves or sends snapshots. A shard has one group at a time, and a group has one node.
///
/// # Example
/// ```
/// use logboom::{Config, Engine, EntryId, ShardId};
/// use logboom_raft_rs::Group;
/// use raft::{Storage, eraftpb::ConfState};
///
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 1 << 20;
/// # let engine = Engine::open(config)?;
/// let members = ConfState::from((vec![1, 2, 3], vec![]));
/// Group::create(&engine, (0..100).map(ShardId), &members, EntryId { index: 0, term: 0 })?; // one sync for all
///
/// let group = Group::open(&engine, ShardId(7), 0)?; // nothing is applied yet
/// assert_eq!((group.first_index()?, group.last_index()?), (1, 0));
/// assert_eq!(group.initial_state()?.conf_state, members);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Group {
    pub(crate) engine: Engine,
    pub(crate) shard: Shard,
    pub(crate) fetcher: Option<Arc<Fetcher>>,
    pub(crate) shared: Arc<Shared>,
}

/// The embedder's callback that starts a read for which the core waits.
pub(crate) type Fetcher = dyn Fn(Fetch) + Send + Sync;

impl Group {
    /// Creates groups with the members `conf_state`, whose logs begin behind `boundary`, durably and with as few syncs
    /// as that takes. Create all members of a group alike.
    ///
    /// A boundary of index 0 and term 0 means an empty log on an empty state. A member that joins such a group later
    /// gets the log from the first entry, which does not contain the initial members: create it with the same members.
    /// With any other boundary (index and term 5, say) a new member first gets a snapshot, which contains the members:
    /// do not create it, [open](Group::open) it. A group that has entries elsewhere is [imported](crate::Import).
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the shards has a log or a hard state; some of the others may have been created
    /// then. [`Error::Engine`].
    pub fn create(
        engine: &Engine,
        shards: impl IntoIterator<Item = ShardId>,
        conf_state: &ConfState,
        boundary: EntryId,
    ) -> Result<()> {
        let mut batch = engine.batch();
        for id in shards {
            let shard = engine.shard(id);
            if shard.next().is_some() || shard.hard_state()?.is_some() {
                return Err(Error::Exists { shard: id });
            }
            let savepoint = batch.savepoint();
            match add_creation(&mut batch, &shard, conf_state, boundary) {
                Err(Error::Engine(logboom::Error::TooLarge { what: Limit::Batch | Limit::Records, .. })) => {
                    batch.rewind(&savepoint);
                    engine.write(std::mem::replace(&mut batch, engine.batch()))?;
                    add_creation(&mut batch, &shard, conf_state, boundary)?;
                }
                outcome => outcome?,
            }
        }
        if batch.is_empty() { Ok(()) } else { Ok(engine.write(batch)?) }
    }

    /// Opens the group of a shard whose application has applied the log up to and including `applied`: set
    /// [`raft::Config::applied`] to the same index. For an application that starts from a snapshot it is the snapshot's
    /// index. An empty shard is a member that waits for a snapshot.
    ///
    /// Applied entries count as committed, even if the stored commit index is lower because the power failed before it
    /// was written.
    ///
    /// # Errors
    /// Inconsistencies for which raft-rs would panic, or that it would not notice: [`Error::Applied`],
    /// [`Error::Commit`], [`Error::Term`], [`Error::Malformed`], [`Error::Unfinished`]. [`Error::Engine`] with
    /// [`logboom::Error::Quarantined`] when something of the shard is lost.
    pub fn open(engine: &Engine, shard: ShardId, applied: u64) -> Result<Self> {
        let shared = Arc::new(Shared::new(applied));
        let group = Self { engine: engine.clone(), shard: engine.shard(shard), fetcher: None, shared };
        group.recovered()?;
        if group.shard.next().is_some() {
            group.shard.raise_applied_floor(applied)?;
        }
        Ok(group)
    }

    /// Sets a callback for entries that are not in memory and that the core can wait for: `fetcher` passes the
    /// [`Fetch`] to another thread or task, instead of a read in the core's thread. Call it before the group is given
    /// to its node.
    ///
    /// Without a fetcher every read is answered at once, from the disk if needed.
    #[must_use]
    pub fn fetching(mut self, fetcher: impl Fn(Fetch) + Send + Sync + 'static) -> Self {
        self.fetcher = Some(Arc::new(fetcher));
        self
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.shard.id()
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The first failure in an answer to the core, or the one for which a round was saved without the group: see [fail
    /// stop](crate#fail-stop).
    pub fn failure(&self) -> Option<Error> {
        self.shared.lock().failure.clone()
    }

    /// Records that the application has applied the log up to and including `index`: entries up to there may then be
    /// [compacted](Group::compact_through).
    ///
    /// # Errors
    /// [`Error::Engine`] with [`logboom::Error::Beyond`] past the end of the log.
    pub fn applied_to(&self, index: u64) -> Result<()> {
        self.shard.raise_applied_floor(index)?;
        self.shared.lock().applied_to(index);
        Ok(())
    }

    /// Drops the entries up to and including `index`, whose term stays known. Does nothing if it is compacted already.
    /// Not durable on return, which does no harm. raft-rs' `MemStorage::compact` keeps the entry at its index.
    ///
    /// # Errors
    /// [`Error::Engine`]: [`logboom::Error::Unapplied`] when not all of them are [applied](Group::applied_to),
    /// [`logboom::Error::Beyond`] past the last entry, [`logboom::Error::Leased`] while a follower is
    /// sent a snapshot and will need them, to be tried again later, and those of [`Engine::submit`].
    pub fn compact_through(&self, index: u64) -> Result<()> {
        if index < self.range().start {
            return Ok(());
        }
        let mut batch = self.engine.batch();
        batch.compact_through(self.id(), index)?;
        state::drop_confs_before(&mut batch, &self.shard, index)?;
        drop(self.engine.submit(batch, Durability::Lazy)?);
        Ok(())
    }

    /// The configuration as of `index`.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Malformed`].
    pub fn conf_state(&self, index: u64) -> Result<ConfState> {
        state::conf_state(&self.shard, index)
    }

    /// Keeps the first failure for the embedder.
    pub(crate) fn fail(&self, error: Error) -> Error {
        self.shared.lock().failure.get_or_insert_with(|| error.clone());
        error
    }

    /// The indexes of the log, half-open. An empty log begins where it continues.
    pub(crate) fn range(&self) -> Range<u64> {
        let bounds = self.shard.bounds();
        match (bounds.first, bounds.last, bounds.boundary) {
            (Some(first), Some(last), _) => first..last + 1,
            (_, _, Some(boundary)) => boundary.index + 1..boundary.index + 1,
            _ => 1..1,
        }
    }

    /// The initial state of a core, after all of it was checked for consistency.
    pub(crate) fn recovered(&self) -> Result<RaftState> {
        let shard = self.id();
        if self.shard.quarantine().is_some() {
            return Err(logboom::Error::Quarantined { shard }.into());
        }
        if state::is_importing(&self.shard)? {
            return Err(Error::Unfinished { shard });
        }
        let applied = self.shared.lock().applied;
        let (first, last) = (self.range().start, self.range().end - 1);
        if first == 0 {
            return Err(state::malformed(
                &self.shard,
                "a log with an entry of index 0, where raft-rs' begin with 1".into(),
            ));
        }
        if applied.saturating_add(1) < first || applied > last {
            return Err(Error::Applied { shard, applied, first, last });
        }
        let mut hard_state = state::hard_state(&self.shard)?;
        hard_state.commit = hard_state.commit.max(applied);
        let HardState { term, commit, .. } = hard_state;
        if commit > last {
            return Err(Error::Commit { shard, commit, first, last });
        }
        let last_term = self.term_of(last).map_err(|error| state::malformed(&self.shard, format!("{error:#}")))?;
        if term < last_term {
            return Err(Error::Term { shard, term, last_term });
        }
        Ok(RaftState::new(hard_state, self.conf_state(applied)?))
    }

    /// The term of an entry or of the boundary. A log that begins with index 1 has a boundary even if none was written.
    pub(crate) fn term_of(&self, index: u64) -> Result<u64, logboom::ReadError> {
        match self.shard.term(index) {
            Err(_) if index == 0 && self.range().start == 1 => Ok(0),
            term => term,
        }
    }
}

fn add_creation(batch: &mut Batch<'_>, shard: &Shard, conf_state: &ConfState, boundary: EntryId) -> Result<()> {
    let hard_state = HardState { term: boundary.term, commit: boundary.index, ..HardState::default() };
    batch.reset_to(shard.id(), Some(boundary))?.hard_state(shard.id(), &state::encode(&hard_state))?;
    state::put_conf(batch, shard, boundary.index, conf_state)
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("shard", &self.shard).finish_non_exhaustive()
    }
}
