//! Opening a log: what is there, what of it counts, and the new epoch that goes on from there.
//!
//! Nothing of a log changes on the device before the whole verdict is known, and crashing in here, at any point, any
//! number of times, changes nothing: see FORMAT.md, "Recovery". Before that a log that is not there begins to be
//! created, and what is left of an unfinished segment is removed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use logboom_disk::{Disk, Mode, Pool, Slice};

use crate::{
    format::{echo::Echo, group::Origin, options::Options},
    recovery::{
        naming::{Naming, State},
        reader::Reader,
    },
    runtime::{
        notices::Notices,
        watched::{Pending, WatchedDisk},
        worker::Runtime,
    },
    scan::{base::Base, heads::read_heads, scanned::Scanned, walk::Part},
    segments::{
        aside::Aside,
        claim::Claim,
        footer::FooterParts,
        holes::is_of_the_bytes,
        identity::is_identity,
        medium::Medium,
        segment::{Segment, SegmentInfo, infos, slot_of},
        slots::{Checkpoint, Slots, is_slot},
        supply::{Free, remove_unfinished},
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

/// Idle memory that the log's buffers keep, besides what was read ahead: that is let go by the dozen of MiB, when scans
/// have passed, and asked for at once by those that follow.
const POOL_IDLE_BYTES: usize = 16 << 20;

/// Opens the log in `disk` for reading and writing, up to the point where the layer above replays it.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Identity`], [`Error::NewerFormat`], [`Error::Unsupported`], [`Error::Io`]; nothing of
/// a log has been changed then. The creation of a new one may have been begun: opening it again goes on with that.
pub fn open(disk: Arc<dyn Disk>, options: Options, runtime: Runtime) -> Result<Opening, Error> {
    options.check()?;
    Opening::find(disk, options, runtime, Mode::Write)
}

/// Opens the log in `disk` for reading what recovery would accept at this moment. Nothing is written or locked.
///
/// # Errors
/// As [`open`]; a directory without a log is [`Error::Foreign`].
pub fn open_read_only(disk: Arc<dyn Disk>, options: Options) -> Result<Opening, Error> {
    Opening::find(disk, options, Runtime::Threads, Mode::Read)
}

/// A log that is being opened: its checkpoint and footers can be read, its newer records replayed.
pub struct Opening {
    pub(crate) base: Base,
    pub(crate) naming: Naming,
    pub(crate) slots: Slots,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) live: BTreeMap<SegmentId, Arc<Segment>>,
    /// Segments of the checkpoint that are not there any more; the replay must say that they were freed.
    pub(crate) missing: Vec<SegmentId>,
    /// Segments to be replayed, oldest first.
    pub(crate) chain: Vec<Arc<Segment>>,
    /// Cold segments in which more was found than the checkpoint states.
    pub(crate) grown: Vec<Arc<Segment>>,
    pub(crate) free: VecDeque<Free>,
    /// Segment files that could not be read as a whole, or are of a wrong size: their sizes, by slot.
    pub(crate) odd: BTreeMap<u32, u64>,
    /// Those of them that nothing of the log is in, as far as it goes on.
    pub(crate) aside: Vec<Aside>,
    pub(crate) next_slot: u32,
    /// The highest numbers of a segment and of an epoch.
    pub(crate) highest: (SegmentId, u64),
    /// Why the log must have gone on behind what is accepted, if it must.
    pub(crate) lost_end: Option<String>,
    pub(crate) accepted: Origin,
    /// The epoch of the last accepted group, 0 for none.
    pub(crate) accepted_epoch: u64,
    /// Segment files of another size.
    pub(crate) misfits: Vec<(String, Claim)>,
    /// What the last accepted group leaves to the next one.
    pub(crate) echo: Echo,
    pub(crate) replayed: bool,
    pub(crate) report: RecoveryReport,
}

/// What opening found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log was created.
    pub created: bool,
    /// The last epoch that was found.
    pub epoch: u64,
    /// The number of the checkpoint that was used, if there was one.
    pub checkpoint: Option<u64>,
    /// Segments, groups and records that were replayed, and the bytes that were read for them.
    pub segments_replayed: u64,
    /// See `segments_replayed`.
    pub groups_replayed: u64,
    /// See `segments_replayed`.
    pub records_replayed: u64,
    /// See `segments_replayed`.
    pub bytes_read: u64,
    /// The last group says that the log was closed.
    pub closed: bool,
    /// The unpromised tail that was cut, if there was one.
    pub cut: Option<Cut>,
    /// What was durable and is not what was written.
    pub damages: Vec<Arc<Damage>>,
    /// What is wrong with the identity, if something is: of a log that is open for writing, files that it leaves alone.
    pub identity: Option<Arc<IdentityFault>>,
    /// Files that are of a wrong size, or cannot be read as a whole.
    pub odd_files: Vec<OddFile>,
}

