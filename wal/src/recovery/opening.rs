//! Opening a log: finds its files, decides what counts, and prepares the epoch that goes on from there.
//!
//! Nothing of a log changes on the device before all is decided. A crash in here, at any point, any number of times,
//! changes nothing: see FORMAT.md, "Recovery". Two things come earlier: the creation of a new log begins, and files of
//! unfinished segments are removed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use logboom_disk::{Disk, Mode, Pool, Slice};

use crate::{
    format::{echo::Echo, group::Origin, options::Options},
    recovery::{
        find_identity::{FoundIdentity, IdentitySource},
        reader::Reader,
    },
    runtime::{
        notices::Notices,
        watched::{PendingOps, WatchedDisk},
        worker::Runtime,
    },
    scan::{context::LogContext, heads::read_heads, scanned::Scanned, walk::WalkItem},
    segments::{
        aside::Aside,
        footer::FooterParts,
        identity::is_identity,
        log_match::LogMatch,
        medium::Medium,
        segment::{Segment, SegmentInfo, infos, slot_of},
        slots::{Checkpoint, Slots, is_slot},
        supply::{FreeSegment, remove_unfinished},
        unreadable::is_media_error,
    },
    types::{
        damage::{Damage, OddFile},
        error::Error,
        identity_fault::IdentityFault,
        ids::SegmentId,
        marks,
        mutants::{Mutant, unless},
    },
};

/// Idle memory that the log's buffers keep, apart from read-ahead. Finished scans release dozens of MiB at once, and
/// the next ones allocate them again.
const POOL_IDLE_BYTES: usize = 16 << 20;

/// Opens the log on `disk` for reading and writing; the layer above replays it next.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Identity`], [`Error::NewerFormat`], [`Error::Unsupported`], [`Error::Io`]; no existing
/// log was changed. A new log may have been created in part: opening it again goes on with that.
pub fn open(disk: Arc<dyn Disk>, options: Options, runtime: Runtime) -> Result<Opening, Error> {
    options.check()?;
    Opening::find(disk, options, runtime, Mode::Write)
}

/// Opens the log on `disk` for reading what recovery would accept now. Writes and locks nothing.
///
/// # Errors
/// As [`open`]; a directory without a log is [`Error::Foreign`].
pub fn open_read_only(disk: Arc<dyn Disk>, options: Options) -> Result<Opening, Error> {
    Opening::find(disk, options, Runtime::Threads, Mode::Read)
}

/// A log that is being opened: reads its checkpoint and footers, and replays its newer records.
pub struct Opening {
    pub(crate) context: LogContext,
    pub(crate) found_identity: FoundIdentity,
    pub(crate) slots: Slots,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) live: BTreeMap<SegmentId, Arc<Segment>>,
    /// Segments of the checkpoint that are missing; the replay must show that they were freed.
    pub(crate) missing: Vec<SegmentId>,
    /// The segments at or above the replay position, oldest first.
    pub(crate) to_replay: Vec<Arc<Segment>>,
    /// Cold segments with more groups than the checkpoint states.
    pub(crate) cold_beyond_checkpoint: Vec<Arc<Segment>>,
    pub(crate) free: VecDeque<FreeSegment>,
    /// Segment files that could not be read completely, or have a wrong size: their sizes, by slot.
    pub(crate) odd: BTreeMap<u32, u64>,
    /// Segment files that hold nothing of the log any more and are not reused.
    pub(crate) aside: Vec<Aside>,
    pub(crate) next_slot: u32,
    pub(crate) highest: Highest,
    /// Why the log must have continued after the accepted end, if something proves that.
    pub(crate) lost_end: Option<String>,
    pub(crate) accepted: Origin,
    /// The epoch of the last accepted group, 0 for none.
    pub(crate) accepted_epoch: u64,
    /// Segment files of a wrong size that are not proven to belong to this log.
    pub(crate) unowned_files: Vec<(String, LogMatch)>,
    /// The descriptors that the next group has to carry.
    pub(crate) echo: Echo,
    pub(crate) replayed: bool,
    pub(crate) report: RecoveryReport,
}

/// The highest numbers that anything found states: the next epoch goes on above them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Highest {
    pub(crate) segment: SegmentId,
    pub(crate) epoch: u64,
}

impl Highest {
    pub(crate) fn raise(&mut self, segment: SegmentId, epoch: u64) {
        self.segment = self.segment.max(segment);
        self.epoch = self.epoch.max(epoch);
    }
}

