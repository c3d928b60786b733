//! The handle to an open engine.

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
        report::{OpenReport, SegmentSpace},
    },
    shard_state::quarantine::Quarantine,
    snapshots::Snapshots,
    ticket::Ticket,
    types::{
        config::Config,
        error::{Error, Result},
        ids::ShardId,
        limits::Limit,
        payload::Entry,
    },
};
use logboom_wal::{Durability, Reservation, Runtime, SegmentId};

/// The logs of many shards in one directory: an open engine.
///
/// Clones are handles to the same engine, for any thread. Dropping the last one closes the engine as [`Engine::close`]
/// does, and ignores the result. A [`Shard`] or [`Snapshots`] does not keep the engine open, but can still be read, and
/// keeps the directory locked until it is dropped.
///
/// # Example
/// ```
/// use logboom::{Config, Durability, Engine, Entry, EntryId, ShardId};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log");
/// let mut config = Config::new(&path);
/// config.segment_bytes = 1 << 20;
/// let engine = Engine::open(config.clone())?;
/// let mut batch = engine.batch();
/// batch.append(ShardId(7), Entry::new(EntryId { index: 1, term: 1 }, b"hello"))?;
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

/// Closes the engine when the last handle is dropped, but not in a forked child.
struct Owner {
    core: Arc<Core>,
    report: OpenReport,
}

