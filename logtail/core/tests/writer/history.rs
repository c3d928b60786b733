//! Random transactions, crashes and restarts beside a model that is a map of versions: at every timestamp, scans show
//! what the model has.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use fastrand::Rng;
use logboom_logtail_core::{
    TableId, Timestamp,
    catalog::{Change, NewColumn, NewTable, is_system},
    flush::FlushParts,
    log::LogEvent,
    transaction::{OperationError, Workspace},
    writer::{CheckpointKind, Checkpointing, CommitError, Flush, FlushError, Outcome},
};

use crate::tail::{Row, Tail, batch, keys, row};

const KEYS: i64 = 24;

/// What was committed: by key, each version with its timestamp; `None` is a delete.
#[derive(Default)]
struct Model {
    versions: BTreeMap<i64, Vec<(Timestamp, Option<Row>)>>,
    /// Timestamps at which to look.
    seen: Vec<Timestamp>,
}

impl Model {
    fn at(&self, key: i64, timestamp: Timestamp) -> Option<&Row> {
        let versions = self.versions.get(&key)?;
        versions.iter().rev().find(|(at, _)| *at <= timestamp)?.1.as_ref()
    }

    fn written_after(&self, key: i64, timestamp: Timestamp) -> bool {
        self.versions.get(&key).is_some_and(|versions| versions.iter().any(|(at, _)| *at > timestamp))
    }

    fn rows(&self, timestamp: Timestamp) -> Vec<Row> {
        self.versions.keys().filter_map(|key| self.at(*key, timestamp).cloned()).collect()
    }

    /// What a crash that lost all behind `timestamp` leaves.
    fn lose_after(&mut self, timestamp: Timestamp) {
        self.versions.values_mut().for_each(|versions| versions.retain(|(at, _)| *at <= timestamp));
        self.seen.retain(|at| *at <= timestamp);
    }
}

/// An open transaction, with what it does by key.
struct Open {
    workspace: Workspace,
    writes: BTreeMap<i64, Option<Row>>,
    /// Whether it began at an older timestamp than the watermark.
    old: bool,
    /// Keys that must not be there at the snapshot.
    inserts: Vec<i64>,
}

impl Open {
    fn operate(&mut self, table: TableId, rng: &mut Rng) {
        let ids: Vec<i64> = (0..rng.usize(1..5)).map(|_| rng.i64(0..KEYS)).collect();
        let rows: Vec<Row> = ids.iter().map(|id| row(*id, rng.i64(..1 << 40))).collect();
        match rng.u8(0..3) {
            0 => self.insert(table, &rows),
            1 => {
                self.workspace.upsert(table, &batch(&rows)).expect("the rows are the table's");
                self.writes.extend(rows.into_iter().map(|row| (row.0, Some(row))));
            }
            _ => {
                self.workspace.delete(table, &keys(&ids)).expect("the keys are the table's");
                self.writes.extend(ids.into_iter().map(|id| (id, None)));
            }
        }
    }

    fn insert(&mut self, table: TableId, rows: &[Row]) {
        let mut writes = self.writes.clone();
        let duplicate = rows.iter().position(|row| writes.insert(row.0, Some(row.clone())).flatten().is_some());
        match (self.workspace.insert(table, &batch(rows)), duplicate) {
            (Ok(()), None) => {
                self.inserts.extend(rows.iter().map(|row| row.0).filter(|id| !self.writes.contains_key(id)));
                self.writes = writes;
            }
            (Err(OperationError::DuplicateKey { row, .. }), Some(duplicate)) => assert_eq!(row, duplicate),
            (outcome, duplicate) => panic!("{outcome:?}, and the model says {duplicate:?}"),
        }
    }
}