/// The result of opening a log.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the log was created.
    pub created: bool,
    /// The last epoch found.
    pub epoch: u64,
    /// The number of the checkpoint used, if there was one.
    pub checkpoint: Option<u64>,
    /// The segments, groups and records replayed, and the bytes read for that.
    pub segments_replayed: u64,
    /// See `segments_replayed`.
    pub groups_replayed: u64,
    /// See `segments_replayed`.
    pub records_replayed: u64,
    /// See `segments_replayed`.
    pub bytes_read: u64,
    /// Whether the log was closed: its last group says so.
    pub closed: bool,
    /// The unpromised tail that was cut, if any.
    pub cut: Option<TornTail>,
    /// Durable bytes that are not what was written.
    pub damages: Vec<Arc<Damage>>,
    /// Faults of the identity, if any. A log that is open for writing does not touch the files named here.
    pub identity: Option<Arc<IdentityFault>>,
    /// Files that have a wrong size, or cannot be read completely.
    pub odd_files: Vec<OddFile>,
}

/// A tail of the log that was written, at least in part, and that no later group promised to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The first group that was cut.
    pub sequence: u64,
    /// The segment in which it began.
    pub segment: SegmentId,
    /// The offset at which it began, in bytes.
    pub offset: u32,
    /// The bytes from there to the end of the last intact group.
    pub bytes: u64,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, segment, offset, bytes } = self;
        write!(f, "group {sequence} and what followed it, {bytes} bytes from byte {offset} of segment {segment} on")
    }
}

impl Opening {
    fn find(disk: Arc<dyn Disk>, options: Options, runtime: Runtime, mode: Mode) -> Result<Self, Error> {
        let (clock, notices) = (runtime.clock(), Arc::<Notices>::default());
        let pending = PendingOps::new(Arc::clone(&clock), Arc::clone(&notices));
        let disk: Arc<dyn Disk> = WatchedDisk::around(disk, Arc::clone(&pending));
        if mode == Mode::Write && !disk.facts().direct {
            forget_cached(&*disk)?;
        }
        let ahead = usize::try_from(options.read_ahead_bytes).unwrap_or(usize::MAX);
        let pool = Pool::new(POOL_IDLE_BYTES.saturating_add(ahead));
        let mut report = RecoveryReport::default();
        let found_identity = FoundIdentity::find(&*disk, &pool, &options, &*clock, mode)?;
        report.created = found_identity.source == IdentitySource::Creation;
        let identity = found_identity.identity;
        if mode == Mode::Write {
            // Read-only openings write nothing, so the unit does not matter to them.
            identity.require_pad(disk.facts().pad_unit)?;
            options.check_for(identity.segment_bytes)?;
        }
        let medium = Medium { disk, pool, framing: identity.framing() };
        let (slots, checkpoint) = Slots::open(&medium, &identity, mode)?;
        report.checkpoint = checkpoint.as_ref().map(|checkpoint| checkpoint.number);
        let has_logboom = found_identity.source == IdentitySource::Logboom;
        let context = LogContext { medium, options, runtime, clock, pending, notices, identity, has_logboom, mode };
        let mut opening = Self {
            context,
            found_identity,
            next_slot: slots.free_slot(),
            slots,
            checkpoint,
            live: BTreeMap::new(),
            missing: Vec::new(),
            to_replay: Vec::new(),
            cold_beyond_checkpoint: Vec::new(),
            free: VecDeque::new(),
            odd: BTreeMap::new(),
            aside: Vec::new(),
            highest: Highest::default(),
            lost_end: None,
            accepted: Origin::default(),
            accepted_epoch: 0,
            unowned_files: Vec::new(),
            echo: Echo::default(),
            replayed: false,
            report,
        };
        opening.report_slots()?;
        let mut found = opening.discover()?;
        unless(Mutant::ForeignTakenForFree, || opening.check_identity(&mut found), || Ok(()))?;
        if mode == Mode::Write {
            remove_unfinished(&*opening.context.medium.disk)?;
        }
        opening.place_covered(&mut found)?;
        opening.place_replayed(found)?;
        Ok(opening)
    }

