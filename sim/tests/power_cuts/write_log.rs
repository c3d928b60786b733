//! What a disk was asked to do, in order, and what the writer knew at that time: written by the disk's process, read
//! by the test.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write},
    ops::Range,
    path::Path,
};

use fastrand::Rng;

use crate::Failure;

/// Something that happened on the disk, or to its user.
///
/// A request is logged twice, when it arrives and just before it is answered. What a flush covers are the writes that
/// were answered before the flush arrived: more than that a disk does not promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A write arrived.
    Write { id: u64, offset: u64, data: Data },
    /// A flush arrived.
    Flush { id: u64 },
    /// A write or a flush was answered.
    Done { id: u64 },
    /// The user of the disk told something.
    Mark(String),
}

/// What is written: zeros are most of what file systems and logs prepare, and are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Zeros(usize),
    /// Where the bytes stand in the log.
    Bytes(Range<usize>),
}

const WRITE: u32 = 1;
const ZEROS: u32 = 2;
const FLUSH: u32 = 3;
const DONE: u32 = 4;
const MARK: u32 = 5;
/// Kind (4), length (4), id (8), offset (8).
const HEAD: usize = 24;

/// Writes a log.
pub(crate) struct Recorder(BufWriter<File>);

impl Recorder {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }

    pub(crate) fn write(&mut self, id: u64, offset: u64, data: &[u8]) -> io::Result<()> {
        match data.iter().all(|byte| *byte == 0) {
            true => self.head(ZEROS, data.len(), id, offset),
            false => {
                self.head(WRITE, data.len(), id, offset)?;
                self.0.write_all(data)
            }
        }
    }

    pub(crate) fn flush(&mut self, id: u64) -> io::Result<()> {
        self.head(FLUSH, 0, id, 0)
    }

    pub(crate) fn done(&mut self, id: u64) -> io::Result<()> {
        self.head(DONE, 0, id, 0)
    }

    pub(crate) fn mark(&mut self, text: &[u8]) -> io::Result<()> {
        self.head(MARK, text.len(), 0, 0)?;
        self.0.write_all(text)
    }

    /// Hands everything to the kernel: another process reads it.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn head(&mut self, kind: u32, len: usize, id: u64, offset: u64) -> io::Result<()> {
        let len = u32::try_from(len).map_err(io::Error::other)?;
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&kind.to_le_bytes());
        head[4..8].copy_from_slice(&len.to_le_bytes());
        head[8..16].copy_from_slice(&id.to_le_bytes());
        head[16..].copy_from_slice(&offset.to_le_bytes());
        self.0.write_all(&head)
    }
}

/// A log that was read.
pub(crate) struct WriteLog {
    bytes: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl WriteLog {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path)?;
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (event, next) = parse(&bytes, at).ok_or("the log of the disk ends in the middle of an event")?;
            events.push(event);
            at = next;
        }
        Ok(Self { bytes, events })
    }

    /// Where the first such mark is.
    pub(crate) fn position(&self, mark: &str) -> Result<usize, Failure> {
        let found = self.events.iter().position(|event| matches!(event, Event::Mark(text) if text == mark));
        found.ok_or_else(|| format!("the disk was never told {mark:?}").into())
    }

    /// Moments from an event on, in order: in equal parts as something was just told, as a flush is about to be
    /// answered, when the most is at stake, and at any time.
    pub(crate) fn moments(&self, from: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
        let (mut told, mut flushed, mut flushes) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (at, event) in self.events.iter().enumerate().skip(from) {
            match event {
                Event::Mark(_) => told.push(at + 1),
                Event::Flush { id } => drop(flushes.insert(*id)),
                Event::Done { id } if flushes.contains(id) => flushed.push(at),
                Event::Done { .. } | Event::Write { .. } => {}
            }
        }
        let mut moments = Vec::new();
        for mut kind in [told, flushed] {
            rng.shuffle(&mut kind);
            moments.extend(kind.into_iter().take(count / 3));
        }
        moments.extend((moments.len()..count).map(|_| rng.usize(from..=self.events.len())));
        moments.sort_unstable();
        moments
    }

    /// The bytes of a write, `None` for zeros.
    pub(crate) fn bytes(&self, data: &Data) -> Option<&[u8]> {
        match data {
            Data::Zeros(_) => None,
            Data::Bytes(range) => Some(&self.bytes[range.clone()]),
        }
    }
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Data::Zeros(len) => *len,
            Data::Bytes(range) => range.len(),
        }
    }
}

/// The event at a place of the log, and where the next one is.
fn parse(bytes: &[u8], at: usize) -> Option<(Event, usize)> {
    let head = bytes.get(at..at + HEAD)?;
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (kind, len, id, offset) = (word(0)?, word(4)? as usize, long(8)?, long(16)?);
    let body = at + HEAD..at + HEAD + len;
    let event = match kind {
        WRITE => Event::Write { id, offset, data: Data::Bytes(body.clone()) },
        ZEROS => Event::Write { id, offset, data: Data::Zeros(len) },
        FLUSH => Event::Flush { id },
        DONE => Event::Done { id },
        MARK => Event::Mark(String::from_utf8(bytes.get(body.clone())?.to_vec()).ok()?),
        _ => return None,
    };
    let next = if matches!(kind, WRITE | MARK) { body.end } else { body.start };
    (next <= bytes.len()).then_some((event, next))
}