/// A tail that was written, in part at least, and never promised to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first group that was cut.
    pub sequence: u64,
    /// Where it began.
    pub segment: SegmentId,
    /// Where it began, in bytes.
    pub offset: u32,
    /// The bytes from there to the end of the last intact group behind it.
    pub bytes: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, segment, offset, bytes } = self;
        write!(f, "group {sequence} and what followed it, {bytes} bytes from byte {offset} of segment {segment} on")
    }
}

impl Opening {
    fn find(disk: Arc<dyn Disk>, options: Options, runtime: Runtime, mode: Mode) -> Result<Self, Error> {
        let (clock, notices) = (runtime.clock(), Arc::<Notices>::default());
        let pending = Pending::new(Arc::clone(&clock), Arc::clone(&notices));
        let disk: Arc<dyn Disk> = WatchedDisk::around(disk, Arc::clone(&pending));
        if mode == Mode::Write && !disk.facts().direct {
            forget_cached(&*disk)?;
        }
        let ahead = usize::try_from(options.read_ahead_bytes).unwrap_or(usize::MAX);
        let pool = Pool::new(POOL_IDLE_BYTES.saturating_add(ahead));
        let mut report = RecoveryReport::default();
        let naming = Naming::find(&*disk, &pool, &options, &*clock, mode)?;
        report.created = naming.state == State::Begun;
        let identity = naming.identity;
        if mode == Mode::Write {
            // A view begins no segment.
            identity.require_pad(disk.facts().pad_unit)?;
            options.check_for(identity.segment_bytes)?;
        }
        let medium = Medium { disk, pool, framing: identity.framing() };
        let (slots, checkpoint) = Slots::open(&medium, &identity, mode)?;
        report.checkpoint = checkpoint.as_ref().map(|checkpoint| checkpoint.number);
        let is_named = naming.state == State::Named;
        let base = Base { medium, options, runtime, clock, pending, notices, identity, is_named, mode };
        let mut opening = Self {
            base,
            naming,
            next_slot: slots.free_slot(),
            slots,
            checkpoint,
            live: BTreeMap::new(),
            missing: Vec::new(),
            chain: Vec::new(),
            grown: Vec::new(),
            free: VecDeque::new(),
            odd: BTreeMap::new(),
            aside: Vec::new(),
            highest: (SegmentId(0), 0),
            lost_end: None,
            accepted: Origin::default(),
            accepted_epoch: 0,
            misfits: Vec::new(),
            echo: Echo::default(),
            replayed: false,
            report,
        };
        opening.report_slots()?;
        let mut found = opening.discover()?;
        unless(Mutant::ForeignTakenForFree, || opening.check_identity(&mut found), || Ok(()))?;
        if mode == Mode::Write {
            remove_unfinished(&*opening.base.medium.disk)?;
        }
        opening.place_covered(&mut found)?;
        opening.place_chain(found)?;
        Ok(opening)
    }

