//! Copying a log that is in use to another directory, as of one moment.
//!
//! The copy has the files that a crash at that moment would have left if everything before it was durable and nothing
//! after it was written: the newest checkpoint, the live segments, the last one up to its end, and the footers that
//! existed. A footer that is written later is left out: it may omit entries that were live at that moment. Recovery
//! opens the copy by its usual rules. A copy in progress holds references to the segments, so that freed ones are not
//! recycled, and does not read the checkpoint again.

use std::{collections::VecDeque, io, sync::Arc};

use logboom_disk::{Disk, File, Mode, Slice, Sync};

use crate::{
    group_commit::{log::Shared, scheduler::Caller},
    segments::{
        footer::{FooterParts, Successor},
        identity::{Identity, LOCK, NAME_COPY, is_identity},
        segment::{Segment, slot_name},
        slots::{Checkpoint, Failure, SegmentRow, Slots},
    },
    types::{error::Error, ids::Sequence, marks},
    wal::Wal,
};

/// The bytes that one step copies and syncs. They are few: a device with a write cache completes the log's own sync
/// only after all cached writes, these included.
const PIECE: usize = 1 << 20;

/// A copy in progress: see [`Wal::copy_to`](crate::Wal::copy_to).
///
/// It holds references to the segments that are left to copy, so they are not recycled. If it is dropped before it is
/// finished, it removes the files that it made.
pub struct Copying {
    shared: Arc<Shared>,
    target: Arc<dyn Disk>,
    /// Whether the target is marked as an unfinished copy.
    is_begun: bool,
    checkpoint: Option<Checkpoint>,
    /// The segments that are left to copy.
    segments: VecDeque<CopiedSegment>,
    files: VecDeque<String>,
    /// The file in progress.
    file: Option<FileCopy>,
    report: CopyReport,
    /// The first failure: the copy cannot be finished after it.
    failed: Option<Error>,
    is_finished: bool,
}

/// A file that is copied up to `end`: a segment, or another file.
struct FileCopy {
    segment: Option<CopiedSegment>,
    from: Arc<dyn File>,
    to: Arc<dyn File>,
    at: u64,
    end: u64,
}

/// The progress of a copy, and the records that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// The number of segments that are copied.
    pub segments: u64,
    /// The number of segments that the copy will have.
    pub segments_total: u64,
    /// The bytes of segments that are copied, without footers.
    pub bytes: u64,
    /// The bytes of segments that the copy will have, without footers.
    pub bytes_total: u64,
    /// The number of other files that are copied.
    pub files: u64,
    /// The bytes of other files that are copied.
    pub file_bytes: u64,
    /// The copy holds every record below this sequence, and none from it on.
    pub limit: Sequence,
}

/// A segment to copy, as of the moment of the copy.
struct CopiedSegment {
    segment: Arc<Segment>,
    row: SegmentRow,
    has_footer: bool,
}

/// What a copy consists of.
struct CopyPlan {
    checkpoint: Option<Checkpoint>,
    segments: VecDeque<CopiedSegment>,
    /// The last group of the copy.
    last: u64,
}

impl Wal {
    /// Begins a copy of the log in the empty directory `target`. It holds everything that was accepted before the call,
    /// and nothing that is accepted after the return. On return those records are durable in the log.
    ///
    /// The copy has the identity of the log: never mix files of the two.
    ///
    /// # Errors
    /// [`Error::Target`] if `target` is not empty, or its device writes in larger units than the log;
    /// [`Error::Corruption`] if no checkpoint is intact; [`Error::Io`], [`Error::Closed`], [`Error::Full`],
    /// [`Error::Poisoned`].
    pub fn copy_to(&self, target: Arc<dyn Disk>) -> Result<Copying, Error> {
        Copying::begin(&self.shared, target)
    }
}

