//! Checkpoints, in two alternating slots: with one, an opening need not replay older segments.
//!
//! FORMAT.md, "Checkpoint", states the bytes.

use std::{io, sync::Arc};

use logboom_disk::{Disk, File, Mode, Pool, Slice, Sync};

use crate::{
    format::{
        framing::Framing,
        group::{Life, Origin, put_u32, put_u64},
        record::{seeded_crc, u32_at, u64_at},
    },
    segments::{
        identity::Identity,
        log_match::LogMatch,
        medium::Medium,
        segment::read_slice,
        unreadable::{UnreadableRanges, is_media_error},
    },
    types::{
        error::Error,
        ids::{NUMBER_MAX, SegmentId, round_up},
        marks,
        mutants::{Mutant, unless},
    },
};

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"LBCP");
pub(crate) const HEADER: usize = 64;
const ROW: usize = 64;
const PIECE: usize = 1 << 20;
const GROWTH: u64 = 64 << 10;
const NAMES: [&str; 2] = ["checkpoint-0", "checkpoint-1"];

/// Whether `name` is the file name of a slot.
pub(crate) fn is_slot(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The two slots.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    files: [Option<Arc<dyn File>>; 2],
    held: [HeldCheckpoint; 2],
    /// Whether the content of each slot was not intact when it was read.
    bad: [bool; 2],
    /// Whether each slot belonged to this log when it was read.
    log_matches: [Option<LogMatch>; 2],
    /// The ranges of each slot that could not be read.
    unreadable: [UnreadableRanges; 2],
    /// Higher than every slot of a segment file that an intact checkpoint names.
    free_slot: u32,
}

/// The checkpoint that a slot holds.
#[derive(Clone, Copy, Debug, Default)]
struct HeldCheckpoint {
    /// 0 if there is none.
    number: u64,
    replay_from: SegmentId,
}

/// A checkpoint, as read.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) number: u64,
    pub(crate) replay_from: SegmentId,
    pub(crate) segments: Vec<SegmentRow>,
    pub(crate) body: Vec<u8>,
}

/// A segment that the checkpoint names: a live one below its replay position, or a cold one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) id: SegmentId,
    pub(crate) epoch: u64,
    pub(crate) nonce: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) slot: u32,
    pub(crate) end: u32,
}

impl Checkpoint {
    /// Whether a log can have reached these numbers: the checksums do not prove that.
    fn is_possible(&self, identity: &Identity) -> bool {
        let row = |row: &SegmentRow| {
            (row.id < self.replay_from || row.id.is_cold())
                && row.id.is_possible()
                && row.epoch < NUMBER_MAX
                && row.first < NUMBER_MAX
                && row.last < NUMBER_MAX
                && u64::from(row.end) <= identity.segment_bytes
                && (row.end as usize).is_multiple_of(identity.pad)
        };
        self.number < NUMBER_MAX && self.replay_from.0 < NUMBER_MAX && self.segments.iter().all(row)
    }
}

