//! One server: a log, a machine, and what it does with them.

use std::sync::Arc;

use logboom::{
    Config, Engine, EntryId, ManualClock, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
};
use logboom_rsm::{
    Driver, ObjectStream, Options, ReadObjects, SnapshotPolicy,
    log_store::{Appending, LogEntry, LogStore, ServerState, ShardLog, StateStore},
};

use super::{
    Result,
    fuse::Fuse,
    journal::{Journal, Reading},
    traced::Traced,
    transcript::Transcript,
};

const SHARD: ShardId = ShardId(1);

/// The kind of an entry that changes the configuration: NuRaft's `conf`.
pub(crate) const CONFIGURATION: u8 = 2;

/// What the servers of a case have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) appending: Appending,
    pub(crate) policy: SnapshotPolicy,
    pub(crate) transcript: Transcript,
    pub(crate) fuse: Fuse,
}

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) log: Traced,
    driver: Driver<Journal>,
    engine: Engine,
    disk: Arc<SimDisk>,
    setup: Setup,
    pub(crate) state: ServerState,
}

/// What a leader sends: entries behind `prev`, and how far the log is committed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) term: u64,
    pub(crate) prev: EntryId,
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) committed: u64,
}

/// What a follower says to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// All of it is in the log; the index that comes next.
    Accepted { next: u64 },
    /// The log does not have the entry before; an index from which on to try again.
    Refused { next: u64 },
}

impl Server {
    pub(crate) fn new(name: &'static str, seed: u64, setup: &Setup) -> Result<Self> {
        Self::start(name, SimDisk::new(seed, SimOptions::default()), setup)
    }

    /// Opens what is on the disk: the log first, then the snapshot, the state, and what is committed of the rest when
    /// the leader says so.
    fn start(name: &'static str, disk: Arc<SimDisk>, setup: &Setup) -> Result<Self> {
        let mut config = Config::new("simulated");
        config.segment_bytes = 256 << 10;
        config.reserve_segments = 0;
        let engine = Engine::open_on(Arc::clone(&disk) as _, config, Runtime::Manual(ManualClock::new(1)))?;
        let journal = Journal::new(name, setup.transcript.clone());
        let mut options = Options::default();
        options.policy = setup.policy.clone();
        let (driver, _) = Driver::blocking(&engine, SHARD, journal, options)?;
        let log = ShardLog::new(&engine, SHARD, setup.appending);
        let log = Traced { log, owner: name, transcript: setup.transcript.clone() };
        let transcript = setup.transcript.clone();
        log.on_append_completion(Arc::new(move |outcome| {
            let ok = outcome.is_ok();
            transcript.line(name, "log", format!("notify_log_append_completion({ok})"));
        }));
        let state = log.read_state()?.unwrap_or_default();
        Ok(Self { name, log, driver, engine, disk, setup: setup.clone(), state })
    }

