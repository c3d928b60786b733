//! Stage *group_commit*: from *append*; leads to *index*. Writes groups to the device and moves the watermark.
//!
//! A [`Committer`] is a state machine: [`Committer::pump`] takes completions and starts operations, on the queue that
//! its owner passes. Its lock has one owner at a time: the committer thread, whose queue keeps several writes in
//! flight; a writer that found the log idle and commits in its own thread; or a simulation. An owner leaves only when
//! nothing is in flight.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
};

use logboom_disk::{Completion, Facts, File, Op, OpKind, Queue, Slice, Sync, SyncMethod, Wait};

use tracing::Span;

use crate::{
    format::{
        echo::Echo,
        framing::Framing,
        group::{GroupHeader, IN_FLIGHT_BYTES, Life, encode_table, in_segment},
        record::RawHeader,
    },
    group_commit::{append::ClosedGroup, log::Shared},
    segments::segment::encode_header,
    types::{
        damage::Descriptor,
        error::Error,
        marks,
        mutants::{Mutant, unless},
    },
};

/// The pending bytes from which a second concurrent write is worth its sync. Below, groups halve and few blocking
/// writers lose (measured: 4 to 64 writers of 1 KiB).
pub(crate) const SECOND_WRITE_BYTES: u64 = 128 << 10;

/// The largest write that adjacent groups are joined into: with several writes in flight, and with one.
const WRITE_BYTES: usize = 512 << 10;
const INLINE_WRITE_BYTES: usize = 1 << 20;

/// The most writes in flight.
const DEPTH: usize = 8;

/// A write of this size is made durable by itself, with every sync method. A rolling sync would have it wait for the
/// running sync and the next one, and with it a caller that appends again when it is durable (measured: 64 writers of
/// 16 KiB 54.8 against 70.2 thousand a second, a store loop 1.66 against 1.97 million).
const DURABLE_WRITE_BYTES: usize = 64 << 10;

/// Group n is submitted only while n - durable is at most this: so an intact group bounds how far the log was durable.
pub(crate) const WINDOW: u64 = 256;

/// New writes hold while a sync is pending and this many bytes went out since it began: a device that is kept busy
/// by writes can starve the sync, and with it every acknowledgement (measured: 411 ms against 2.6 ms at p99).
const SYNC_GATE_BYTES: usize = 1 << 20;

/// The token of syncs; writes count from 0.
const SYNC_TOKEN: u64 = u64::MAX;

/// The kind of the owner's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// One write at a time, complete when submitted.
    Inline,
    /// Several writes in flight.
    Queued,
}

/// What the owner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Pump again: an operation was started or has completed.
    Pump,
    /// Wait for a completion.
    Completion,
    /// Wait for writers that are copying into the next group.
    Writers,
    /// Nothing to do.
    Idle,
}

/// See the module.
pub(crate) struct Committer {
    /// Writes of at least this many bytes are durable by themselves; smaller ones wait for a sync that covers several.
    durable_from: usize,
    /// Closed groups that are not submitted yet, in order.
    ready: VecDeque<ClosedGroup>,
    writes: VecDeque<InFlightWrite>,
    in_flight_bytes: usize,
    sync: Option<PendingSync>,
    next_token: u64,
    /// The life of the segment that is written, with its complete origin.
    life: Life,
    /// The checksum of the last header, and the length of its group in the segment.
    chain: u32,
    prev_len: u32,
    /// The descriptors that the next group repeats.
    echo: Echo,
    completions: Vec<Completion>,
}