impl Copying {
    /// Decides what is copied, and waits until that is durable.
    pub(crate) fn begin(shared: &Arc<Shared>, target: Arc<dyn Disk>) -> Result<Self, Error> {
        require_empty(&*target).map_err(of_target)?;
        // From memory, not from the file, which may be damaged or gone.
        let identity = shared.env.identity;
        identity.require_pad(target.facts().pad_unit).map_err(of_target)?;
        // So that the last group of the copy promises everything that is durable now.
        shared.sync()?;
        let CopyPlan { checkpoint, segments, last } = shared.plan_copy(&identity)?;
        shared.wait(last, Caller::Locked)?;
        let report = CopyReport {
            segments_total: segments.len() as u64,
            bytes_total: segments.iter().map(|segment| u64::from(segment.row.end)).sum(),
            limit: Sequence::new(last + 1, 0),
            ..CopyReport::default()
        };
        let shared = Arc::clone(shared);
        let (files, file) = (VecDeque::new(), None);
        let is_begun = false;
        Ok(Self {
            shared,
            target,
            is_begun,
            checkpoint,
            segments,
            files,
            file,
            report,
            failed: None,
            is_finished: false,
        })
    }

    /// Also copies these files of the log's directory, whole. The layer above keeps them beside the log, and must not
    /// write to them any more. Files that are gone when their turn comes are left out.
    pub fn add_files(&mut self, names: impl IntoIterator<Item = String>) {
        self.files.extend(names);
    }

    /// Copies about 1 MiB, durable on return; false when everything is copied.
    ///
    /// # Errors
    /// [`Error::Io`] of the log's own disk, [`Error::Target`] of the target. A failed sync of the target poisons the
    /// log if both are on one device: it may have reported a failed write of the log. Every later call returns the
    /// first error.
    pub fn step(&mut self) -> Result<bool, Error> {
        self.shared.env.check_process()?;
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let advanced = self.advance();
        self.failed = advanced.as_ref().err().cloned();
        advanced
    }

    fn advance(&mut self) -> Result<bool, Error> {
        if !self.is_begun {
            let written = self.shared.env.identity.write(&*self.target, &self.shared.env.medium.pool, NAME_COPY);
            written.map_err(|failure| self.failed("beginning the copy", failure))?;
            self.is_begun = true;
            return Ok(true);
        }
        if let Some(checkpoint) = self.checkpoint.take() {
            return self.write_checkpoint(&checkpoint).map(|()| true);
        }
        if self.file.is_none() {
            self.file = self.begin_file()?;
        }
        let Some(mut file) = self.file.take() else { return Ok(false) };
        self.copy_piece(&mut file)?;
        if file.at < file.end {
            self.file = Some(file);
        } else {
            self.end_file(&file)?;
        }
        Ok(true)
    }

    /// The progress so far.
    pub fn report(&self) -> CopyReport {
        self.report
    }

    /// Copies what is left, and then names the copy as a log. Durable on return; until then the target is no log.
    ///
    /// # Errors
    /// Those of [`Copying::step`].
    pub fn finish(mut self) -> Result<CopyReport, Error> {
        while self.step()? {}
        // Syncs the names of the segments first: the identity may only get its name after them.
        self.target.sync_dir().map_err(Failure::Sync).map_err(|failure| self.failed("syncing the copy", failure))?;
        self.target.still_ours().map_err(Failure::Write).map_err(|lost| self.failed("holding the directory", lost))?;
        let named = Identity::name(&*self.target, NAME_COPY);
        named.map_err(|failure| self.failed("naming the copy", failure))?;
        self.is_finished = true;
        Ok(self.report)
    }