impl Slots {
    /// Reads both slots, and returns the newest intact checkpoint.
    ///
    /// Falling back to the older one is safe: a segment is reused only when both slots cover it. A slot that cannot be
    /// read is not intact.
    pub(crate) fn open(
        Medium { disk, pool, .. }: &Medium,
        identity: &Identity,
        mode: Mode,
    ) -> Result<(Self, Option<Checkpoint>), Error> {
        let mut slots = Self::default();
        let mut newest: Option<Checkpoint> = None;
        for (at, name) in NAMES.into_iter().enumerate() {
            let file = match disk.open(name, mode) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io(format!("opening {name}"), error)),
            };
            // A second try: a failure may be transient.
            let read = read(&*file, pool, identity).or_else(|_| read(&*file, pool, identity));
            slots.files[at] = Some(file);
            let checkpoint = match read {
                Ok(Content::Intact(checkpoint)) => {
                    slots.log_matches[at] = Some(LogMatch::Ours);
                    checkpoint
                }
                Err(error) if is_media_error(&error) => {
                    marks::hit("checkpoint: a slot cannot be read");
                    slots.bad[at] = true;
                    slots.unreadable[at] = UnreadableRanges::whole_file(error);
                    continue;
                }
                Err(error) => return Err(Error::io(format!("reading {name}"), error)),
                Ok(Content::Bad(log_match)) => {
                    slots.log_matches[at] = Some(log_match);
                    marks::hit("checkpoint: a slot is not intact");
                    slots.bad[at] = true;
                    continue;
                }
                Ok(Content::None) => continue,
            };
            let Checkpoint { number, replay_from, .. } = checkpoint;
            slots.held[at] = HeldCheckpoint { number, replay_from };
            let named = checkpoint.segments.iter().map(|row| row.slot.saturating_add(1)).max();
            slots.free_slot = slots.free_slot.max(named.unwrap_or(0));
            if newest.as_ref().is_none_or(|newest| newest.number < checkpoint.number) {
                newest = Some(checkpoint);
            }
        }
        Ok((slots, newest))
    }

    /// Reads the newest intact checkpoint again; `None` before the first one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corruption`] if no slot is intact any more.
    pub(crate) fn newest(&self, pool: &Pool, identity: &Identity) -> Result<Option<Checkpoint>, Error> {
        let mut newest: Option<Checkpoint> = None;
        for file in self.files.iter().flatten() {
            let content = read(&**file, pool, identity);
            let content = content.map_err(|error| Error::io(format!("reading {}", file.name()), error))?;
            if let Content::Intact(checkpoint) = content
                && newest.as_ref().is_none_or(|newest| newest.number < checkpoint.number)
            {
                newest = Some(checkpoint);
            }
        }
        match self.held.iter().find(|held| held.number > 0) {
            Some(held) if newest.is_none() => {
                Err(Error::corruption(held.replay_from, 0, "no checkpoint is intact any more"))
            }
            _ => Ok(newest),
        }
    }

    /// Creates both files with space for a checkpoint of usual size, so that a full device does not prevent it.
    pub(crate) fn prepare(&mut self, disk: &dyn Disk) -> Result<(), Failure> {
        (0..NAMES.len()).try_for_each(|slot| self.file(disk, slot, GROWTH / 2).map(drop))
    }

    /// Makes the checkpoints that were read durable: the process that wrote them may have died before its sync, and
    /// from now on what a checkpoint covers may be overwritten.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.iter().flatten().try_for_each(|file| file.sync_all())
    }

    /// The lowest number that a new segment file may have. A checkpoint may name a file that was deleted: an empty new
    /// file of that name would be taken for the segment.
    pub(crate) fn free_slot(&self) -> u32 {
        self.free_slot
    }

    /// Whether each slot belonged to this log when it was read, by file name.
    pub(crate) fn log_matches(&self) -> impl Iterator<Item = (String, &LogMatch)> {
        let log_matches = NAMES.into_iter().zip(&self.log_matches);
        log_matches.filter_map(|(name, log_match)| log_match.as_ref().map(|log_match| (name.to_owned(), log_match)))
    }

    /// The ranges of the slots that could not be read, by file name.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = (&'static str, &UnreadableRanges)> {
        NAMES.into_iter().zip(&self.unreadable).filter(|(_, unreadable)| !unreadable.is_empty())
    }

    pub(crate) fn bad(&self) -> Vec<u8> {
        (0..2).filter(|&slot| self.bad[usize::from(slot)]).collect()
    }

    /// The first segment that is not covered: all records in the segments below it are in both slots.
    pub(crate) fn covered(&self) -> SegmentId {
        let [one, other] = self.held.map(|held| held.replay_from);
        unless(Mutant::ReuseWithOneSlot, || one.min(other), || one.max(other))
    }

    /// Writes a checkpoint over the older slot. Durable on return; the newer slot is not touched.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        pool: &Pool,
        identity: &Identity,
        replay_from: SegmentId,
        segments: &[SegmentRow],
        body: &[u8],
    ) -> Result<(), Failure> {
        let older = usize::from(self.held[0].number > self.held[1].number);
        let newest = || if self.held[1 - older].number > 0 { 1 - older } else { older };
        let older = unless(Mutant::CheckpointOverNewest, || older, newest);
        let (number, pad) = (self.held[0].number.max(self.held[1].number) + 1, identity.pad);
        // Until the write completes, the slot counts as empty.
        self.held[older] = HeldCheckpoint::default();
        let mut content = Vec::with_capacity(segments.len() * ROW + body.len());
        segments.iter().for_each(|row| row.encode(&mut content));
        content.extend_from_slice(body);
        let file = self.file(disk, older, (pad + round_up(content.len(), pad)) as u64)?;
        for (nth, piece) in content.chunks(PIECE).enumerate() {
            let slice = Slice::padded_copy(pool, piece, pad);
            file.write_at(&[slice], (pad + nth * PIECE) as u64, Sync::None).map_err(Failure::Write)?;
        }
        unless(Mutant::CheckpointHeaderFirst, || file.sync_data(), || Ok(())).map_err(Failure::Sync)?;
        let header = encode_header(number, replay_from, segments.len(), &content, identity);
        file.write_at(&[Slice::padded_copy(pool, &header, pad)], 0, Sync::Data).map_err(Failure::Sync)?;
        self.held[older] = HeldCheckpoint { number, replay_from };
        Ok(())
    }

    /// The file of a slot, grown to `size` bytes at least.
    fn file(&mut self, disk: &dyn Disk, slot: usize, size: u64) -> Result<Arc<dyn File>, Failure> {
        let file = match &self.files[slot] {
            Some(file) => Arc::clone(file),
            None => {
                let file = disk.open(NAMES[slot], Mode::Create).map_err(Failure::Write)?;
                self.files[slot] = Some(Arc::clone(&file));
                file
            }
        };
        if file.size().map_err(Failure::Write)? < size {
            // Space to grow, so that a full device does not prevent the next checkpoint.
            file.allocate((2 * size).next_multiple_of(GROWTH)).map_err(Failure::Write)?;
            file.sync_all().map_err(Failure::Sync)?;
            disk.sync_dir().map_err(Failure::Sync)?;
        }
        Ok(file)
    }
}

