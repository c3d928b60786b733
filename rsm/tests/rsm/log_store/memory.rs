//! A log in memory that keeps the contract, or is wrong in one way.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use logboom::EntryId;
use logboom_rsm::log_store::{Compacted, Error, LogEntry, LogStore, Notice, Result, ServerState, StateStore};

mod pack;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    StartsAtZero,
    AppendSaysNext,
    ReadsOnlyDurable,
    LosesContext,
    KeepsTheTail,
    RefusesTheEnd,
    LeavesHoles,
    WritesBelowTheStart,
    ClosedRanges,
    ShortAnswers,
    IgnoresHints,
    StopsAtHintZero,
    NegativeIsNoLimit,
    TermOfTheNearest,
    CompactsExclusively,
    StopsAtTheEnd,
    MovesTheStartBack,
    ForgetsTheBoundary,
    CompactsLater,
    NeverCallsBack,
    InstallEmpties,
    InstallKeepsConflicts,
    PackForgetsTheStart,
    PackKeepsTheTail,
    TrustsPacks,
    ChecksPacksLate,
    PacksLeaveHoles,
    DoesNotSync,
    SyncsTheRequest,
    FlushDoesNothing,
    PackUnsynced,
    InstallUnsynced,
    LosesTheMiddle,
    TailComesBack,
    DurableIsLast,
    DurableDoesNotFall,
    NotifiesThoughItWaits,
    NeverNotifies,
    NotifiesEarly,
    FillsInLater,
    ForgetsState,
    StateOvertakesTheLog,
}

#[derive(Clone, Debug, Default)]
struct Log {
    /// The entry before the first one.
    boundary: EntryId,
    entries: Vec<LogEntry>,
    state: Option<ServerState>,
    config: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Inner {
    live: Log,
    synced: Log,
    /// What the log was since it was synced: a crash leaves one of these.
    written: Vec<Log>,
    durable_max: u64,
    /// Batches that nobody was told of.
    ended: Vec<(u64, Option<Told>)>,
    notice: Option<Told>,
}

/// A notice that can be printed.
#[derive(Clone)]
struct Told(Notice);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notice")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    fault: Option<Fault>,
    parallel: bool,
    inner: Mutex<Inner>,
}

impl Log {
    fn start(&self) -> u64 {
        self.boundary.index + 1
    }

    fn next(&self) -> u64 {
        self.start() + self.entries.len() as u64
    }

    fn get(&self, index: u64) -> Option<&LogEntry> {
        self.entries.get(usize::try_from(index.checked_sub(self.start())?).ok()?)
    }

    /// Drops the entries from `next` on.
    fn truncate(&mut self, next: u64) {
        self.entries.truncate(next.saturating_sub(self.start()) as usize);
    }

    fn compact(&mut self, at: EntryId) {
        let gone = (at.index - self.boundary.index).min(self.entries.len() as u64) as usize;
        self.entries.drain(..gone);
        self.boundary = at;
    }

    fn is_vacant(&self) -> bool {
        self.entries.is_empty() && self.boundary.index == 0
    }
}

impl Memory {
    pub(crate) fn new(fault: Option<Fault>, parallel: bool) -> Self {
        Self { fault, parallel, inner: Mutex::default() }
    }

    /// What a power cut leaves of it: all that was synced, and of the rest what `random` says.
    pub(crate) fn crash(self, random: u64) -> Self {
        let Inner { synced, mut written, .. } = self.inner.into_inner().unwrap();
        let survive = if self.fault.is_some() { 0 } else { random as usize % (written.len() + 1) };
        let mut left = written.drain(..survive).next_back().unwrap_or(synced);
        if let (Some(Fault::LosesTheMiddle), Some(last)) = (self.fault, written.last())
            && last.entries.len() > left.entries.len() + 1
        {
            left.entries = last.entries.clone();
            left.entries.remove(last.entries.len() - 2);
        }
        let durable_max = left.next() - 1;
        let inner = Inner { live: left.clone(), synced: left, durable_max, ..Inner::default() };
        Self { fault: self.fault, parallel: self.parallel, inner: Mutex::new(inner) }
    }

