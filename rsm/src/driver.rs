//! `Driver`: applies the entries of a shard to a state machine.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use logboom::{
    Cause, Engine, Shard, ShardId,
    snapshot::{Codec, Stop},
};

use crate::{
    entry_sizes::EntrySizes,
    error::{Error, Result},
    machine::{OnDisk, PrepareSnapshot, SaveSnapshot, StateMachine},
    machine_cell::{MachineCell, MachineState, Reader},
    policy::SnapshotPolicy,
    save::{Keeping, Saving},
};

mod apply;
mod catch_up;
mod install;
mod intent;
mod maintain;
mod objects;
mod pre_commit;
mod recover;

pub use apply::Applied;
pub use catch_up::CatchUp;
pub use maintain::{Finished, Upkeep};
pub use objects::ObjectStream;
pub use recover::Recovered;

/// Applies the committed entries of one shard to a state machine, saves it, compacts the log behind it, and recovers
/// it at the next start.
///
/// It has neither threads nor a clock: everything happens in its calls, on the caller's thread. A raft core's loop says
/// how far the log is [committed](Driver::commit), [applies](Driver::apply) until nothing is left, answers its clients
/// with the outputs, and calls [upkeep](Driver::upkeep) now and then. Saving a snapshot takes long, so it is returned
/// as a [`SaveJob`](crate::SaveJob) for any thread. [`Runner`](crate::Runner) is such a loop.
///
/// Each entry is applied to a machine once, in order, when it is committed and durable here. An error of the machine
/// stops the driver for good: every later call returns [`Error::Halted`].
///
/// # Example
/// ```
/// use logboom::{Config, Engine, EntryBatch, EntryId, ShardId, snapshot::Stop};
/// use logboom_rsm::{Driver, Failure, Files, Options, SaveSnapshot, SnapshotReader, StateMachine};
///
/// #[derive(Default)]
/// struct Sum(u64);
///
/// impl StateMachine for Sum {
///     type Output = u64;
///     type Query = ();
///     type Answer = u64;
///
///     fn update(&mut self, entries: &EntryBatch) -> Result<Vec<u64>, Failure> {
///         let add = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
///         Ok(entries.iter().map(|entry| (self.0 += add(entry.payload), self.0).1).collect())
///     }
///
///     fn lookup(&self, (): &()) -> Result<u64, Failure> {
///         Ok(self.0)
///     }
///
///     fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
///         let mut bytes = [0; 8];
///         std::io::Read::read_exact(from, &mut bytes)?;
///         self.0 = u64::from_le_bytes(bytes);
///         Ok(())
///     }
/// }
///
/// impl SaveSnapshot for Sum {
///     fn save_snapshot(&self, to: &mut dyn std::io::Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
///         Ok(to.write_all(&self.0.to_le_bytes())?)
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// # let mut config = Config::new(dir.path().join("log"));
/// # config.segment_bytes = 256 << 10;
/// let engine = Engine::open(config)?;
/// let (mut driver, recovered) = Driver::blocking(&engine, ShardId(1), Sum::default(), Options::default())?;
/// assert_eq!(recovered.applied, None);
///
/// let mut batch = engine.batch();
/// batch.append_payload(ShardId(1), EntryId { index: 1, term: 1 }, &[2, 3])?;
/// batch.append_payload(ShardId(1), EntryId { index: 2, term: 1 }, &[4])?;
/// engine.write(batch)?;
/// driver.commit(2); // so says the raft core
/// while let Some(applied) = driver.apply()? {
///     assert_eq!(applied.outputs, [5, 9]);
/// }
/// if let Some(job) = driver.upkeep()?.job {
///     driver.finish(job.run())?;
/// }
/// assert_eq!(driver.reader().lookup(&())?, 9);
/// driver.close()?;
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver<M: StateMachine> {
    engine: Engine,
    shard: Shard,
    options: Options,
    cell: Arc<MachineCell<M>>,
    saving: Saving<M>,
    /// How the machine keeps its own state, if it does.
    keeping: Option<Keeping<M>>,
    /// One past the last applied entry; `None` while none was, wherever the log begins.
    next: Option<u64>,
    /// The last entry known to be committed.
    committed: Option<u64>,
    /// One past the last entry passed to `pre_commit`.
    shown: u64,
    /// The last index of the durable state.
    saved: Option<u64>,
    /// The bytes of the log's applied entries.
    sizes: EntrySizes,
    /// The first index that each follower needs.
    followers: BTreeMap<u64, u64>,
    /// A snapshot was requested, of at least this index.
    requested: Option<u64>,
    /// After a failed save, the policy tries no snapshot before this index is applied.
    retry_at: u64,
    /// The running job, until it is dropped.
    job: Option<(Weak<()>, Stop)>,
    halted: Option<Cause<Error>>,
}

