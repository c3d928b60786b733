//! A machine that does everything there is, right, or wrong in one way.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use logboom::{EntryBatch, EntryRef, snapshot::Stop};
use logboom_rsm::{
    Failure, Files, Object, ObjectSnapshots, OnDisk, PreCommit, PrepareSnapshot, ReadObjects, ReceiveObjects,
    SaveSnapshot, SnapshotReader, SnapshotView, StateMachine,
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    UsesAGlobalCounter,
    AppliesBatchesAsOne,
    ForgetsOutputs,
    CountsLookups,
    CountsSaves,
    SavesTheMapOnly,
    RecoversOnTop,
    ReadsPastTheEndOnly,
    WritesOnce,
    ReadsOnce,
    SwallowsWriteErrors,
    SwallowsReadErrors,
    SharesItsState,
    StoresTheIndexFirst,
    DoesNotSync,
    NeverEnds,
    NumbersByTime,
    ReceivesInPlace,
    ReceivesInMemory,
    AppliesEarly,
    CannotRollBack,
}

/// A map, and what a query does not show: the number of puts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) map: BTreeMap<String, String>,
    pub(crate) puts: u64,
    /// The last index that was applied.
    pub(crate) index: Option<u64>,
}

/// The disk of a machine that keeps its own state.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: State,
    /// What was written since, and may or may not survive.
    written: Vec<State>,
    /// Syncs fail, as they do when a process is about to end.
    stopped: bool,
}

impl Disk {
    pub(crate) fn stop_syncing(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn sync_again(&mut self) {
        self.stopped = false;
    }

    fn newest(&self) -> &State {
        self.written.last().unwrap_or(&self.synced)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    fault: Option<Fault>,
    state: Arc<Mutex<State>>,
    disk: Option<Arc<Mutex<Disk>>>,
    lookups: AtomicU64,
    saves: AtomicU64,
    /// Indexes of the entries that were shown and not applied.
    prepared: Vec<u64>,
    /// Updates, recoveries and syncs, for tests of drivers.
    pub(crate) calls: Calls,
}

/// How often something was called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Calls {
    fn count(&self, call: &'static str) {
        *self.0.lock().unwrap().entry(call).or_default() += 1;
    }

    pub(crate) fn of(&self, call: &str) -> u64 {
        self.0.lock().unwrap().get(call).copied().unwrap_or(0)
    }
}

static GLOBAL: AtomicU64 = AtomicU64::new(0);

impl Model {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, ..Self::default() }
    }

    pub(crate) fn on_disk(fault: Option<Fault>, disk: Arc<Mutex<Disk>>) -> Self {
        Self { fault, disk: Some(disk), ..Self::default() }
    }

    /// The disk as a power cut leaves it: `random` says how much of what was not synced is there.
    pub(crate) fn crash(disk: &Arc<Mutex<Disk>>, random: u64) -> Arc<Mutex<Disk>> {
        let disk = disk.lock().unwrap();
        let survive = random as usize % (disk.written.len() + 1);
        let synced = disk.written[..survive].last().unwrap_or(&disk.synced).clone();
        Arc::new(Mutex::new(Disk { synced, ..Disk::default() }))
    }

    pub(crate) fn disk(&self) -> Arc<Mutex<Disk>> {
        Arc::clone(self.disk.as_ref().unwrap())
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// What a test of conformance compares.
    pub(crate) fn visible(&self) -> Vec<u8> {
        let counts = (self.lookups.load(Ordering::Relaxed), self.saves.load(Ordering::Relaxed));
        format!("{:?} {counts:?}", self.lock().map).into_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn write_to_disk(&self, state: &State) {
        let Some(disk) = &self.disk else { return };
        let mut disk = disk.lock().unwrap();
        if self.is(Fault::StoresTheIndexFirst) {
            let before = disk.newest().clone();
            disk.written.push(State { index: state.index, ..before });
        }
        disk.written.push(state.clone());
    }

    fn put(&self, state: &mut State, entry: &EntryRef<'_>) -> (Option<String>, u64) {
        let text = String::from_utf8_lossy(entry.payload).into_owned();
        let Some((key, value)) = text.split_once('=') else { return (None, state.puts) };
        state.puts += 1;
        let value = match self.fault {
            Some(Fault::UsesAGlobalCounter) => GLOBAL.fetch_add(1, Ordering::Relaxed).to_string(),
            _ => value.to_owned(),
        };
        (state.map.insert(key.to_owned(), value), state.puts)
    }
}

impl StateMachine for Model {
    type Output = (Option<String>, u64);
    type Query = str;
    type Answer = Option<String>;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<Self::Output>, Failure> {
        self.calls.count("update");
        let mut state = self.lock();
        let mut outputs = Vec::new();
        for entry in entries {
            let skipped =
                self.is(Fault::AppliesBatchesAsOne) && entries.len() > 15 && Some(entry.index) == entries.first();
            let prepared =
                self.is(Fault::CannotRollBack) && self.prepared.iter().filter(|i| **i == entry.index).count() > 1;
            if entry.payload.is_empty() && self.is(Fault::ForgetsOutputs) {
                continue;
            }
            let output = if skipped || prepared { (None, 0) } else { self.put(&mut state, &entry) };
            outputs.push(output);
            state.index = Some(entry.index);
        }
        self.write_to_disk(&state);
        drop(state);
        let end = entries.first().map_or(0, |first| first + entries.len() as u64);
        if !self.is(Fault::CannotRollBack) {
            self.prepared.retain(|index| *index >= end);
        }
        Ok(outputs)
    }

    fn lookup(&self, key: &str) -> Result<Option<String>, Failure> {
        if self.is(Fault::CountsLookups) {
            self.lookups.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.lock().map.get(key).cloned())
    }

    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        self.calls.count("recover");
        let mut bytes = Vec::new();
        match self.fault {
            Some(Fault::ReadsOnce) => {
                bytes = vec![0; 1 << 20];
                let len = from.read(&mut bytes)?;
                bytes.truncate(len);
            }
            Some(Fault::SwallowsReadErrors) => drop(from.read_to_end(&mut bytes)),
            Some(Fault::ReadsPastTheEndOnly) => drop(from.by_ref().take(8).read_to_end(&mut bytes)?),
            _ => drop(from.read_to_end(&mut bytes)?),
        }
        let mut state = State { index: Some(from.index()), ..State::default() };
        if self.is(Fault::RecoversOnTop) {
            state.map = std::mem::take(&mut self.lock().map);
        }
        decode(&bytes, &mut state);
        for (name, _) in from.files() {
            from.open(&name)?.read_to_end(&mut Vec::new())?;
        }
        self.write_to_disk(&state);
        self.state = Arc::new(Mutex::new(state));
        self.prepared.clear();
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        self.calls.count("close");
        Ok(())
    }
}