    /// Makes what was ended durable, and tells.
    pub(crate) fn settle(&self) {
        let mut inner = self.lock();
        for (durable, notice) in std::mem::take(&mut inner.ended) {
            if !self.is(Fault::NotifiesEarly) {
                self.sync(&mut inner);
            }
            drop(inner);
            if let Some(notice) = notice.filter(|_| !self.is(Fault::NeverNotifies)) {
                notice.0(Ok(()));
            }
            inner = self.lock();
            if durable > 0 {
                self.sync(&mut inner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn sync(&self, inner: &mut Inner) {
        let mut log = inner.live.clone();
        if self.is(Fault::TailComesBack) && inner.synced.start() == log.start() && !log.entries.is_empty() {
            log.entries.extend(inner.synced.entries.iter().skip(log.entries.len()).cloned());
        }
        if self.is(Fault::ForgetsState) {
            log.state = None;
        }
        inner.synced = log;
        inner.written.clear();
        inner.durable_max = inner.durable_max.max(inner.live.next() - 1);
    }

    /// Changes the log, and keeps what it was for a crash.
    fn change(&self, change: impl FnOnce(&mut Log)) {
        let mut inner = self.lock();
        change(&mut inner.live);
        let now = inner.live.clone();
        inner.written.push(now);
    }

    fn seen(&self) -> Log {
        let inner = self.lock();
        if self.is(Fault::ReadsOnlyDurable) { inner.synced.clone() } else { inner.live.clone() }
    }

    fn check_continues(&self, index: u64, holes: Fault) -> Result<()> {
        let inner = self.lock();
        let (start, next) = (inner.live.start(), inner.live.next());
        match index {
            _ if index < start && !self.is(Fault::WritesBelowTheStart) => Err(Error::Compacted { start }),
            _ if index > next && !self.is(holes) => Err(Error::Gap { next, index }),
            _ => Ok(()),
        }
    }

    fn range(&self, range: Range<u64>) -> Option<Vec<LogEntry>> {
        let log = self.seen();
        let end = if self.is(Fault::ClosedRanges) { (range.end + 1).min(log.next()) } else { range.end };
        match self.fault {
            Some(Fault::ShortAnswers) => Some((range.start..end).filter_map(|index| log.get(index).cloned()).collect()),
            _ => (range.start..end).map(|index| log.get(index).cloned()).collect(),
        }
    }

    fn id_of(&self, log: &Log, index: u64) -> EntryId {
        let entry = log.get(index).map(|entry| entry.term);
        EntryId { index, term: entry.unwrap_or(0) }
    }
}

impl LogStore for Memory {
    fn next_slot(&self) -> u64 {
        self.lock().live.next()
    }

    fn start_index(&self) -> u64 {
        let log = &self.lock().live;
        if self.is(Fault::StartsAtZero) && log.is_vacant() { 0 } else { log.start() }
    }

    fn last_entry(&self) -> Result<LogEntry> {
        Ok(self.seen().entries.last().cloned().unwrap_or_default())
    }

    fn last_id(&self) -> Result<EntryId> {
        let log = &self.lock().live;
        let index = log.next() - 1;
        Ok(if log.entries.is_empty() { log.boundary } else { self.id_of(log, index) })
    }

    fn append(&self, mut entry: LogEntry) -> Result<u64> {
        let mut index = 0;
        if self.is(Fault::LosesContext) {
            entry.context = Bytes::new();
        }
        if self.is(Fault::FillsInLater) {
            self.change(|log| log.entries.push(LogEntry::default()));
            std::thread::sleep(Duration::from_micros(100));
            self.change(|log| drop(log.entries.pop()));
        }
        self.change(|log| {
            index = log.next();
            log.entries.push(entry);
        });
        Ok(index + u64::from(self.is(Fault::AppendSaysNext)))
    }

    fn write_at(&self, index: u64, entry: LogEntry) -> Result<()> {
        self.check_continues(index, Fault::LeavesHoles)?;
        if self.is(Fault::RefusesTheEnd) && index == self.next_slot() {
            return Err(Error::Gap { next: index, index });
        }
        self.change(|log| {
            if index < log.start() {
                *log = Log { boundary: EntryId { index: index.max(1) - 1, term: 0 }, ..Log::default() };
            }
            let at = index.saturating_sub(log.start()) as usize;
            match log.entries.get_mut(at) {
                Some(old) if self.is(Fault::KeepsTheTail) => *old = entry,
                _ => {
                    log.truncate(index);
                    log.entries.push(entry);
                }
            }
        });
        Ok(())
    }

    fn end_of_append_batch(&self, start: u64, count: u64) -> Result<()> {
        let mut inner = self.lock();
        if self.parallel {
            let ended = (inner.live.next(), inner.notice.clone());
            inner.ended.push(ended);
            return Ok(());
        }
        match self.fault {
            Some(Fault::DoesNotSync) => {}
            Some(Fault::SyncsTheRequest) => {
                let mut log = inner.live.clone();
                log.truncate(start + count);
                if log.next() >= inner.synced.next() {
                    inner.synced = log;
                }
            }
            Some(Fault::NotifiesThoughItWaits) => {
                self.sync(&mut inner);
                let notice = inner.notice.clone();
                drop(inner);
                notice.into_iter().for_each(|notice| notice.0(Ok(())));
            }
            _ => self.sync(&mut inner),
        }
        Ok(())
    }

    fn last_durable_index(&self) -> u64 {
        let inner = self.lock();
        let (live, synced) = (&inner.live, &inner.synced);
        match self.fault {
            Some(Fault::DurableIsLast) => return live.next() - 1,
            Some(Fault::DurableDoesNotFall) => return inner.durable_max.min(live.next() - 1),
            _ => {}
        }
        let mut durable = live.boundary.index.min(synced.next() - 1);
        while let (Some(now), Some(then)) = (live.get(durable + 1), synced.get(durable + 1)) {
            if now != then {
                break;
            }
            durable += 1;
        }
        durable
    }

    fn on_append_completion(&self, notice: Notice) {
        self.lock().notice = Some(Told(notice));
    }

    fn flush(&self) -> Result<()> {
        if !self.is(Fault::FlushDoesNothing) {
            self.sync(&mut self.lock());
        }
        Ok(())
    }

    fn log_entries(&self, range: Range<u64>) -> Result<Option<Vec<LogEntry>>> {
        Ok(self.range(range))
    }

    fn log_entries_ext(&self, range: Range<u64>, hint_bytes: i64) -> Result<Option<Vec<LogEntry>>> {
        if hint_bytes < 0 && !self.is(Fault::NegativeIsNoLimit) {
            return Ok(Some(Vec::new()));
        }
        let Some(mut entries) = self.range(range) else { return Ok(None) };
        let hint = match hint_bytes {
            0 if self.is(Fault::StopsAtHintZero) => 1,
            _ if hint_bytes <= 0 || self.is(Fault::IgnoresHints) => u64::MAX,
            hint => hint.unsigned_abs(),
        };
        let mut bytes = 0;
        let reached = entries.iter().position(|entry| {
            bytes += entry.bytes();
            bytes >= hint
        });
        entries.truncate(reached.map_or(usize::MAX, |at| at + 1));
        Ok(Some(entries))
    }

    fn entry_at(&self, index: u64) -> Result<Option<LogEntry>> {
        Ok(self.seen().get(index).cloned())
    }

    fn term_at(&self, index: u64) -> Result<u64> {
        let log = &self.lock().live;
        if let (Some(Fault::TermOfTheNearest), Some(last)) = (self.fault, log.next().checked_sub(1))
            && last >= log.start()
            && index != log.boundary.index
        {
            return Ok(self.id_of(log, index.clamp(log.start(), last)).term);
        }
        Ok(if index == log.boundary.index { log.boundary.term } else { self.id_of(log, index).term })
    }

    fn pack(&self, index: u64, count: u64) -> Result<Option<Bytes>> {
        Ok(self.range(index..index.saturating_add(count)).map(|entries| pack::encode(index, &entries).into()))
    }

    fn apply_pack(&self, index: u64, pack: &[u8]) -> Result<()> {
        let (good, first, entries) = pack::decode(pack).ok_or_else(|| Error::pack("it is cut"))?;
        let good = good && first == index;
        if !good && !self.is(Fault::TrustsPacks) && !self.is(Fault::ChecksPacksLate) {
            return Err(Error::pack("it is not whole"));
        }
        let vacant = self.lock().live.is_vacant();
        if !vacant {
            self.check_continues(index, Fault::PacksLeaveHoles)?;
        }
        self.change(|log| {
            if vacant && !self.is(Fault::PackForgetsTheStart) {
                log.boundary.index = index - 1;
            }
            let tail = log.entries.split_off(((index - log.start()) as usize).min(log.entries.len()));
            let kept = tail.into_iter().skip(entries.len()).filter(|_| self.is(Fault::PackKeepsTheTail));
            log.entries.extend(entries.iter().cloned().chain(kept));
        });
        if !good && self.is(Fault::ChecksPacksLate) {
            return Err(Error::pack("it is not whole"));
        }
        if !self.is(Fault::PackUnsynced) {
            self.sync(&mut self.lock());
        }
        Ok(())
    }

    fn compact(&self, index: u64) -> Result<()> {
        let index = if self.is(Fault::CompactsExclusively) { index.saturating_sub(1) } else { index };
        self.change(|log| {
            let index = if self.is(Fault::StopsAtTheEnd) { index.min(log.next() - 1) } else { index };
            if index < log.start() {
                if self.is(Fault::MovesTheStartBack) {
                    log.boundary = EntryId { index, term: 1 };
                }
                return;
            }
            let id = self.id_of(log, index);
            log.compact(if self.is(Fault::ForgetsTheBoundary) { EntryId { index, term: 0 } } else { id });
        });
        Ok(())
    }

    fn compact_async(&self, index: u64, done: Compacted) {
        if !self.is(Fault::CompactsLater) {
            self.compact(index).unwrap();
        }
        if !self.is(Fault::NeverCallsBack) {
            done(Ok(()));
        }
    }

    fn install(&self, at: EntryId) -> Result<()> {
        self.change(|log| {
            if at.index < log.start() {
                return;
            }
            let goes_on = log.get(at.index).is_some_and(|entry| entry.term == at.term);
            let empties = !goes_on || self.is(Fault::InstallEmpties);
            if empties && !self.is(Fault::InstallKeepsConflicts) {
                log.entries.clear();
            }
            log.compact(at);
        });
        if !self.is(Fault::InstallUnsynced) {
            self.sync(&mut self.lock());
        }
        Ok(())
    }
}

impl StateStore for Memory {
    fn save_state(&self, state: &ServerState) -> Result<()> {
        self.change(|log| log.state = Some(*state));
        let mut inner = self.lock();
        match self.fault {
            Some(Fault::StateOvertakesTheLog) => inner.synced.state = Some(*state),
            _ => self.sync(&mut inner),
        }
        Ok(())
    }

    fn read_state(&self) -> Result<Option<ServerState>> {
        Ok(self.lock().live.state)
    }

    fn save_config(&self, config: &[u8]) -> Result<()> {
        self.change(|log| log.config = Some(Bytes::copy_from_slice(config)));
        let mut inner = self.lock();
        inner.synced.config = inner.live.config.clone();
        Ok(())
    }

    fn load_config(&self) -> Result<Option<Bytes>> {
        Ok(self.lock().live.config.clone())
    }
}