    /// The newest checkpoint's body, as the layer above wrote it.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_ref().map(|checkpoint| &*checkpoint.body)
    }

    /// Records in segments below this are in the checkpoint; those from it on are replayed.
    pub fn replay_from(&self) -> SegmentId {
        self.checkpoint.as_ref().map_or(SegmentId(0), |checkpoint| checkpoint.replay_from)
    }

    /// Says which checkpoints could not be read.
    fn report_slots(&mut self) -> Result<(), Error> {
        for (name, holes) in self.slots.unread() {
            self.base.require_device(holes)?;
            let what = holes.why().unwrap_or_default();
            self.report.odd_files.push(OddFile { name: name.to_owned(), what });
        }
        Ok(())
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.live.values()
    }

    /// Which checkpoint slots hold something that is not intact.
    pub(crate) fn bad_slots(&self) -> Vec<u8> {
        self.slots.bad()
    }

    /// The live segments: the cold ones, and then those of the log, oldest first. Final only after
    /// [`Opening::replay`], which may find that some were freed.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        infos(&self.live)
    }

    /// The heads of the footers of live segments, in the order of `segments`, which are read at once; `None` where
    /// there is none, or it is not intact, or cannot be read. Of the bodies nothing is known: each was durable before
    /// its head, and may have rotted since.
    ///
    /// # Errors
    /// [`Error::Gone`], for all; [`Error::Io`], for each.
    pub fn read_heads(
        &self,
        segments: &[SegmentId],
    ) -> Result<impl Iterator<Item = Result<Option<Slice>, Error>>, Error> {
        let live = |id: &SegmentId| self.live.get(id).map(Arc::clone).ok_or(Error::Gone(*id));
        let heads = read_heads(&self.base, segments.iter().map(live).collect::<Result<_, _>>()?);
        Ok(heads.map(|head| head.or_else(unread)))
    }

    /// Says that the footer of a segment is one that the layer above can use: the segment is not sealed again.
    pub fn accept_footer(&self, segment: SegmentId) {
        if let Some(segment) = self.live.get(&segment) {
            segment.mark_footer();
        }
    }

    /// A segment's footer; `None` when there is none, or it is not intact, or cannot be read.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Io`].
    pub fn read_footer(&self, segment: SegmentId) -> Result<Option<FooterParts>, Error> {
        let segment = self.live.get(&segment).ok_or(Error::Gone(segment))?;
        segment.read_footer(&self.base.medium).or_else(unread)
    }

    /// Reads all records of a segment whose end is known, for one that has no footer, and what is lost of them: what
    /// cannot be read is.
    ///
    /// # Errors
    /// [`Error::Io`]; what `each` returns.
    pub fn scan(&self, segment: SegmentId, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        self.scan_parts(segment, &mut |part| part.give(each))
    }

    /// [`Opening::scan`], part by part.
    pub(crate) fn scan_parts(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.base.scan(&self.live, segment, each)
    }

    /// Gives every accepted record from [`Opening::replay_from`] on to `each`, in the order of the log, and what is
    /// lost where durable groups are not intact; [`RecoveryReport::damages`] has the places.
    ///
    /// # Errors
    /// [`Error::Io`]; what `each` returns.
    pub fn replay(&mut self, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        self.replay_parts(&mut |part| part.give(each))?;
        self.replayed = true;
        Ok(())
    }

    /// What was found so far; complete after [`Opening::replay`].
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// The log for reading only.
    ///
    /// # Errors
    /// Those of [`Opening::replay`], if it was not called.
    pub fn into_reader(mut self) -> Result<Reader, Error> {
        if !self.replayed {
            self.replay(&mut |_| Ok(()))?;
        }
        Ok(Reader::new(self.base, self.live))
    }

    /// Lets go of segments that hold no group of the log.
    pub(crate) fn drop_void(&mut self) {
        let void = self.chain.extract_if(.., |segment| segment.last() < segment.first_group());
        for void in void.collect::<Vec<_>>() {
            self.live.remove(&void.id);
            self.let_go(void.slot, false);
        }
    }

    /// Lets go of what was freed. What had to be replayed stays: it may be freed only when both checkpoints cover it,
    /// so both are lost, and the next opening will need it as this one did.
    pub(crate) fn drop_freed(&mut self, freed: &BTreeSet<SegmentId>) {
        for id in freed.range(..self.replay_from()).chain(freed.range(SegmentId::COLD..)) {
            if let Some(segment) = self.live.remove(id) {
                marks::hit("recovery: a record frees a segment");
                self.let_go(segment.slot, true);
            }
        }
        let missing = self.missing.iter().filter(|id| !freed.contains(id));
        self.report.damages.extend(missing.map(|&id| Arc::new(Damage::missing(id))));
    }
}

/// A footer that cannot be read is none: the segment is read in its place.
fn unread<T>(error: Error) -> Result<Option<T>, Error> {
    match error {
        Error::Io { error, .. } if is_of_the_bytes(&error) => Ok(None),
        error => Err(error),
    }
}

/// Without direct IO, what the cache shows need not be on the device: the write-back of a page may have failed, and it
/// is clean nonetheless. What is to be recovered is read from the device.
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