/// A side failure: of IO that is no write or sync of the log's groups. A failed write concerns that operation alone. A
/// failed sync may have reported a failed write of a group, so it poisons the log.
#[derive(Debug)]
pub(crate) enum Failure {
    Write(io::Error),
    Sync(io::Error),
}

impl Failure {
    pub(crate) fn into_error(self) -> io::Error {
        match self {
            Self::Write(error) | Self::Sync(error) => error,
        }
    }
}

impl SegmentRow {
    /// The life of the segment, without the origin.
    pub(crate) fn life(&self) -> Life {
        let Self { id, epoch, nonce, .. } = *self;
        Life { segment: id, epoch, nonce, origin: Origin::default() }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let at = bytes.len();
        bytes.resize(at + ROW, 0);
        let row = &mut bytes[at..];
        put_u64(row, 0, self.id.0);
        put_u64(row, 8, self.epoch);
        put_u64(row, 16, self.nonce);
        put_u64(row, 24, self.first);
        put_u64(row, 32, self.last);
        put_u32(row, 40, self.slot);
        put_u32(row, 44, self.end);
    }

    fn decode(row: &[u8]) -> Self {
        Self {
            id: SegmentId(u64_at(row, 0)),
            epoch: u64_at(row, 8),
            nonce: u64_at(row, 16),
            first: u64_at(row, 24),
            last: u64_at(row, 32),
            slot: u32_at(row, 40),
            end: u32_at(row, 44),
        }
    }
}