/// A write in flight, or completed and waiting for a sync.
struct InFlightWrite {
    token: u64,
    file: Arc<dyn File>,
    last_group: u64,
    /// The promise in its last group.
    promise: u64,
    groups: u64,
    bytes: usize,
    admitted: u64,
    sync: Sync,
    state: WriteState,
    /// Lasts from the submission until the groups are durable.
    #[expect(dead_code, reason = "it ends when the write is dropped")]
    span: Span,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteState {
    Writing,
    Written,
    Durable,
}

/// A sync in flight. It covers the writes that had completed when it began: one that completes while it runs may not be
/// covered.
struct PendingSync {
    /// The tokens of the writes that it covers.
    covers: Vec<u64>,
    /// The bytes submitted since it began.
    bytes_since: usize,
}

impl Committer {
    pub(crate) fn new(facts: &Facts, life: Life, echo: Echo) -> Self {
        Self {
            durable_from: durable_from(facts),
            ready: VecDeque::new(),
            writes: VecDeque::new(),
            in_flight_bytes: 0,
            sync: None,
            next_token: 0,
            life,
            chain: life.origin.crc,
            prev_len: 0,
            echo,
            completions: Vec::new(),
        }
    }

    /// Takes completions, moves the watermark, and starts what can be started.
    ///
    /// # Errors
    /// Every failure of a write or a sync; the committer must not be pumped again after it.
    pub(crate) fn pump(
        &mut self,
        shared: &Shared,
        queue: &mut dyn Queue,
        queue_kind: QueueKind,
    ) -> Result<Next, Error> {
        queue.reap(Wait::No, &mut self.completions);
        let completed = self.handle_completions(shared, queue_kind)?;
        if completed && queue_kind == QueueKind::Inline {
            // The owner leaves when its own group is durable, with nothing in flight.
            return Ok(Next::Pump);
        }
        let started = self.start_write(shared, queue, queue_kind)? | self.start_sync(shared, queue);
        Ok(match () {
            () if completed || started => Next::Pump,
            () if queue.in_flight() > 0 => Next::Completion,
            () if !self.ready.is_empty() => Next::Writers,
            () => Next::Idle,
        })
    }

    /// Whether the owner may release the turn: nothing is in flight.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.writes.is_empty() && self.sync.is_none() && self.completions.is_empty()
    }

    /// The buffer for completions that arrive between two pumps.
    pub(crate) fn completions(&mut self) -> &mut Vec<Completion> {
        &mut self.completions
    }

    /// Waits for everything in flight, ignoring the outcome: nothing else may be written to these blocks before.
    pub(crate) fn abandon(&mut self, queue: &mut dyn Queue) {
        while queue.in_flight() > 0 {
            queue.reap(Wait::Forever, &mut self.completions);
        }
        self.completions.clear();
    }

    /// Whether all writes and syncs that were submitted have completed.
    pub(crate) fn has_nothing_in_flight(&self) -> bool {
        self.writes.is_empty() && self.sync.is_none()
    }

    fn handle_completions(&mut self, shared: &Shared, queue_kind: QueueKind) -> Result<bool, Error> {
        let mut completions = std::mem::take(&mut self.completions);
        let completed = !completions.is_empty();
        for completion in completions.drain(..) {
            match completion.token {
                SYNC_TOKEN => self.sync_completed(shared, completion.result)?,
                token => self.write_completed(shared, token, completion.result)?,
            }
        }
        self.completions = completions;
        if completed {
            self.publish(shared, queue_kind);
        }
        Ok(completed)
    }