    /// Loses power, and is switched on again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let disk = self.disk.power_cut();
        *self = Self::start(self.name, disk, &self.setup)?;
        let (start, next, applied) = (self.log.start_index(), self.log.next_slot(), self.driver.applied());
        let has = match next - start {
            0 => "no entry".into(),
            _ => format!("entries {start} to {}", next - 1),
        };
        let receiving = if self.state.receiving_snapshot { ", receiving a snapshot" } else { "" };
        let (term, applied) = (self.state.term, applied.unwrap_or(0));
        self.note("", format!("restarts in term {term} with {has}, {applied} applied{receiving}"));
        Ok(())
    }

    /// The commands that its machine was given.
    pub(crate) fn commands(&self) -> Result<Vec<String>> {
        Ok(self.driver.reader().lookup(&())?)
    }

    /// Lets the background do what it has to.
    pub(crate) fn settle(&self) {
        while self.engine.drive_once() {}
    }

    fn note(&self, part: &str, what: String) {
        self.setup.transcript.line(self.name, part, what);
    }

    pub(crate) fn arrow(&self, arrow: &str) -> Result<()> {
        Ok(self.setup.fuse.arrow(self.name, arrow)?)
    }

    /// Sees a new term, and remembers it before anybody is answered.
    pub(crate) fn enter(&mut self, term: u64) -> Result<()> {
        if self.state.term < term {
            self.state = ServerState { term, voted_for: 1, ..self.state };
            self.log.save_state(&self.state)?;
        }
        Ok(())
    }

    // ---- the leader ----

    /// Appends what a client, or the server itself, wants in the log.
    pub(crate) fn lead(&mut self, entries: Vec<LogEntry>) -> Result<()> {
        let (first, count) = (self.log.next_slot(), entries.len() as u64);
        for entry in entries {
            let is_configuration = entry.kind == CONFIGURATION;
            self.log.append(entry)?;
            self.arrow("append -> pre_commit")?;
            self.driver.pre_commit()?;
            if is_configuration {
                self.log.flush()?;
            }
        }
        self.arrow("pre_commit -> end_of_append_batch")?;
        self.log.end_of_append_batch(first, count)?;
        self.arrow("end_of_append_batch -> send")
    }

    /// What a follower is sent that has the entries below `next`; `None` if the log does not reach back.
    pub(crate) fn request(&self, next: u64, committed: u64) -> Result<Option<Request>> {
        let prev = EntryId { index: next - 1, term: self.log.term_at(next - 1)? };
        if next > 1 && prev.term == 0 {
            return Ok(None);
        }
        let Some(entries) = self.log.log_entries_ext(next..self.log.next_slot(), 1 << 20)? else { return Ok(None) };
        let what = match entries.len() {
            0 => "no entry".into(),
            count => format!("entries {next} to {}", prev.index + count as u64),
        };
        let EntryId { index, term } = prev;
        self.note("", format!("sends {what} behind {index} of term {term}, {committed} committed"));
        Ok(Some(Request { term: self.state.term, prev, entries, committed }))
    }

    // ---- the follower ----

    /// Takes what the leader has sent, in NuRaft's order.
    pub(crate) fn take(&mut self, request: Request) -> Result<Answer> {
        let Request { term, prev, entries, committed } = request;
        self.enter(term)?;
        if prev.index >= self.log.next_slot() || (prev.index > 0 && self.log.term_at(prev.index)? != prev.term) {
            let next = prev.index.min(self.log.next_slot()).max(1);
            self.note("", format!("refuses: there is no entry {} of term {}, try {next}", prev.index, prev.term));
            return Ok(Answer::Refused { next });
        }
        let (start, count) = (prev.index + 1, entries.len() as u64);
        self.store(start, entries)?;
        self.arrow("pre_commit -> end_of_append_batch")?;
        self.log.end_of_append_batch(start, count)?;
        self.arrow("end_of_append_batch -> commit of earlier entries")?;
        // What is committed behind the request may be another entry here.
        self.commit(committed.min(prev.index + count))?;
        self.arrow("commit of earlier entries -> answer")?;
        let last = prev.index + count;
        while self.log.last_durable_index() < last {
            self.engine.drive_once();
        }
        self.note("", format!("answers: {} comes next, durable is {}", last + 1, self.log.last_durable_index()));
        Ok(Answer::Accepted { next: last + 1 })
    }

    /// Skips what is there, takes back what is not to be, and writes the rest.
    fn store(&mut self, start: u64, entries: Vec<LogEntry>) -> Result<()> {
        let mut index = start;
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.peek()
            && index < self.log.next_slot()
            && self.log.term_at(index)? == entry.term
        {
            self.note("log", format!("term_at {index}: it is there"));
            entries.next();
            index += 1;
        }
        if entries.peek().is_some() && index < self.log.next_slot() {
            self.note("log", format!("term_at {index}: another entry is there"));
            self.arrow("conflict -> rollback")?;
            self.driver.rollback_after(index - 1)?;
            self.arrow("rollback -> write_at")?;
        }
        for entry in entries {
            let is_configuration = entry.kind == CONFIGURATION;
            let replaces = index < self.log.next_slot();
            match replaces {
                true => self.log.write_at(index, entry)?,
                false => drop(self.log.append(entry)?),
            }
            self.arrow(if replaces { "write_at -> pre_commit" } else { "append -> pre_commit" })?;
            self.driver.pre_commit()?;
            if is_configuration {
                self.log.flush()?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Takes a log in packs, as one that joins.
    pub(crate) fn join(&mut self, index: u64, pack: &[u8]) -> Result<u64> {
        self.log.apply_pack(index, pack)?;
        Ok(self.log.next_slot())
    }

    // ---- what NuRaft's commit thread does, on the caller's ----

    /// Commits up to and including `index`, here and now.
    pub(crate) fn commit(&mut self, index: u64) -> Result<()> {
        self.driver.commit(index);
        self.settle();
        while self.driver.apply()?.is_some() {}
        Ok(())
    }

    /// Saves a snapshot if one is due, and compacts the log behind it.
    pub(crate) fn upkeep(&mut self) -> Result<()> {
        let Some(job) = self.driver.upkeep()?.job else { return Ok(()) };
        let index = self.driver.finish(job.run())?.index;
        self.settle();
        self.note("commit", format!("has a snapshot of {index}, the log begins at {}", self.log.start_index()));
        Ok(())
    }

    // ---- snapshots by logical objects ----

    pub(crate) fn read_snapshot(&self) -> Result<ObjectStream<Reading>> {
        Ok(self.driver.read_objects(1)?.ok_or("nothing was committed")?)
    }

    /// Asks for one object after the other, and puts the whole in the place of machine and log.
    pub(crate) fn receive(&mut self, stream: &mut ObjectStream<Reading>) -> Result<u64> {
        if stream.at.index < self.log.start_index() {
            self.note("", format!("answers: it has the snapshot, {} comes next", self.log.next_slot()));
            return Ok(self.log.next_slot());
        }
        self.state.receiving_snapshot = true;
        self.log.save_state(&self.state)?;
        self.arrow("save_state -> save_logical_snp_obj")?;
        let mut transfer = self.driver.receive_objects()?;
        while let Some(id) = transfer.wanted() {
            transfer.receive(&stream.objects.read_object(id)?)?;
        }
        self.arrow("save_logical_snp_obj -> apply_snapshot")?;
        let EntryId { index, term } = stream.at;
        let done = ServerState { receiving_snapshot: false, ..self.state };
        self.driver.install_objects(transfer, stream.at, stream.membership.clone(), Some(&done.encode()))?;
        self.state = done;
        // The driver has emptied the log with the snapshot, in one batch: nothing is left to be done.
        self.log.install(EntryId { index, term })?;
        self.arrow("apply_snapshot -> answer")?;
        self.note("", format!("answers: {} comes next", self.log.next_slot()));
        Ok(self.log.next_slot())
    }
}