fn encode_header(
    number: u64,
    replay_from: SegmentId,
    rows: usize,
    content: &[u8],
    identity: &Identity,
) -> [u8; 2 * HEADER] {
    let mut bytes = [0; 2 * HEADER];
    put_u32(&mut bytes, 4, MAGIC);
    put_u64(&mut bytes, 8, number);
    put_u64(&mut bytes, 16, replay_from.0);
    put_u64(&mut bytes, 24, rows as u64);
    put_u64(&mut bytes, 32, content.len() as u64);
    put_u32(&mut bytes, 40, crc32fast::hash(content));
    let crc = seeded_crc(&bytes[4..HEADER], identity.seed());
    put_u32(&mut bytes, 0, crc);
    identity.put_copy(&mut bytes);
    bytes
}

/// The content of a slot's file.
enum Content {
    Intact(Checkpoint),
    Bad(LogMatch),
    /// It was never written.
    None,
}

fn read(file: &dyn File, pool: &Pool, identity: &Identity) -> io::Result<Content> {
    let Framing { pad, seed } = identity.framing();
    let size = file.size()?;
    if size < pad as u64 {
        return Ok(Content::None);
    }
    let block = read_slice(file, pool, 0, pad)?;
    if block.iter().all(|&byte| byte == 0) {
        return Ok(Content::None);
    }
    let header = &block[..HEADER];
    let bad = |is_whole| Ok(Content::Bad(LogMatch::of_slot(&block, identity, is_whole)));
    if u32_at(header, 4) != MAGIC {
        return bad(false);
    }
    let is_ours = u32_at(header, 0) == seeded_crc(&header[4..], seed);
    let (rows, len) = (u64_at(header, 24), u64_at(header, 32));
    if len > size - pad as u64 || rows > len / ROW as u64 {
        return bad(false);
    }
    let (Ok(rows), Ok(len)) = (usize::try_from(rows), usize::try_from(len)) else { return bad(false) };
    let content = read_content(file, pool, pad, len)?;
    let is_whole = crc32fast::hash(&content) == u32_at(header, 40);
    if !is_ours || !is_whole {
        return bad(is_whole);
    }
    let (segments, body) = content.split_at(rows * ROW);
    let checkpoint = Checkpoint {
        number: u64_at(header, 8),
        replay_from: SegmentId(u64_at(header, 16)),
        segments: segments.chunks_exact(ROW).map(SegmentRow::decode).collect(),
        body: body.to_vec(),
    };
    if checkpoint.is_possible(identity) { Ok(Content::Intact(checkpoint)) } else { bad(true) }
}

fn read_content(file: &dyn File, pool: &Pool, pad: usize, len: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(round_up(len, pad));
    while content.len() < len {
        let piece = round_up((len - content.len()).min(PIECE), pad);
        content.extend_from_slice(&read_slice(file, pool, pad + content.len(), piece)?);
    }
    content.truncate(len);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_no_log_comes_to_is_none() {
        let identity = Identity { version: 2, log: [1, 2], segment_bytes: 1 << 20, pad: 4096 };
        let row = SegmentRow { id: SegmentId(7), epoch: 1, nonce: 2, first: 3, last: 4, slot: 5, end: 1 << 20 };
        let good = Checkpoint { number: 1, replay_from: SegmentId(8), segments: vec![row], body: Vec::new() };
        assert!(good.is_possible(&identity));
        for row in [
            SegmentRow { id: SegmentId(8), ..row },
            SegmentRow { epoch: u64::MAX, ..row },
            SegmentRow { first: u64::MAX, ..row },
            SegmentRow { last: u64::MAX, ..row },
            SegmentRow { end: (1 << 20) + 1, ..row },
            SegmentRow { end: (1 << 20) + 4096, ..row },
            SegmentRow { end: 4096 + 512, ..row },
        ] {
            let bad = Checkpoint { segments: vec![row], ..good.clone() };
            assert!(!bad.is_possible(&identity), "{row:?}");
        }
        assert!(!Checkpoint { number: u64::MAX, ..good.clone() }.is_possible(&identity));
        assert!(!Checkpoint { replay_from: SegmentId(u64::MAX), ..good }.is_possible(&identity));
    }
}