/// Options of a [`Driver`]. Fields are assigned after [`default`](Default::default).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Decides when a snapshot is due, and how much log stays behind it.
    pub policy: SnapshotPolicy,
    /// The most bytes of payload and context per update; a single larger entry is passed alone. Default: 1 MiB.
    pub update_bytes: u64,
    /// The boundary of the empty state, for raft cores that begin their logs behind one, as raft-rs does behind index
    /// 0. A log with any other boundary was compacted or reset, and needs a snapshot. Default: `None`, a log begins
    /// without a boundary.
    pub begins_behind: Option<u64>,
    /// How snapshots are compressed. Default: not at all.
    pub codec: Codec,
    /// Ends a recovery from a snapshot early. Default: a signal that is never given.
    pub stop: Stop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: SnapshotPolicy::default(),
            update_bytes: 1 << 20,
            begins_behind: None,
            codec: Codec::None,
            stop: Stop::new(),
        }
    }
}

impl<M: SaveSnapshot> Driver<M> {
    /// A driver of a machine in memory with blocking snapshots: its updates wait while it is saved. Pass an empty
    /// machine: the driver first recovers its durable state, as [`Recovered`] says.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::Ahead`], [`Error::Term`] when state and log do not meet; [`Error::Machine`];
    /// [`Error::Engine`], with `Quarantined` if the shard's hard state or newest snapshot may be lost.
    pub fn blocking(engine: &Engine, shard: ShardId, machine: M, options: Options) -> Result<(Self, Recovered)> {
        Self::open(engine, shard, machine, options, Saving::blocking(), None)
    }
}

impl<M: PrepareSnapshot> Driver<M> {
    /// [`Driver::blocking`] for a machine in memory that is saved concurrently with updates.
    ///
    /// # Errors
    /// As [`Driver::blocking`].
    pub fn concurrent(engine: &Engine, shard: ShardId, machine: M, options: Options) -> Result<(Self, Recovered)> {
        Self::open(engine, shard, machine, options, Saving::prepared(), None)
    }
}

impl<M: OnDisk> Driver<M> {
    /// A driver of a machine that keeps its state on disk: continues behind the machine's last entry, and syncs the
    /// machine instead of saving snapshots, which are saved only on [request](Driver::request_snapshot).
    ///
    /// Unless it [recovered](Recovered::snapshot) from a snapshot, call [`Driver::set_membership`] with the membership
    /// as of the applied index, which the raft core knows.
    ///
    /// # Errors
    /// As [`Driver::blocking`].
    pub fn on_disk(engine: &Engine, shard: ShardId, machine: M, options: Options) -> Result<(Self, Recovered)> {
        Self::open(engine, shard, machine, options, Saving::prepared(), Some(Keeping::new()))
    }
}

impl<M: StateMachine> Driver<M> {
    /// The shard whose entries it applies.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The last applied entry, recovered state included; `None` before the first.
    pub fn applied(&self) -> Option<u64> {
        self.next.and_then(|next| next.checked_sub(1))
    }

    /// The last index of the durable state, in a registered snapshot or in the machine itself.
    pub fn saved(&self) -> Option<u64> {
        self.saved
    }

    /// A reader that queries the machine from any thread.
    pub fn reader(&self) -> Reader<M> {
        Reader(Arc::clone(&self.cell))
    }

    /// Sets the membership of the raft group as of the applied index, for later snapshots. Call it between applying a
    /// change of the membership and the next [`Driver::upkeep`].
    ///
    /// # Errors
    /// [`Error::Halted`].
    pub fn set_membership(&mut self, membership: Bytes) -> Result<()> {
        self.check()?;
        self.cell.write().get()?.membership = membership;
        Ok(())
    }

    /// Closes the machine. Stops a running save; later lookups of [readers](Reader) fail with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub fn close(mut self) -> Result<()> {
        self.stop_job();
        match self.cell.take() {
            Some(current) => current.machine.close().map_err(|failure| Error::machine("close", failure)),
            None => Ok(()),
        }
    }

    fn new(engine: &Engine, shard: ShardId, options: Options, current: MachineState<M>, saving: Saving<M>) -> Self {
        Self {
            engine: engine.clone(),
            shard: engine.shard(shard),
            options,
            cell: MachineCell::new(current),
            saving,
            keeping: None,
            next: None,
            committed: None,
            shown: 0,
            saved: None,
            sizes: EntrySizes::default(),
            followers: BTreeMap::new(),
            requested: None,
            retry_at: 0,
            job: None,
            halted: None,
        }
    }

    /// The first index of the log, or where it continues if it is empty; 0 if that may be anywhere.
    fn first(&self) -> u64 {
        let bounds = self.shard.bounds();
        bounds.first.or(bounds.boundary.map(|boundary| boundary.index.saturating_add(1))).unwrap_or(0)
    }

    /// The last index of the log, its boundary included.
    fn end(&self) -> Option<u64> {
        let bounds = self.shard.bounds();
        bounds.last.or(bounds.boundary.map(|boundary| boundary.index))
    }

    fn check(&self) -> Result<()> {
        match &self.halted {
            Some(first) => Err(Error::Halted { first: first.clone() }),
            None => Ok(()),
        }
    }

    /// Stops the driver for good because of an error.
    fn halt(&mut self, error: Error) -> Error {
        self.halted = Some(error.clone().into());
        self.stop_job();
        error
    }

    /// Ends a running save.
    pub(crate) fn stop_job(&mut self) {
        if let Some((_, stop)) = self.job.take() {
            stop.stop();
        }
    }
}

impl<M: StateMachine> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("shard", &self.shard)
            .field("applied", &self.applied())
            .field("saved", &self.saved)
            .finish_non_exhaustive()
    }
}
