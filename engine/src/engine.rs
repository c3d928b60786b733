//! The engine: what is opened, submitted to and closed.

use std::{fmt, path::Path, sync::Arc};

use logboom_disk::Disk;

use crate::{
    append::{admit, batch::Batch, rejected::Rejected, submit::accept_unknown_losses},
    backup::{Backup, BackupReport},
    health::Health,
    maintenance::{
        core::Core,
        space::{self, SpaceReport},
    },
    metrics::Metrics,
    read::shard::Shard,
    read_only::ReadOnly,
    recovery::{
        open,
        report::{OpenReport, Segment},
    },
    shard_state::quarantine::Quarantine,
    snapshots::Snapshots,
    ticket::Ticket,
    types::{
        config::Config,
        error::{Error, Limit, Result},
        ids::ShardId,
        payload::Entry,
    },
};
use logboom_wal::{Durability, Reservation, Runtime, SegmentId};

/// The logs of many shards in one directory: an open engine.
///
/// Clones are handles to the same engine, for any thread. The last one's drop closes it as [`Engine::close`] does,
/// and loses the result; a [`Shard`] or [`Snapshots`] that is still there does not put that off. These can be read on,
/// and hold the directory until they are dropped: it cannot be opened again before.
///
/// # Example
/// ```
/// use logboom::{Config, Durability, Engine, Entry, ShardId};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log");
/// let mut config = Config::new(&path);
/// config.segment_bytes = 1 << 20;
/// let engine = Engine::open(config.clone())?;
/// let mut batch = engine.batch();
/// batch.append(ShardId(7), Entry::new(1, 1, b"hello"))?;
/// engine.submit(batch, Durability::Durable)?.wait()?;
/// engine.close()?;
///
/// let engine = Engine::open(config)?;
/// assert_eq!(engine.shard(ShardId(7)).entries(1..2, u64::MAX)?.get(1).unwrap().payload, b"hello");
/// # engine.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Owner>);

/// Closes the engine when the last handle goes; not in a child that was forked. Handles to shards and snapshots, and
/// the machines, do not put that off: they hold the directory's lock alone.
struct Owner {
    core: Arc<Core>,
    report: OpenReport,
}