impl Engine {
    /// Opens or creates the log in a directory, and recovers it. All recovered state is durable on return, also batches
    /// that survived the crash without having been acknowledged. Shards that lost durable data are in quarantine:
    /// [`Engine::quarantined`].
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Locked`], [`Error::Permission`], [`Error::ReadOnly`], [`Error::Foreign`],
    /// [`Error::Identity`], [`Error::NewerFormat`], [`Error::Corruption`], [`Error::Full`], [`Error::Files`],
    /// [`Error::Io`]. The log is unchanged then.
    pub fn open(config: Config) -> Result<Self> {
        config.check()?;
        let dir = config.dir.clone();
        let opened = open::disk(&config).and_then(|disk| Self::open_on(disk, config, Runtime::Threads));
        opened.map_err(|error| error.in_dir(&dir))
    }

    /// [`Engine::open`] on a disk that the caller opened, for instance a simulated one; [`Config::dir`] and
    /// [`Config::disk`] are ignored. With [`Runtime::Manual`] the engine has no threads and works only inside calls:
    /// the same calls on the same simulated disk repeat a history.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_on(disk: Arc<dyn Disk>, config: Config, runtime: Runtime) -> Result<Self> {
        let (core, report) = open::log(disk, &config, runtime)?;
        Ok(Self(Arc::new(Owner { core, report })))
    }

    /// Reads the log in a directory: writes nothing, takes no lock, and another process may be writing the log.
    ///
    /// # Errors
    /// As [`Engine::open`], but for locks; [`Error::Foreign`] when there is no directory or no log in it,
    /// [`Error::Identity`] only when nothing of it can be read. A concurrent writer can make an attempt fail with
    /// [`Error::Corruption`] or [`Error::Io`], or find damage where there is none. So up to eight attempts are made,
    /// with half a second of pauses in all, until one finds no fault or two in a row find the same. [`Error::Io`] of
    /// the kind `ResourceBusy` if the log changes faster: try again.
    pub fn open_read_only(config: Config) -> Result<ReadOnly> {
        ReadOnly::open(&config)
    }

    /// An empty batch.
    pub fn batch<'a>(&self) -> Batch<'a> {
        admit::batch(&self.0.core)
    }

    /// Accepts a batch: on return it has its place in the log and can be read, and is durable when the ticket
    /// completes. Blocks while more than [`Config::admission_bytes`] await durability, and reclaims when the log is
    /// full.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotLazy`]; [`Error::Gap`], [`Error::Compacted`], [`Error::Beyond`],
    /// [`Error::Unapplied`], [`Error::Leased`], [`Error::Term`] if an operation does not fit the log of its shard;
    /// [`Error::Quarantined`] if the shard has lost something; [`Error::Snapshot`] for a registration;
    /// [`Error::TooLarge`], [`Error::Full`], [`Error::Closed`], [`Error::Poisoned`]. On error the batch had no effect.
    pub fn submit(&self, mut batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
        admit::submit(&self.0.core, &mut batch, durability, Reservation::finish).map(Ticket::new)
    }

    /// [`Engine::submit`] that never blocks for admission, and returns the batch when it is refused.
    ///
    /// # Errors
    /// Those of [`Engine::submit`], and [`Error::Busy`] where that would block for admission. [`Error::Full`] may be
    /// transient: it makes the background reclaim.
    #[expect(clippy::result_large_err, reason = "the batch comes back by value, and only when it is refused")]
    pub fn try_submit<'a>(&self, mut batch: Batch<'a>, durability: Durability) -> Result<Ticket, Rejected<'a>> {
        let submitted = admit::try_submit(&self.0.core, &mut batch, durability, Reservation::finish);
        submitted.map(Ticket::new).map_err(|error| Rejected { batch, error })
    }

    /// [`Engine::try_submit`] of a durable batch for a caller that waits for it next, after it has released a lock for
    /// instance: no thread is woken to write the batch until the ticket is waited for, polled, given a callback,
    /// [begun](Ticket::begin) or dropped. [`Ticket::wait`] writes it in the calling thread if the log is idle, as
    /// [`Engine::write`] does. A write of another batch takes it along.
    ///
    /// # Errors
    /// As [`Engine::try_submit`].
    #[expect(clippy::result_large_err, reason = "the batch comes back by value, and only when it is refused")]
    pub fn try_submit_deferred<'a>(&self, mut batch: Batch<'a>) -> Result<Ticket, Rejected<'a>> {
        let (core, durability) = (&self.0.core, Durability::Durable);
        let submitted = admit::try_submit(core, &mut batch, durability, Reservation::finish_for_waiter);
        submitted.map(Ticket::new).map_err(|error| Rejected { batch, error })
    }

    /// [`Engine::submit`] that awaits admission, and in a full log awaits space that the background reclaims. The
    /// future needs no particular runtime; the ticket is a future too.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub async fn submit_async(&self, mut batch: Batch<'_>, durability: Durability) -> Result<Ticket> {
        admit::submit_async(&self.0.core, &mut batch, durability).await.map(Ticket::new)
    }

    /// Submits a batch and blocks until it is durable. The fastest call for a single writer: if the log is idle, the
    /// calling thread writes the batch itself.
    ///
    /// # Errors
    /// Those of [`Engine::submit`] and of [`Ticket::wait`].
    pub fn write(&self, batch: Batch<'_>) -> Result<()> {
        admit::write(&self.0.core, batch)
    }

    /// A handle to a shard. Every shard exists; one that was never written to is empty and takes no memory.
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

    /// The shards that have lost something, sorted by id.
    pub fn quarantined(&self) -> Vec<(ShardId, Quarantine)> {
        self.0.core.store.shards.quarantined()
    }

    /// Reports segments in which a verification has found damage. Reads every live entry in them, about a MiB at a
    /// time: lost ones put their shards in [quarantine](Shard::quarantine), and reclaiming moves intact ones to other
    /// segments. The engine does the same by itself for damage that opening, its scrub or reclaiming find. Blocks for
    /// the disk; other threads can go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] when the disk fails.
    pub fn report_damage(&self, segments: impl IntoIterator<Item = SegmentId>) -> Result<()> {
        self.0.core.check_open()?;
        self.0.core.report_damage(segments)
    }

    /// Restores entries that a shard has lost, or that a read found damaged: [`Batch::heal`] for each, in as many
    /// batches as needed. Durable on return. After an error it can be called again with the same entries.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Beyond`], [`Error::Term`], [`Error::TooLarge`] if an entry is not one of the
    /// shard's; those of [`Engine::write`].
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

    /// Whether shards without any known record are held back, because lost records may have been theirs. Each is in
    /// [quarantine](Shard::quarantine) until its loss is [accepted](Batch::accept_loss) or it is destroyed, or until
    /// [`Engine::accept_unknown_losses`].
    pub fn has_unknown_losses(&self) -> bool {
        self.0.core.store.shards.has_unknown_losses()
    }

    /// Accepts that lost records may have been those of shards without any known record: such shards are not held back
    /// any more, and are empty. Durable on return. Does nothing unless [`Engine::has_unknown_losses`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Full`], [`Error::Poisoned`].
    pub fn accept_unknown_losses(&self) -> Result<()> {
        self.0.core.check_open()?;
        accept_unknown_losses(&self.0.core)
    }

    /// A ticket for all batches that were submitted before. Lazy ones are written now.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn barrier(&self) -> Result<Ticket> {
        self.0.core.check_open()?;
        Ok(Ticket::new(self.0.core.wal.barrier()))
    }

    /// Copies the log into the directory `dir`, which is created or must be empty, while the engine is in use. The copy
    /// opens as an engine with all batches that were accepted when the call began, and possibly some later ones. It is
    /// durable on return. Until then it cannot be opened as a log, and on error it is removed.
    ///
    /// Copies 1 MiB at a time and pauses after each for as long as it took, so that the engine has the disk for half of
    /// the time; [`Engine::backup_on`] leaves the pace to the caller. Needs 1 MiB of memory and that of a checkpoint.
    /// Segments that are freed meanwhile are reused only after they are copied, and count against
    /// [`Config::space_bytes_max`]. Snapshots are copied as well, and removed only after that. Shards in quarantine are
    /// in quarantine in the copy: see [`BackupReport::quarantined`].
    ///
    /// The directory is opened with the default [`DiskOptions`](crate::DiskOptions); [`Engine::backup_on`] takes any
    /// disk.
    ///
    /// The copy has the identity of this log. Open it in place of the log, or beside it, but never mix the files of the
    /// two, and never run raft nodes on both.
    ///
    /// # Errors
    /// [`Error::Target`] for failures of the directory or its disk. [`Error::Corruption`] when no checkpoint is intact,
    /// [`Error::Io`] when the engine's own disk cannot be read; [`Error::Closed`], [`Error::Full`],
    /// [`Error::Poisoned`]. A failed sync poisons the engine only if the copy is on the engine's own device.
    ///
    /// # Example
    /// ```
    /// use logboom::{Config, Engine, EntryId, ShardId};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let mut config = Config::new(dir.path().join("log"));
    /// # config.segment_bytes = 1 << 20;
    /// # let copy = dir.path().join("copy");
    /// # let engine = Engine::open(config.clone())?;
    /// let mut batch = engine.batch();
    /// batch.append_payload(ShardId(7), EntryId { index: 1, term: 1 }, b"hello")?;
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
        let dir = dir.as_ref();
        let begun = open::vacant_disk(dir).and_then(|disk| self.backup_on(disk));
        begun.map_err(|error| error.in_dir(dir))?.run()
    }

    /// Begins a [backup](Engine::backup) on an empty disk that the caller opened. On return the contents of the backup
    /// are fixed, and durable in this engine; the caller then makes the steps.
    ///
    /// # Errors
    /// As [`Engine::backup`].
    pub fn backup_on(&self, disk: Arc<dyn Disk>) -> Result<Backup> {
        self.0.core.check_open()?;
        Backup::begin(&self.0.core, disk)
    }

    /// Closes the engine for all its handles: waits until all batches are durable, writes footers and a checkpoint for
    /// a fast next opening, and stops the threads. Closing again does nothing.
    ///
    /// Existing handles to shards and snapshots can still read. The directory can be opened again when those, and all
    /// handles to the engine, are dropped.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if some accepted batches are not durable. [`Error::Io`], [`Error::Full`] if all are, and
    /// only the next opening takes longer. [`Error::Forked`] in a forked child: nothing is done.
    pub fn close(self) -> Result<()> {
        self.0.core.close()
    }

    /// The report of the opening.
    pub fn open_report(&self) -> &OpenReport {
        &self.0.report
    }

    /// Frees all space that can be freed now: moves live records out of mostly dead segments, writes checkpoints, and
    /// frees the dead segments. The background does the same, slowly enough not to delay appends. Blocks; durable on
    /// return.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], [`Error::Full`], [`Error::Poisoned`]. Nothing is lost then, and records that
    /// were not moved stay where they are.
    pub fn reclaim(&self) -> Result<SpaceReport> {
        self.0.core.check_open()?;
        let core = &self.0.core;
        let mut reclaimed = space::reclaim(core);
        let verified = core.verifier.lock().finish(core);
        if core.store.losses.has_verified() {
            // Segments whose losses are known now can be emptied.
            reclaimed = space::reclaim(core);
        }
        reclaimed.and(verified)?;
        Ok(self.space())
    }

    /// The use of the log's space, and the shards that keep it from being freed. Visits every shard.
    pub fn space(&self) -> SpaceReport {
        space::report(&self.0.core)
    }

    /// The segments in use, and how much of each is live: the cold ones first, then the others, oldest first. The last
    /// one is the active one.
    pub fn segments(&self) -> Vec<SegmentSpace> {
        let core = &self.0.core;
        let live = |info: logboom_wal::SegmentInfo| SegmentSpace::new(info, core.usage.live(info.id));
        core.wal.segments().into_iter().map(live).collect()
    }

    /// The health of the engine.
    pub fn health(&self) -> Health {
        Health::of(&self.0.core)
    }

    /// Counters since the engine was opened.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.0.core)
    }

    /// With [`Runtime::Manual`]: does a bounded amount of the work that threads do otherwise. Returns whether there was
    /// any. The caller advances the clock.
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
            // A forked child has no threads to stop, and locks that they held stay locked: touch nothing.
            std::mem::forget(Arc::clone(&self.core));
            return;
        }
        drop(self.core.close());
    }
}
