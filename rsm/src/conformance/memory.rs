//! A snapshot in memory, and the ways in which reading and writing it can go wrong.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    rc::Rc,
};

use logboom::snapshot::Stop;

use crate::{
    error::Failure,
    files::Files,
    machine::StateMachine,
    reader::{ADDED, STATE, SnapshotReader, Source},
};

/// A saved state.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The most bytes that one read gives.
    pub(super) read_max: usize,
    /// After how many bytes of the state reading fails.
    pub(super) fails_at: Option<usize>,
}

/// How a save is disturbed.
#[derive(Clone, Debug, Default)]
pub(super) struct Disturbance {
    /// The most bytes that one write takes; 0 for no limit.
    pub(super) write_max: usize,
    /// After how many bytes writing fails.
    pub(super) fails_at: Option<usize>,
    /// After how many bytes the signal to stop is given, with which writing fails too.
    pub(super) stops_at: Option<usize>,
}

/// What a save came to, under a disturbance.
pub(super) struct Outcome {
    pub(super) result: Result<Memory, Failure>,
    /// Writes that were tried after one had failed.
    pub(super) tried_after: u64,
    /// The bytes of the state that were written.
    pub(super) written: usize,
    /// Whether a write failed.
    pub(super) failed: bool,
}

impl Memory {
    /// Has `save` write a snapshot.
    pub(super) fn save(
        disturbance: &Disturbance,
        save: impl FnOnce(&mut dyn Write, &mut Files, &Stop) -> Result<(), Failure>,
    ) -> Outcome {
        let stop = Stop::new();
        let mut writer = Writer { disturbance, stop: &stop, bytes: Vec::new(), tried_after: 0, failed: false };
        if disturbance.stops_at == Some(0) {
            stop.stop();
        }
        let mut files = Files::default();
        let result = save(&mut writer, &mut files, &stop);
        let Writer { bytes, tried_after, failed, .. } = writer;
        let written = bytes.len();
        let result = result.and_then(|()| Self::of(bytes, files));
        Outcome { result, tried_after, written, failed }
    }

    fn of(state: Vec<u8>, files: Files) -> Result<Self, Failure> {
        let mut all = vec![(STATE.to_owned(), state)];
        for (name, mut contents) in files.into_inner() {
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes)?;
            all.push((format!("{ADDED}{name}"), bytes));
        }
        Ok(Self { files: all, ..Self::default() })
    }

    /// Bytes of the state.
    pub(super) fn state_len(&self) -> usize {
        self.files.first().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Has the machine recover from it. Gives how many bytes of the state it left.
    pub(super) fn recover<M: StateMachine>(&self, machine: &mut M) -> Result<usize, Failure> {
        let left = Rc::new(Cell::new(0));
        let source = Counted { memory: self, left: Rc::clone(&left) };
        let stop = Stop::new();
        let mut reader = SnapshotReader::new(self.index, self.term, &source, &stop)?;
        machine.recover_from_snapshot(&mut reader, &stop)?;
        Ok(left.get())
    }
}

struct Counted<'m> {
    memory: &'m Memory,
    left: Rc<Cell<usize>>,
}

impl Source for Counted<'_> {
    fn files(&self) -> Vec<(String, u64)> {
        self.memory.files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        let found = self.memory.files.iter().find(|(other, _)| other == name);
        let Some((_, bytes)) = found else { return Err(io::ErrorKind::NotFound.into()) };
        let is_state = name == STATE;
        let fails_in = self.memory.fails_at.filter(|_| is_state);
        if is_state {
            self.left.set(bytes.len());
        }
        let left = is_state.then_some(&*self.left);
        Ok(Box::new(Pieces { bytes, max: self.memory.read_max, fails_in, left }))
    }
}

/// Bytes that come a few at a time.
struct Pieces<'m> {
    bytes: &'m [u8],
    max: usize,
    fails_in: Option<usize>,
    left: Option<&'m Cell<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.fails_in == Some(0) {
            return Err(io::Error::other("the reader fails"));
        }
        let mut len = into.len().min(self.bytes.len());
        for limit in [Some(self.max).filter(|max| *max > 0), self.fails_in].into_iter().flatten() {
            len = len.min(limit);
        }
        let (given, rest) = self.bytes.split_at(len);
        into[..len].copy_from_slice(given);
        self.bytes = rest;
        self.fails_in = self.fails_in.map(|fails_in| fails_in - len);
        if let Some(left) = self.left {
            left.set(rest.len());
        }
        Ok(len)
    }
}

struct Writer<'d> {
    disturbance: &'d Disturbance,
    stop: &'d Stop,
    bytes: Vec<u8>,
    tried_after: u64,
    failed: bool,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let Disturbance { write_max, fails_at, stops_at } = *self.disturbance;
        let ends_at = fails_at.into_iter().chain(stops_at).min();
        let room = ends_at.map_or(usize::MAX, |at| at.saturating_sub(self.bytes.len()));
        if room == 0 {
            self.tried_after += u64::from(self.failed);
            self.failed = true;
            if stops_at.is_some() {
                self.stop.stop();
            }
            self.stop.check()?;
            return Err(io::Error::other("the writer fails"));
        }
        let len = bytes.len().min(room).min(if write_max == 0 { usize::MAX } else { write_max });
        self.bytes.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