impl Engine {
    /// Opens the log in a directory, or creates it, and recovers it: everything that it reports from then on survives
    /// power loss, a surviving tail that nobody was told about included. Where something durable is damaged, the
    /// shards that it hits are in quarantine: [`Engine::quarantined`].
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Locked`], [`Error::Permission`], [`Error::ReadOnly`], [`Error::Foreign`],
    /// [`Error::Identity`], [`Error::NewerFormat`], [`Error::Corruption`], [`Error::Full`], [`Error::Files`],
    /// [`Error::Io`]. The log is as it was then.
    pub fn open(config: Config) -> Result<Self> {
        config.check()?;
        let disk = open::disk(&config)?;
        Self::open_on(disk, config, Runtime::Threads)
    }

    /// [`Engine::open`] on a disk that the caller made, a simulated one for instance; [`Config::dir`] and
    /// [`Config::disk`] mean nothing then. With [`Runtime::Manual`] nothing happens but in calls of the engine, and
    /// the same calls on the same simulated disk make the same history.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_on(disk: Arc<dyn Disk>, config: Config, runtime: Runtime) -> Result<Self> {
        let (core, report) = open::log(disk, &config, runtime)?;
        Ok(Self(Arc::new(Owner { core, report })))
    }

    /// Reads the log in a directory as it is at this moment: nothing is written, no lock is needed, and a writer may
    /// have it open.
    ///
    /// # Errors
    /// As [`Engine::open`], but for locks; [`Error::Foreign`] when there is no log, [`Error::Identity`] only when
    /// nothing of it can be read. What a writer does meanwhile can make a look fail with [`Error::Corruption`] or
    /// [`Error::Io`], or find damage where there is none. So it looks again, up to eight times and with half a second
    /// of pauses, until all is well or two looks in a row have found the same. Where a log changes faster than that,
    /// [`Error::Io`] of the kind `ResourceBusy`: try again then.
    pub fn open_read_only(config: Config) -> Result<ReadOnly> {
        ReadOnly::open(&config)
    }

    /// An empty batch.
    pub fn batch<'a>(&self) -> Batch<'a> {
        admit::batch(&self.0.core)
    }

    /// Accepts a batch: when this returns it is in the order of the log and can be read; it survives power loss when
    /// the ticket says so. Waits while too many bytes await durability.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotLazy`]; [`Error::Gap`], [`Error::Compacted`], [`Error::Beyond`],
    /// [`Error::Unapplied`], [`Error::Term`] for what does not fit the log of a shard; [`Error::Quarantined`] for one
    /// of which something is lost; [`Error::TooLarge`], [`Error::Full`],
    /// [`Error::Closed`], [`Error::Poisoned`]. None of the batch was done then.
    pub fn submit(&self, mut batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
        admit::submit(&self.0.core, &mut batch, durability, Reservation::finish).map(Ticket::new)
    }

    /// [`Engine::submit`] without waiting; gives the batch back when it is refused.
    ///
    /// # Errors
    /// Those of [`Engine::submit`], and [`Error::Busy`] where that would wait for durability. [`Error::Full`] may pass:
    /// the background was asked to reclaim.
    #[expect(clippy::result_large_err, reason = "the batch comes back by value, and only when it is refused")]
    pub fn try_submit<'a>(&self, mut batch: Batch<'a>, durability: Durability) -> Result<Ticket, Rejected<'a>> {
        let submitted = admit::try_submit(&self.0.core, &mut batch, durability).map(Ticket::new);
        submitted.map_err(|error| Rejected { batch, error })
    }

    /// [`Engine::submit`], awaiting admission, and room when the log is full, which the background then makes: a future
    /// of no particular runtime. The ticket is another.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub async fn submit_async(&self, mut batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
        admit::submit_async(&self.0.core, &mut batch, durability).await.map(Ticket::new)
    }

    /// Submits a batch and waits until it is durable. A lone writer's shortest way: when the log is idle, the batch
    /// is written in the calling thread.
    ///
    /// # Errors
    /// Those of [`Engine::submit`] and of [`Ticket::wait`].
    pub fn write(&self, batch: Batch<'_>) -> Result<()> {
        admit::write(&self.0.core, batch)
    }

    /// A handle to a shard. Every shard exists; one that nothing was written to is empty, and the engine keeps nothing
    /// of it.
    pub fn shard(&self, id: ShardId) -> Shard {
        Shard::new(Arc::clone(&self.0.core.store), id)
    }

    /// The snapshots beside the log.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(Arc::clone(&self.0.core))
    }

    /// The shards that hold anything, sorted: entries, a boundary, a hard state, a commit hint or keys.
    pub fn shards(&self) -> Vec<ShardId> {
        self.0.core.store.shard_ids()
    }

    /// The shards of which something is lost, sorted. All others are whole.
    pub fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        self.0.core.store.shards.quarantined()
    }

    /// Tells the engine that something in these segments is damaged, as a verification has found. Reads every live
    /// entry in them, about a MiB at a time: those that are lost put their shards in [quarantine](Shard::quarantine),
    /// and reclaiming moves what is intact to other segments. The engine does the same by itself for what opening, its
    /// scrub or reclaiming find. Blocks for the disk; the log goes on meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] when the disk does not answer.
    pub fn report_damage(&self, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        self.0.core.check_open()?;
        self.0.core.report_damage(segments)
    }

    /// Hands entries in again that a shard has lost, or that a read found damaged: [`Batch::heal`] for each, in as many
    /// batches as that takes, and durable. What an error leaves undone can be done again.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Beyond`], [`Error::Term`], [`Error::TooLarge`] for what is not an entry of the
    /// shard; those of [`Engine::write`].
    pub fn heal<'a>(&self, shard: ShardId, entries: impl IntoIterator<Item = Entry<'a>>) -> Result<()> {
        self.0.core.check_open()?;
        let mut batch = self.batch();
        for entry in entries {
            let refused = batch.heal(shard, entry.clone()).map(drop);
            match refused {
                Err(Error::TooLarge { what: Limit::Batch | Limit::Records, .. }) if !batch.is_empty() => {
                    self.write(std::mem::replace(&mut batch, self.batch()))?;
                    batch.heal(shard, entry)?;
                }
                outcome => outcome?,
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// Whether shards that nothing is known of are held back: records are lost that may have been theirs. Each is
    /// in [quarantine](Shard::quarantine) until it is [accepted](Batch::accept_loss) or
    /// destroyed, or all of them [are](Engine::accept_unknown_losses).
    pub fn has_unknown_losses(&self) -> bool {
        self.0.core.store.shards.has_unknown_losses()
    }

    /// Accepts that records are lost of shards that nothing is known of: says that no shard exists but those that are
    /// known, or that the caller knows better. The others are not held back any more. Durable on return; does nothing
    /// where none are.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Full`], [`Error::Poisoned`].
    pub fn accept_unknown_losses(&self) -> Result<()> {
        self.0.core.check_open()?;
        accept_unknown_losses(&self.0.core)
    }

    /// A ticket for everything that was submitted before, lazy batches included, which are written now.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn barrier(&self) -> Result<Ticket> {
        self.0.core.check_open()?;
        Ok(Ticket::new(self.0.core.wal.barrier()))
    }

    /// Copies the log into the directory `dir`, which is created or must be empty, while the engine goes on: the copy
    /// opens as an engine with everything that was accepted when the call began, and maybe a little more. It is
    /// durable on return; before that it is not taken for a log, and after an error what there was of it is removed.
    ///
    /// Reads and writes pieces of 1 MiB and pauses after each for as long as it took, so that the disk is the
    /// engine's for half of the time: [`Engine::backup_on`] leaves the pace to the caller. Takes that much memory, and
    /// that of a checkpoint. Segments that are freed meanwhile are used again only when they are copied, and count as
    /// used in a log whose space is bounded. Snapshots are copied as well, and removed only behind that. Shards in
    /// quarantine are so in the copy; [`BackupReport::quarantined`] names them.
    ///
    /// The directory is used with the defaults of [`DiskOptions`](crate::DiskOptions); [`Engine::backup_on`] takes any
    /// disk.
    ///
    /// The copy is the same log, by its identity: to be opened in place of the other or beside it, but no file of the
    /// one may ever be put among those of the other, and nodes of a raft group must not run on both.
    ///
    /// # Errors
    /// [`Error::Target`] for whatever the directory or its disk refuses. [`Error::Corruption`] when no checkpoint is
    /// intact, [`Error::Io`] when the engine's own disk cannot be read; [`Error::Closed`], [`Error::Full`],
    /// [`Error::Poisoned`]. Only a failed sync on the device that the engine is on poisons the engine.
    ///
    /// # Example
    /// ```
    /// use logboom::{Config, Engine, ShardId};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let mut config = Config::new(dir.path().join("log"));
    /// # config.segment_bytes = 1 << 20;
    /// # let copy = dir.path().join("copy");
    /// # let engine = Engine::open(config.clone())?;
    /// let mut batch = engine.batch();
    /// batch.append_payload(ShardId(7), 1, 1, b"hello")?;
    /// engine.write(batch)?;
    /// let report = engine.backup(&copy)?;
    /// println!("{} bytes of {} segments", report.copied.bytes, report.copied.segments);
    ///
    /// # config.dir = copy.clone();
    /// # /*
    /// let config = Config::new(copy);
    /// # */
    /// let copy = Engine::open(config)?;
    /// assert_eq!(copy.shard(ShardId(7)).last(), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport> {
        self.0.core.check_open()?;
        self.backup_on(open::vacant_disk(dir.as_ref())?)?.run()
    }

    /// Begins a [backup](Engine::backup) on a disk that the caller opened, which must be empty. What it will hold is
    /// fixed, and durable in this engine, on return; the steps are the caller's.
    ///
    /// # Errors
    /// As [`Engine::backup`].
    pub fn backup_on(&self, disk: Arc<dyn Disk>) -> Result<Backup> {
        self.0.core.check_open()?;
        Backup::begin(&self.0.core, disk)
    }

    /// Closes the engine for all its handles: waits until everything is durable, writes what makes the next opening
    /// short, and ends the threads. Closing again does nothing.
    ///
    /// Shards and snapshots can still be read through handles made before. The directory is free to be opened again
    /// when those, and the engine's other handles, are dropped.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when not everything that was accepted is durable. [`Error::Io`], [`Error::Full`] when only
    /// the next opening takes longer. [`Error::Forked`] in a child that was forked: nothing is done there.
    pub fn close(self) -> Result<()> {
        self.0.core.close()
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        &self.0.report
    }

    /// Gives back at once what can be given back: moves what is live out of segments that are mostly dead, and writes
    /// down that nothing refers to these. The engine does the same in the background, at a pace that appending does
    /// not feel; whoever wants the space now, or drives the engine by hand, calls this. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], [`Error::Full`], [`Error::Poisoned`]. Nothing is lost then; what was not moved
    /// stays where it is.
    pub fn reclaim(&self) -> Result<SpaceReport> {
        self.0.core.check_open()?;
        let core = &self.0.core;
        let mut reclaimed = space::reclaim(core);
        let verified = core.verifier.lock().finish(core);
        if core.store.losses.has_verified() {
            // What is lost is known now, so what lies beside it can move, and what could not be read was tried again.
            reclaimed = space::reclaim(core);
        }
        reclaimed.and(verified)?;
        Ok(self.space())
    }

    /// Where the space of the log is, and which shards hold it back. Looks at every shard.
    pub fn space(&self) -> SpaceReport {
        space::report(&self.0.core)
    }

    /// The live segments of the log, and how much of each is live: the cold ones, and then the others, oldest first.
    /// The last one is being written.
    pub fn segments(&self) -> Vec<Segment> {
        let core = &self.0.core;
        let live = |info: logboom_wal::SegmentInfo| Segment::new(info, core.usage.live(info.id));
        core.wal.segments().into_iter().map(live).collect()
    }

    /// Whether the engine is well.
    pub fn health(&self) -> Health {
        Health::of(&self.0.core)
    }

    /// Counters since the engine was opened.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.0.core)
    }

    /// With [`Runtime::Manual`]: does some of what threads would do, and says whether there was anything to do. Time
    /// that must pass is the caller's clock's.
    pub fn drive_once(&self) -> bool {
        self.0.core.wal.drive()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("shards", &self.0.core.store.shards.len()).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.core.wal.check_process().is_err() {
            // A forked child has no threads to end, and what those had locked stays locked there: nothing is touched.
            std::mem::forget(Arc::clone(&self.core));
            return;
        }
        // Whoever wants to know calls `close`.
        drop(self.core.close());
    }
}