    /// Writes the checkpoint to both slots, so that losing one of them loses nothing, as in the log itself.
    fn write_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Checkpoint { replay_from, body, .. } = checkpoint;
        let rows: Vec<SegmentRow> = self
            .segments
            .iter()
            .map(|segment| segment.row)
            .filter(|row| row.id < *replay_from || row.id.is_cold())
            .collect();
        let (mut slots, identity) = (Slots::default(), &self.shared.env.identity);
        for _ in 0..2 {
            let written = slots.write(&*self.target, &self.shared.env.medium.pool, identity, *replay_from, &rows, body);
            written.map_err(|failure| self.failed("copying a checkpoint", failure))?;
        }
        Ok(())
    }

    /// Begins the next file.
    fn begin_file(&mut self) -> Result<Option<FileCopy>, Error> {
        if let Some(segment) = self.segments.pop_front() {
            let to = self.make(&slot_name(segment.row.slot), self.shared.env.identity.segment_bytes)?;
            let (from, end) = (Arc::clone(&segment.segment.file), segment.row.end.into());
            return Ok(Some(FileCopy { segment: Some(segment), from, to, at: 0, end }));
        }
        while let Some(name) = self.files.pop_front() {
            let opened = self.shared.env.medium.disk.open(&name, Mode::Read).and_then(|file| Ok((file.size()?, file)));
            match opened {
                Ok((size, from)) => {
                    // A whole file ends at a block; a truncated one is copied up to its last whole block.
                    let end = size - size % self.shared.env.medium.disk.facts().pad_unit as u64;
                    let to = self.make(&name, end)?;
                    return Ok(Some(FileCopy { segment: None, from, to, at: 0, end }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(format!("opening {name}"), error)),
            }
        }
        Ok(None)
    }

    fn make(&self, name: &str, size: u64) -> Result<Arc<dyn File>, Error> {
        let make = || {
            let file = self.target.open(name, Mode::Create)?;
            file.allocate(size.next_multiple_of(self.target.facts().pad_unit as u64))?;
            Ok(file)
        };
        make().map_err(|error| self.failed(&format!("making {name}"), Failure::Write(error)))
    }

    fn copy_piece(&mut self, file: &mut FileCopy) -> Result<(), Error> {
        let FileCopy { segment, from, to, at, end } = file;
        let len = usize::try_from(*end - *at).map_or(PIECE, |left| left.min(PIECE));
        if len == 0 {
            return Ok(());
        }
        let mut region = self.shared.env.medium.pool.region(len);
        from.read_at(&mut region, *at).map_err(|error| Error::io(format!("reading {}", from.name()), error))?;
        if segment.is_some() && *at == 0 {
            // A segment that an older version began has no copy of the identity.
            self.shared.env.identity.put_copy(&mut region);
        }
        let (bytes, unit) = (region.freeze().slice(0..len), self.target.facts().pad_unit);
        let is_padded = bytes.len().is_multiple_of(unit);
        let bytes = if is_padded { bytes } else { Slice::padded_copy(&self.shared.env.medium.pool, &bytes, unit) };
        let written = to.write_at(&[bytes], *at, Sync::None).map_err(Failure::Write);
        let durable = written.and_then(|()| to.sync_data().map_err(Failure::Sync));
        durable.map_err(|failure| self.failed(&format!("writing {}", to.name()), failure))?;
        *at += len as u64;
        match segment {
            Some(_) => self.report.bytes += len as u64,
            None => self.report.file_bytes += len as u64,
        }
        Ok(())
    }

    fn end_file(&mut self, file: &FileCopy) -> Result<(), Error> {
        let sealed = match &file.segment {
            Some(segment) if segment.has_footer => self.seal(segment, &file.to)?,
            _ => Ok(()),
        };
        let durable = sealed.and_then(|()| file.to.sync_all().map_err(Failure::Sync));
        durable.map_err(|failure| self.failed(&format!("ending {}", file.to.name()), failure))?;
        match file.segment {
            Some(_) => self.report.segments += 1,
            None => self.report.files += 1,
        }
        Ok(())
    }

    /// Writes the footer of the copied segment. If the original's footer is not intact, the copy has none: readers scan
    /// the segment.
    fn seal(&self, segment: &CopiedSegment, to: &Arc<dyn File>) -> Result<Result<(), Failure>, Error> {
        let CopiedSegment { segment, row, .. } = segment;
        let Some(FooterParts { head, body }) = segment.read_footer(&self.shared.env.medium)? else { return Ok(Ok(())) };
        let groups = (row.first, row.last);
        let copy = Segment::new(segment.life, row.slot, Arc::clone(to), segment.size, row.end, groups);
        // The footer names the next segment of the copy: recovery would report any other one as lost.
        let next = self.segments.front().map(|next| &next.segment.life);
        let successor = next.filter(|life| !row.id.is_cold() && !life.segment.is_cold()).map(Successor::of);
        Ok(copy.write_footer((&head, &body), successor, &self.shared.env.medium))
    }

    /// The error for a failure of the target. If the target is on another device, the log is not affected.
    fn failed(&self, what: &str, failure: Failure) -> Error {
        let is_other_device = self.target.facts().device != self.shared.env.medium.disk.facts().device;
        let failure = if is_other_device { Failure::Write(failure.into_error()) } else { failure };
        of_target(self.shared.side_failure(what, failure))
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if !self.is_finished {
            marks::hit("copy: an unfinished one is removed");
            self.file = None;
            // Files that cannot be removed stay; without an identity they are no log.
            drop(clear(&*self.target));
        }
    }
}

impl Shared {
    /// Waits until everything that was accepted is durable.
    fn sync(&self) -> Result<(), Error> {
        let group = self.state.staging.lock().last_group();
        self.scheduler.request_write(group);
        self.wait(group, Caller::Locked)
    }

    /// Plans a copy as of now; valid once the last group of the plan is durable.
    ///
    /// The slots stay locked: no segment that the checkpoint needs is freed meanwhile. A segment that was freed before
    /// is either not live any more, and the record that freed it is in a group before the last one, or it is copied.
    fn plan_copy(self: &Arc<Self>, identity: &Identity) -> Result<CopyPlan, Error> {
        let slots = self.state.slots.lock();
        let checkpoint = slots.newest(&self.env.medium.pool, identity)?;
        loop {
            self.check_open()?;
            let mut staging = self.state.staging.lock();
            // An empty group ends the copy: no record is added to a group that is copied.
            if staging.add_empty(self, 0)? {
                let last = staging.last_group();
                let live = self.state.segments.lock();
                // A cold segment without records has the header of an earlier life, or none.
                let has_groups = |segment: &&Arc<Segment>| segment.last() >= segment.first_group();
                let segments = live.values().filter(has_groups).map(CopiedSegment::now).collect();
                drop(live);
                drop(staging);
                self.scheduler.request_write(last);
                return Ok(CopyPlan { checkpoint, segments, last });
            }
            drop(staging);
            self.allocate_now()?;
        }
    }
}

impl CopiedSegment {
    fn now(segment: &Arc<Segment>) -> Self {
        Self { segment: Arc::clone(segment), row: segment.row(), has_footer: segment.has_footer() }
    }
}

fn of_target(error: Error) -> Error {
    Error::Target(error.into())
}

fn require_empty(target: &dyn Disk) -> Result<(), Error> {
    let names = target.list().map_err(|error| Error::io("listing the directory", error))?;
    match names.iter().find(|name| *name != LOCK) {
        Some(name) => Err(Error::Foreign(format!("the target of a copy must be empty, and holds {name:?}"))),
        None => Ok(()),
    }
}

/// Removes an unfinished copy. It keeps its mark until all other files are gone, so that no part of it is taken for a
/// log.
fn clear(target: &dyn Disk) -> io::Result<()> {
    if let Some(identity) = target.list()?.iter().find(|name| is_identity(name)) {
        target.rename(identity, NAME_COPY)?;
        target.sync_dir()?;
    }
    let names = target.list()?;
    let rest = names.iter().filter(|name| !matches!(&***name, NAME_COPY | LOCK));
    rest.map(|name| target.remove(name)).fold(Ok(()), Result::and)?;
    if names.iter().any(|name| name == NAME_COPY) {
        target.sync_dir()?;
        target.remove(NAME_COPY)?;
    }
    target.sync_dir()
}