struct History {
    seed: u64,
    rng: Rng,
    tail: Tail,
    table: TableId,
    /// The last record of the table's creation.
    created: u64,
    model: Model,
    open: Vec<Open>,
    /// The timestamps of proposed transactions with the indexes of their records.
    proposed: Vec<(u64, Timestamp)>,
    /// The last record that the log has said to be committed.
    committed: u64,
    flush: Option<Flush>,
    flushed: usize,
    /// Flushes behind which there were tombstones.
    persisted: usize,
    checkpoint: Option<Checkpointing>,
    checkpoints: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut tail = Tail::new();
        let table = tail.create_table("orders", true);
        let (rng, created) = (Rng::with_seed(seed), tail.log.last());
        Self {
            seed,
            rng,
            created,
            tail,
            table,
            model: Model::default(),
            open: Vec::new(),
            proposed: Vec::new(),
            committed: created,
            flush: None,
            flushed: 0,
            persisted: 0,
            checkpoint: None,
            checkpoints: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..46) {
            0..6 => self.begin(),
            6..10 => {
                if let Some(open) = self.rng.choice(self.open.iter_mut()) {
                    open.operate(self.table, &mut self.rng);
                }
            }
            10..15 => self.commit(),
            15..18 => self.log_moves(),
            18 => self.clock_jumps(),
            19..30 => self.flush(),
            30..36 => self.log_moves(),
            36..43 => self.checkpoint(),
            43..45 => self.change(),
            _ => self.crash(),
        }
        self.check();
    }

    fn begin(&mut self) {
        let old = self.rng.choice(&self.model.seen).copied();
        let snapshot = old.filter(|_| self.rng.bool()).unwrap_or(self.tail.now());
        let Ok(workspace) = self.tail.begin_at(snapshot) else {
            assert!(snapshot < self.tail.writer.state().horizon(), "seed {}: stale", self.seed);
            return;
        };
        let old = snapshot < self.tail.now();
        let mut open = Open { workspace, old, writes: BTreeMap::new(), inserts: Vec::new() };
        (0..self.rng.usize(0..3)).for_each(|_| open.operate(self.table, &mut self.rng));
        self.open.push(open);
    }

    fn commit(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut open = self.open.swap_remove(self.rng.usize(..self.open.len()));
        self.tail.raise_bound();
        let (snapshot, old) = (open.workspace.snapshot(), open.old);
        let outcome = self.tail.propose(&mut open.workspace);
        let duplicate = open.inserts.iter().any(|id| self.model.at(*id, snapshot).is_some());
        let clash = |(id, write): (&i64, &Option<Row>)| {
            // A delete of what was not there writes nothing, so it clashes with nothing.
            let writes = write.is_some() || self.model.at(*id, snapshot).is_some();
            writes && self.model.written_after(*id, snapshot)
        };
        let conflict = open.writes.iter().any(clash);
        match outcome {
            Ok(Outcome::Proposed { timestamp, index, .. }) => {
                assert!(!duplicate && !conflict, "seed {}: committed in spite of a conflict", self.seed);
                for (id, write) in open.writes {
                    if write.is_some() || self.model.at(id, snapshot).is_some() {
                        self.model.versions.entry(id).or_default().push((timestamp, write));
                    }
                }
                self.proposed.push((index, timestamp));
            }
            Ok(Outcome::Empty) => {}
            Err(CommitError::DuplicateKey { .. }) => assert!(duplicate, "seed {}: no duplicate", self.seed),
            Err(CommitError::Conflict { .. }) => assert!(conflict, "seed {}: no conflict", self.seed),
            Err(CommitError::Clock(_)) => {}
            Err(CommitError::SnapshotTooOld { oldest, .. }) => {
                assert!(old && snapshot < oldest, "seed {}: {snapshot} is too old", self.seed);
            }
            other => panic!("seed {}: {other:?}", self.seed),
        }
    }

    /// Some steps of a flush, or the begin of one.
    fn flush(&mut self) {
        for _ in 0..self.rng.usize(1..4) {
            self.step_flush();
        }
    }

    fn step_flush(&mut self) {
        let Some(flush) = &mut self.flush else {
            let horizon = self.rng.choice(&self.model.seen).copied().unwrap_or_default();
            let parts = self.rng.choice([FlushParts::ALL, FlushParts::ROWS, FlushParts::DELETES]);
            self.flush = self.tail.begin_flush(self.table, parts.unwrap_or(FlushParts::ALL), horizon);
            return;
        };
        match self.tail.step_flush(flush, self.rng.usize(1..20)) {
            Ok(true) => {
                self.flushed += 1;
                self.persisted += usize::from(self.tail.deletes(self.table).1 > 0);
                self.flush = self.flush.take().and_then(|flush| {
                    self.tail.writer.end_flush(flush);
                    None
                });
            }
            Ok(false) | Err(FlushError::Clock(_)) => {}
            Err(error) => panic!("seed {}: {error:?}", self.seed),
        }
        // Now and then it fails instead.
        if self.rng.u8(0..90) == 0
            && let Some(flush) = self.flush.take()
        {
            self.tail.writer.end_flush(flush);
        }
    }

    /// A step of a checkpoint, or the begin of one.
    fn checkpoint(&mut self) {
        let Some(checkpoint) = &mut self.checkpoint else {
            let kind = if self.rng.u8(0..3) == 0 { CheckpointKind::Global } else { CheckpointKind::Incremental };
            let pinned = self.rng.choice(&self.model.seen).copied().filter(|_| self.rng.bool()).unwrap_or_default();
            self.checkpoint = self.tail.writer.begin_checkpoint(kind, pinned);
            return;
        };
        let done = self.tail.step_checkpoint(checkpoint).expect("the log takes records");
        self.checkpoints += usize::from(done);
        if done || self.rng.u8(0..30) == 0 {
            let ended = self.checkpoint.take();
            ended.into_iter().for_each(|checkpoint| self.tail.writer.end_checkpoint(checkpoint));
        }
    }

    /// Another table is created, or one of those is dropped.
    fn change(&mut self) {
        self.tail.raise_bound();
        let catalog = self.tail.writer.state().catalog(self.tail.now()).expect("the horizon is below");
        let database = catalog.find_database("shop").expect("it was created first");
        let others = catalog.tables().map(|schema| schema.id()).filter(|id| !is_system(*id) && *id != self.table);
        let change = match self.rng.choice(others.collect::<Vec<_>>()).filter(|_| self.rng.bool()) {
            Some(table) => Change::DropTable { table },
            None => {
                let columns = vec![NewColumn::required("id", DataType::Int64)];
                let name = format!("other-{}", self.tail.log.last());
                Change::CreateTable { database, table: NewTable { name, columns, key: Vec::new() } }
            }
        };
        match self.tail.propose_change(&change).1 {
            Ok(Outcome::Proposed { timestamp, index, .. }) => self.proposed.push((index, timestamp)),
            // One is not committed yet, or the clock is not.
            Err(CommitError::Conflict { .. } | CommitError::SchemaChanged { .. } | CommitError::Clock(_)) => {}
            other => panic!("seed {}: {other:?}", self.seed),
        }
    }

    /// Some records become committed.
    fn log_moves(&mut self) {
        let last = self.tail.log.last();
        let through = if self.rng.bool() { last } else { self.rng.u64(..=last) };
        self.committed = self.committed.max(through);
        self.tail.writer.log_event(LogEvent::Committed(through));
        self.saw_watermark();
    }

    fn saw_watermark(&mut self) {
        let now = self.tail.now();
        if self.model.seen.last() != Some(&now) {
            self.model.seen.push(now);
        }
    }

    fn clock_jumps(&mut self) {
        let jump = std::time::Duration::from_millis(self.rng.u64(..20_000));
        let unix = if self.rng.bool() { self.tail.unix + jump } else { self.tail.unix.saturating_sub(jump) };
        self.tail.unix = unix;
    }

    /// The process ends; what was committed is there, and some of what was not.
    fn crash(&mut self) {
        let last = self.rng.u64(self.committed.max(self.created)..=self.tail.log.last());
        self.open.clear();
        (self.flush, self.checkpoint) = (None, None);
        let tail = std::mem::replace(&mut self.tail, Tail::new());
        let unix = tail.unix;
        let (log, store) = tail.crash(last);
        self.tail = Tail::open(log, store, unix);
        self.proposed.retain(|(index, _)| *index <= last);
        let end = self.tail.now();
        self.model.lose_after(end);
        self.proposed.iter().for_each(|(_, at)| assert!(*at <= end, "seed {}: lost {at}", self.seed));
        self.committed = self.tail.log.last();
        self.saw_watermark();
    }

    /// Every timestamp that a reader could have had shows what it showed.
    fn check(&self) {
        let committed = self.proposed.iter().filter(|(index, _)| *index <= self.committed).map(|(_, at)| *at).max();
        if let Some(committed) = committed {
            let next = self.proposed.iter().map(|(_, at)| *at).find(|at| *at > committed);
            let now = self.tail.now();
            assert!(committed <= now && next.is_none_or(|next| now < next), "seed {}", self.seed);
        }
        let horizon = self.tail.writer.state().horizon();
        for at in self.model.seen.iter().filter(|at| **at >= horizon) {
            assert_eq!(self.tail.rows(self.table, *at), self.model.rows(*at), "seed {} at {at}", self.seed);
        }
    }
}

/// Returns how many flushes ended, of how many there were tombstones, and how many checkpoints ended.
fn run(seed: u64) -> [usize; 3] {
    let mut history = History::new(seed);
    (0..250).for_each(|_| history.step());
    history.tail.settle();
    history.committed = history.tail.log.last();
    history.saw_watermark();
    history.check();
    [history.flushed, history.persisted, history.checkpoints]
}

#[test]
fn scans_at_every_timestamp_show_what_a_map_of_versions_has() {
    let seeds = std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok());
    match seeds {
        Some(seed) => println!("{:?} flushes, with tombstones, and checkpoints", run(seed)),
        None => {
            let add = |sum: [usize; 3], next: [usize; 3]| std::array::from_fn(|at| sum[at] + next[at]);
            let ended = (0..400).map(run).fold([0; 3], add);
            assert!(ended.iter().all(|count| *count > 200), "{ended:?} flushes, with tombstones, checkpoints");
        }
    }
}