impl SaveSnapshot for Model {
    fn save_snapshot(&self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure> {
        self.prepare_snapshot()?.save(to, files, stop)
    }
}

/// A state as it was, or as it is.
pub(crate) struct View {
    fault: Option<Fault>,
    state: Arc<Mutex<State>>,
}

impl PrepareSnapshot for Model {
    type View = View;

    fn prepare_snapshot(&self) -> Result<View, Failure> {
        self.calls.count("prepare");
        if self.is(Fault::CountsSaves) {
            self.saves.fetch_add(1, Ordering::Relaxed);
        }
        let state = match self.fault {
            Some(Fault::SharesItsState) => Arc::clone(&self.state),
            _ => Arc::new(Mutex::new(self.state())),
        };
        Ok(View { fault: self.fault, state })
    }
}

impl SnapshotView for View {
    fn save(self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure> {
        stop.check()?;
        let mut state = self.state.lock().unwrap().clone();
        files.add("notes/beside", std::io::Cursor::new(format!("{} puts", state.puts)))?;
        if self.fault == Some(Fault::SavesTheMapOnly) {
            state.puts = 0;
        }
        for line in encode(&state) {
            match self.fault {
                Some(Fault::WritesOnce) => drop(to.write(line.as_bytes())?),
                Some(Fault::SwallowsWriteErrors) => drop(to.write_all(line.as_bytes())),
                _ => to.write_all(line.as_bytes())?,
            }
        }
        Ok(())
    }
}

impl OnDisk for Model {
    fn open(&mut self) -> Result<Option<u64>, Failure> {
        let found = self.disk().lock().unwrap().newest().clone();
        let index = found.index;
        *self.lock() = found;
        Ok(index)
    }