    fn write_completed(&mut self, shared: &Shared, token: u64, result: io::Result<()>) -> Result<(), Error> {
        marks::hit_if(result.is_err(), "commit: a write fails");
        let result = unless(Mutant::WriteErrorIgnored, || result, || Ok(()));
        result.map_err(|error| Error::io("writing a group", error))?;
        if let Some(write) = self.writes.iter_mut().find(|write| write.token == token) {
            let durable = unless(Mutant::SyncSkipped, || write.sync == Sync::Data, || true);
            write.state = if durable { WriteState::Durable } else { WriteState::Written };
            marks::hit_if(!durable && self.sync.is_some(), "commit: a write completes while a sync runs");
            shared.metrics.writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync_completed(&mut self, shared: &Shared, result: io::Result<()>) -> Result<(), Error> {
        let sync = self.sync.take();
        marks::hit_if(result.is_err(), "commit: a sync fails");
        if let Err(error) = result {
            return unless(Mutant::SyncErrorIgnored, || Err(Error::io("syncing a segment", error)), || Ok(()));
        }
        shared.metrics.syncs.fetch_add(1, Ordering::Relaxed);
        let covers = sync.map(|sync| sync.covers).unwrap_or_default();
        marks::hit_if(covers.len() > 1, "commit: a sync covers several writes");
        let is_written = |write: &InFlightWrite| write.state == WriteState::Written;
        let covered = |write: &InFlightWrite| {
            unless(Mutant::SyncCoversLate, || covers.contains(&write.token), || is_written(write))
        };
        for write in self.writes.iter_mut().filter(|write| covered(write)) {
            write.state = WriteState::Durable;
        }
        Ok(())
    }

    /// Moves the watermark over the first writes that are durable: a group counts only when all before it do.
    fn publish(&mut self, shared: &Shared, queue_kind: QueueKind) {
        let (mut last, mut admitted) = (None, 0);
        let is_durable = |write: &InFlightWrite| write.state == WriteState::Durable;
        marks::hit_if(
            self.writes.iter().any(is_durable) && !self.writes.front().is_some_and(is_durable),
            "commit: a group is durable before the one that precedes it",
        );
        let is_next_durable = |writes: &VecDeque<InFlightWrite>| {
            let in_order = || writes.front().is_some_and(is_durable);
            unless(Mutant::AckOutOfOrder, in_order, || writes.iter().any(is_durable))
        };
        while is_next_durable(&self.writes) {
            let Some(write) = self.writes.pop_front() else { break };
            self.in_flight_bytes -= write.bytes;
            admitted += write.admitted;
            last = Some(write.last_group);
            shared.metrics.groups.fetch_add(write.groups, Ordering::Relaxed);
            shared.state.promised.store(write.promise, Ordering::Release);
        }
        shared.watch.progress(shared.env.clock.now(), self.writes.is_empty());
        if let Some(last) = last {
            // Before waking: a woken thread must find its admitted bytes released.
            shared.state.admission.release(admitted);
            let early = || last + u64::from(!self.writes.is_empty());
            shared.state.watermark.publish(unless(Mutant::AckOneGroupEarly, || last, early));
            if queue_kind == QueueKind::Queued {
                // A thread that commits for itself wakes them after it has released the turn.
                shared.notify();
            }
        }
    }

    fn start_write(&mut self, shared: &Shared, queue: &mut dyn Queue, queue_kind: QueueKind) -> Result<bool, Error> {
        if !self.may_write(shared, queue_kind) {
            return Ok(false);
        }
        if self.ready.is_empty() {
            self.take(shared);
        }
        let write_bytes = if queue_kind == QueueKind::Inline { INLINE_WRITE_BYTES } else { WRITE_BYTES };
        let Some(write) = self.next_write(shared, write_bytes)? else { return Ok(false) };
        if write.offset == 0 {
            // Checked as each segment begins: the directory may have been removed since the file was opened.
            shared.env.check_directory()?;
        }
        let sync = self.sync_for(shared, queue_kind, write.in_flight.bytes);
        let requested = unless(Mutant::WriteNotDurable, || sync, || Sync::None);
        marks::hit_if(!self.writes.is_empty(), "commit: several writes in flight");
        marks::hit_if(write.in_flight.groups > 1, "commit: a write holds several groups");
        let token = self.next_token;
        self.next_token += 1;
        shared.begin_io();
        let InFlightWrite { last_group, groups, bytes, .. } = write.in_flight;
        let span = tracing::trace_span!("group_commit", last_group, groups, bytes);
        queue.submit(Op {
            token,
            file: Arc::clone(&write.in_flight.file),
            kind: OpKind::Write { slices: write.slices, offset: write.offset, sync: requested },
        });
        self.in_flight_bytes += write.in_flight.bytes;
        if let Some(pending) = &mut self.sync {
            pending.bytes_since += write.in_flight.bytes;
        }
        shared.metrics.bytes.fetch_add(write.in_flight.bytes as u64, Ordering::Relaxed);
        self.writes.push_back(InFlightWrite { token, sync, span, ..write.in_flight });
        Ok(true)
    }

    fn may_write(&self, shared: &Shared, queue_kind: QueueKind) -> bool {
        let wanted = !self.ready.is_empty() || shared.scheduler.has_untaken_requests();
        if self.writes.is_empty() || !wanted {
            return wanted;
        }
        let gated = self.sync.as_ref().is_some_and(|sync| sync.bytes_since >= SYNC_GATE_BYTES);
        let pending = !self.ready.is_empty() || shared.state.backlog.bytes() >= SECOND_WRITE_BYTES;
        queue_kind == QueueKind::Queued && pending && !gated && self.writes.len() < DEPTH
    }

    fn sync_for(&self, shared: &Shared, queue_kind: QueueKind, bytes: usize) -> Sync {
        let alone =
            self.writes.is_empty() && self.ready.is_empty() && shared.state.backlog.bytes() < SECOND_WRITE_BYTES;
        if queue_kind == QueueKind::Inline || bytes >= self.durable_from || alone { Sync::Data } else { Sync::None }
    }

    /// Closes the open group, and takes all closed ones.
    fn take(&mut self, shared: &Shared) {
        let mut staging = shared.state.staging.lock();
        self.ready = staging.take();
        shared.scheduler.mark_taken(staging.last_group());
        drop(staging);
        for group in &self.ready {
            shared.state.backlog.take(group.shape.records_len as u64, group.batches);
        }
    }

    /// The next groups whose writers have left, as far as they are adjacent and fit the limits.
    fn next_write(&mut self, shared: &Shared, write_bytes: usize) -> Result<Option<Write>, Error> {
        let mut write: Option<Write> = None;
        while let Some(group) = self.ready.front() {
            let len = group.shape.len();
            let bytes = write.as_ref().map_or(0, |write| write.in_flight.bytes);
            let alone = self.writes.is_empty() && write.is_none();
            // A segment begins only when everything before it is durable: so a later segment proves that the earlier
            // one is complete.
            let drains = unless(Mutant::RotationNotDrained, || group.prefix.is_some(), || false);
            marks::hit_if(drains && !alone, "commit: a rotation waits for what precedes it");
            let fits = !drains
                && (write.is_none() || bytes + len <= write_bytes)
                && self.in_flight_bytes + bytes + len <= IN_FLIGHT_BYTES
                && group.sequence - shared.state.watermark.durable() <= WINDOW;
            if !(alone || fits) || !group.writers.have_left() {
                break;
            }
            let Some(group) = self.ready.pop_front() else { break };
            self.add_to(shared, &mut write, group)?;
        }
        Ok(write)
    }

    fn add_to(&mut self, shared: &Shared, write: &mut Option<Write>, group: ClosedGroup) -> Result<(), Error> {
        let durable = shared.state.watermark.durable();
        let promise = unless(Mutant::PromiseTooHigh, || durable, || durable + 1);
        let (offset, file) = (group.offset, Arc::clone(&group.segment.file));
        let (sequence, admitted) = (group.sequence, group.admitted);
        let (slice, prefix) = self.frame(shared, group, promise)?;
        let write = write.get_or_insert_with(|| Write::at(u64::from(offset) - prefix as u64, file));
        write.in_flight.bytes += slice.len();
        write.in_flight.admitted += admitted;
        write.in_flight.groups += 1;
        write.in_flight.last_group = sequence;
        write.in_flight.promise = promise;
        write.slices.push(slice);
        Ok(())
    }

    /// Fills in the framing of a group; returns the whole group, and the length of the segment header before it.
    fn frame(&mut self, shared: &Shared, mut group: ClosedGroup, durable: u64) -> Result<(Slice, usize), Error> {
        let Framing { pad, seed } = shared.env.medium.framing;
        let prefix = group.prefix.as_ref().map_or(0, |_| pad);
        if let Some(mut block) = group.prefix.take() {
            self.life = group.segment.life;
            self.life.origin.crc = self.chain;
            self.prev_len = 0;
            encode_header(&mut block, &self.life, &shared.env.identity);
            block.freeze();
        }
        let records_at = group.at + group.shape.records_at();
        let records = records_at..records_at + group.shape.records_len;
        let records = group.chunk.slice(records).ok_or_else(records_missing)?;
        let (descriptors, records_crc) = descriptors_of(&records, group.shape.records);
        marks::hit_if(group.shape.echo_len > 0, "commit: a group repeats the descriptors of the one before");
        marks::hit_if(group.shape.table_at().is_some(), "commit: a group has a table of its own");
        if group.shape.echo_len > 0 {
            let echo = crate::format::group::GROUP_HEADER..group.header.len();
            self.echo.encode(&mut group.header[echo], seed);
        }
        let header = GroupHeader {
            life: self.life,
            sequence: group.sequence,
            durable,
            chain: self.chain,
            records_crc,
            prev_len: self.prev_len,
            flags: group.flags,
            shape: group.shape,
        };
        self.chain = header.encode(&mut group.header, seed);
        self.prev_len = in_segment(group.shape.len());
        group.header.freeze();
        if let Some(mut rest) = group.rest.take() {
            rest.fill(0);
            if let Some(table_at) = group.shape.table_at() {
                encode_table(&mut rest[table_at - group.shape.records_end()..], group.sequence, &descriptors, seed);
            }
            rest.freeze();
        }
        self.echo = Echo::of(group.sequence, &group.shape, descriptors);
        let whole = group.at - prefix..group.at + group.shape.len();
        Ok((group.chunk.slice(whole).ok_or_else(records_missing)?, prefix))
    }

    fn start_sync(&mut self, shared: &Shared, queue: &mut dyn Queue) -> bool {
        let written = |write: &&InFlightWrite| write.state == WriteState::Written;
        let Some(first) = self.writes.iter().find(written) else { return false };
        if self.sync.is_some() {
            return false;
        }
        shared.begin_io();
        queue.submit(Op { token: SYNC_TOKEN, file: Arc::clone(&first.file), kind: OpKind::SyncData });
        let covers = self.writes.iter().filter(written).map(|write| write.token).collect();
        self.sync = Some(PendingSync { covers, bytes_since: 0 });
        true
    }
}

/// A write under construction.
struct Write {
    offset: u64,
    slices: Vec<Slice>,
    in_flight: InFlightWrite,
}

impl Write {
    fn at(offset: u64, file: Arc<dyn File>) -> Self {
        let in_flight = InFlightWrite {
            token: 0,
            file,
            last_group: 0,
            promise: 0,
            groups: 0,
            bytes: 0,
            admitted: 0,
            sync: Sync::None,
            state: WriteState::Writing,
            span: Span::none(),
        };
        Self { offset, slices: Vec::new(), in_flight }
    }
}

/// The descriptors of a group's records, and the checksum that binds them to the group's header.
pub(crate) fn descriptors_of(records: &[u8], count: u32) -> (Vec<Descriptor>, u32) {
    let mut descriptors = Vec::with_capacity(count as usize);
    let mut crc = crc32fast::Hasher::new();
    let mut crcs = [0; 1024];
    let mut filled = 0;
    for (_, raw) in crate::scan::walk::raw_headers(records).take(count as usize) {
        descriptors.push(raw.descriptor());
        crcs[filled..filled + 4].copy_from_slice(&RawHeader::crc(&raw).to_le_bytes());
        filled += 4;
        if filled == crcs.len() {
            crc.update(&crcs);
            filled = 0;
        }
    }
    crc.update(&crcs[..filled]);
    (descriptors, crc.finalize())
}

fn durable_from(facts: &Facts) -> usize {
    match facts.sync_method {
        SyncMethod::Dsync => 0,
        _ if facts.direct => DURABLE_WRITE_BYTES,
        // Each would wait for write-back of the page cache.
        _ => usize::MAX,
    }
}

fn records_missing() -> Error {
    Error::Bug { what: "a group was closed before its records were written".into() }
}