    /// The body of the newest checkpoint.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_ref().map(|checkpoint| &*checkpoint.body)
    }

    /// The replay position: the checkpoint reflects the records in segments below it; those from it on are replayed.
    pub fn replay_from(&self) -> SegmentId {
        self.checkpoint.as_ref().map_or(SegmentId(0), |checkpoint| checkpoint.replay_from)
    }

    /// Reports checkpoints that could not be read.
    fn report_slots(&mut self) -> Result<(), Error> {
        for (name, unreadable) in self.slots.unreadable() {
            self.context.check_device(unreadable)?;
            let what = unreadable.description().unwrap_or_default();
            self.report.odd_files.push(OddFile { name: name.to_owned(), what });
        }
        Ok(())
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.live.values()
    }

    /// The checkpoint slots whose content is not intact.
    pub(crate) fn bad_slots(&self) -> Vec<u8> {
        self.slots.bad()
    }

    /// The live segments: the cold ones first, then those of the log, oldest first. Final only after
    /// [`Opening::replay`], which may show that some were freed.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        infos(&self.live)
    }

    /// The heads of the footers of live segments, in the order of `segments`, read in parallel; `None` if there is
    /// none, or it is not intact or cannot be read. The bodies are not checked: each was durable before its head, and
    /// may be damaged since.
    ///
    /// # Errors
    /// [`Error::Gone`] fails the call; [`Error::Io`] a single head.
    pub fn read_heads(
        &self,
        segments: &[SegmentId],
    ) -> Result<impl Iterator<Item = Result<Option<Slice>, Error>>, Error> {
        let live = |id: &SegmentId| self.live.get(id).map(Arc::clone).ok_or(Error::Gone(*id));
        let heads = read_heads(&self.context, segments.iter().map(live).collect::<Result<_, _>>()?);
        Ok(heads.map(|head| head.or_else(none_if_unreadable)))
    }

    /// Accepts the footer of a segment, because the layer above can use it: the segment is not sealed again.
    pub fn accept_footer(&self, segment: SegmentId) {
        if let Some(segment) = self.live.get(&segment) {
            segment.mark_footer();
        }
    }

    /// A segment's footer; `None` if there is none, or it is not intact or cannot be read.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`].
    pub fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, Error> {
        let segment = self.live.get(&segment).ok_or(Error::Gone(segment))?;
        segment.read_footer(&self.context.medium).or_else(none_if_unreadable)
    }

    /// Scans a segment without a footer whose end is known: calls `each` with every record, and with every loss. What
    /// cannot be read is lost.
    ///
    /// # Errors
    /// [`Error::Io`]; errors of `each`.
    pub fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        self.scan_items(segment, &mut |item| item.give_scanned(each))
    }

    /// [`Opening::scan`] by items.
    pub(crate) fn scan_items(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.context.scan(&self.live, segment, each)
    }

    /// Calls `each` with every accepted record from [`Opening::replay_from`] on, in the order of the log, and with
    /// every loss where durable groups are not intact; [`RecoveryReport::damages`] has the places.
    ///
    /// # Errors
    /// [`Error::Io`]; errors of `each`.
    pub fn replay(&mut self, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        self.replay_items(&mut |item| item.give_scanned(each))?;
        self.replayed = true;
        Ok(())
    }

    /// The results so far; complete after [`Opening::replay`].
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Ends the opening with a log for reading only.
    ///
    /// # Errors
    /// Those of [`Opening::replay`] if it was not called before.
    pub fn into_reader(mut self) -> Result<Reader, Error> {
        if !self.replayed {
            self.replay(&mut |_| Ok(()))?;
        }
        Ok(Reader::new(self.context, self.live))
    }

    /// Frees segments without groups of the log.
    pub(crate) fn drop_void(&mut self) {
        let void = self.to_replay.extract_if(.., |segment| segment.last() < segment.first_group());
        for void in void.collect::<Vec<_>>() {
            self.live.remove(&void.id);
            self.free_file(void.slot, false);
        }
    }

    /// Frees segments that records say were freed. Those that had to be replayed stay: they may be freed only when both
    /// checkpoints cover them. So both checkpoints are lost, and the next opening needs the segments as this one did.
    pub(crate) fn drop_freed(&mut self, freed: &BTreeSet<SegmentId>) {
        for id in freed.range(..self.replay_from()).chain(freed.range(SegmentId::COLD..)) {
            if let Some(segment) = self.live.remove(id) {
                marks::hit("recovery: a record frees a segment");
                self.free_file(segment.slot, true);
            }
        }
        let missing = self.missing.iter().filter(|id| !freed.contains(id));
        self.report.damages.extend(missing.map(|&id| Arc::new(Damage::missing(id))));
    }
}

/// A footer that cannot be read counts as missing: the segment is scanned instead.
fn none_if_unreadable<T>(error: Error) -> Result<Option<T>, Error> {
    match error {
        Error::Io { error, .. } if is_media_error(&error) => Ok(None),
        error => Err(error),
    }
}

/// Without direct IO the page cache may differ from the device: a page whose write-back failed is marked clean. What is
/// recovered is read from the device.
fn forget_cached(disk: &dyn Disk) -> Result<(), Error> {
    for name in disk.list().map_err(|error| Error::io("listing the directory", error))? {
        if slot_of(&name).is_none() && !is_slot(&name) && !is_identity(&name) {
            continue;
        }
        let synced = disk.open(&name, Mode::Write).and_then(|file| {
            file.sync_all()?;
            file.forget_cached()
        });
        synced.map_err(|error| Error::io(format!("syncing {name}"), error))?;
    }
    Ok(())
}