    fn sync(&self) -> Result<(), Failure> {
        self.calls.count("sync");
        let disk = self.disk();
        let mut disk = disk.lock().unwrap();
        if disk.stopped {
            return Err("it has stopped".into());
        }
        if !self.is(Fault::DoesNotSync) {
            disk.synced = disk.newest().clone();
            disk.written.clear();
        }
        Ok(())
    }
}

impl PreCommit for Model {
    fn pre_commit(&mut self, entries: &EntryBatch) -> Result<(), Failure> {
        for entry in entries {
            if self.is(Fault::AppliesEarly) {
                self.put(&mut self.lock(), &entry);
            }
            self.prepared.push(entry.index);
        }
        self.calls.count("pre_commit");
        Ok(())
    }

    fn rollback(&mut self, entry: EntryRef<'_>) -> Result<(), Failure> {
        self.calls.count("rollback");
        if self.is(Fault::CannotRollBack) {
            self.prepared.push(entry.index);
            return Ok(());
        }
        match self.prepared.pop() {
            Some(last) if last == entry.index => Ok(()),
            other => Err(format!("entry {} is rolled back, {other:?} was the last", entry.index).into()),
        }
    }
}

/// The text of a state, in pieces.
pub(crate) struct Pieces {
    fault: Option<Fault>,
    text: Bytes,
    bytes: usize,
    reads: u8,
}

/// The text that has come; the state that it is of, for a machine that cannot wait.
pub(crate) struct Received {
    text: Vec<u8>,
    in_place: Option<Arc<Mutex<State>>>,
}

impl ObjectSnapshots for Model {
    type Reading = Pieces;
    type Receiving = Received;

    fn read_objects(&self, object_bytes: usize) -> Result<Pieces, Failure> {
        let text = encode(&self.lock()).concat().into_bytes().into();
        Ok(Pieces { fault: self.fault, text, bytes: object_bytes, reads: 0 })
    }

    fn receive_objects(&self) -> Result<Received, Failure> {
        let in_place = self.is(Fault::ReceivesInPlace).then(|| Arc::clone(&self.state));
        Ok(Received { text: Vec::new(), in_place })
    }

    fn recover_from_objects(&mut self, received: Received, index: u64) -> Result<(), Failure> {
        let mut state = State::default();
        decode(&received.text, &mut state);
        if state.index != Some(index) {
            return Err(format!("a state of {:?}, and not of {index}", state.index).into());
        }
        if !self.is(Fault::ReceivesInMemory) {
            self.write_to_disk(&state);
        }
        self.state = Arc::new(Mutex::new(state));
        self.prepared.clear();
        Ok(())
    }
}

impl ReadObjects for Pieces {
    fn read_object(&mut self, id: u64) -> Result<Object, Failure> {
        let at = (id as usize * self.bytes).min(self.text.len());
        let end = (at + self.bytes).min(self.text.len());
        let mut data = self.text.slice(at..end);
        if self.fault == Some(Fault::NumbersByTime) {
            self.reads = self.reads.wrapping_add(1);
            data = vec![self.reads; 1].into();
        }
        let last = end == self.text.len() && self.fault != Some(Fault::NeverEnds);
        Ok(Object { id, data, last })
    }
}

impl ReceiveObjects for Received {
    fn receive_object(&mut self, object: &Object, first: bool) -> Result<u64, Failure> {
        if first {
            self.text.clear();
        }
        self.text.extend_from_slice(&object.data);
        if let Some(state) = &self.in_place {
            decode(&self.text, &mut state.lock().unwrap());
        }
        Ok(object.id + 1)
    }
}

fn encode(state: &State) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
    let head = format!("{}\n{}\n", state.puts, number(state.index));
    std::iter::once(head).chain(state.map.iter().map(|(key, value)| format!("{key}={value}\n"))).collect()
}

fn decode(bytes: &[u8], state: &mut State) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    state.puts = lines.next().and_then(|puts| puts.parse().ok()).unwrap_or(0);
    state.index = lines.next().and_then(|index| index.parse().ok());
    state.map.extend(lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())));
}
