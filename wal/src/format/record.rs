//! A record: a fixed header and the bytes of the layer above, verifiable wherever it lies.
//!
//! The bytes are laid out in FORMAT.md, "Record".

use logboom_disk::{Region, Slice};

use crate::types::{
    damage::Descriptor,
    ids::{Place, Sequence, round_up},
    mutants::{Mutant, unless},
};

/// Size of a record's header in bytes.
pub const RECORD_HEADER: usize = 64;

/// Records begin, and their bodies are padded, at multiples of this many bytes.
pub(crate) const RECORD_ALIGN: usize = 8;

/// Kinds from here on are the log's own.
pub(crate) const KIND_OWN: u8 = 128;
/// The log's own: the listed segments were freed.
pub(crate) const KIND_FREED: u8 = 128;

/// The record is the last of its batch, and the next one begins at the next line.
const FLAG_BATCH_END: u8 = 1;

/// Bytes that a record takes in a segment, header and padding included.
pub fn record_bytes(body_len: usize) -> usize {
    RECORD_HEADER + round_up(body_len, RECORD_ALIGN)
}

/// What the layer above says of a record. The log stores it, and names `owner`, `first` and `count` when the record is
/// lost; it interprets none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Whose record it is.
    pub owner: u64,
    /// Of what kind, below 128.
    pub kind: u8,
    /// The first of the numbers that the record holds.
    pub first: u64,
    /// How many numbers it holds.
    pub count: u32,
    /// A further word.
    pub attr: u64,
    /// The owner's previous record, or [`Sequence::NONE`]: its continuity can be proven.
    pub prev: Sequence,
}

/// A record whose checksums were verified, or that this process wrote. Shares its memory; cheap to clone.
#[derive(Clone, Debug)]
pub struct Record {
    bytes: Slice,
}

impl Record {
    /// The record at the beginning of `bytes`, if its checksums say that it is one of the log with this seed.
    pub(crate) fn verify(bytes: &Slice, seed: u32) -> Option<Self> {
        Self::verify_at(bytes, 0, seed)
    }

    /// [`Record::verify`] for the record `at` so many bytes.
    pub(crate) fn verify_at(whole: &Slice, at: usize, seed: u32) -> Option<Self> {
        let bytes = whole.get(at..)?;
        let header = Raw::at(bytes)?;
        let len = RECORD_HEADER + header.body_len();
        if !header.checks(seed) || bytes.len() < len {
            return None;
        }
        let body = &bytes[RECORD_HEADER..len];
        let intact = unless(Mutant::BodyChecksumIgnored, || crc32fast::hash(body) == header.body_crc(), || true);
        intact.then(|| Self { bytes: whole.slice(at..at + len) })
    }

    /// A record that this process wrote and nothing but memory has held since.
    pub(crate) fn written_here(mut bytes: Slice) -> Option<Self> {
        let len = RECORD_HEADER + Raw::at(&bytes)?.body_len();
        (len <= bytes.len()).then(|| {
            bytes.truncate(len);
            Self { bytes }
        })
    }

    /// The owner, as in [`Meta::owner`].
    pub fn owner(&self) -> u64 {
        u64_at(&self.bytes, 8)
    }

    /// The kind, as in [`Meta::kind`].
    pub fn kind(&self) -> u8 {
        self.bytes[56]
    }

    /// The first number, as in [`Meta::first`].
    pub fn first(&self) -> u64 {
        u64_at(&self.bytes, 32)
    }

    /// The number of numbers, as in [`Meta::count`].
    pub fn count(&self) -> u32 {
        u32_at(&self.bytes, 48)
    }

    /// The further word, as in [`Meta::attr`].
    pub fn attr(&self) -> u64 {
        u64_at(&self.bytes, 40)
    }

    /// The record's sequence, which it keeps wherever it moves.
    pub fn sequence(&self) -> Sequence {
        Sequence(u64_at(&self.bytes, 16))
    }

    /// The sequence of the owner's previous record, as in [`Meta::prev`].
    pub fn prev(&self) -> Sequence {
        Sequence(u64_at(&self.bytes, 24))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[RECORD_HEADER..]
    }

    /// All of it, header included, without the padding.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is the last of its batch, wherever it lies: what follows begins at a line.
    pub(crate) fn is_batch_end(&self) -> bool {
        self.bytes[57] & FLAG_BATCH_END != 0
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor { owner: self.owner(), first: self.first(), count: self.count(), kind: self.kind() }
    }

    /// All of the record, header and body.
    pub fn slice(&self) -> &Slice {
        &self.bytes
    }

    /// The body, sharing the record's memory.
    pub fn body_slice(&self) -> Slice {
        self.bytes.slice(RECORD_HEADER..self.bytes.len())
    }
}

/// A header that nothing is known of yet: it may be any bytes.
pub(crate) struct Raw<'b> {
    header: &'b [u8],
}

impl<'b> Raw<'b> {
    pub(crate) fn at(bytes: &'b [u8]) -> Option<Self> {
        bytes.get(..RECORD_HEADER).map(|header| Self { header })
    }

    /// Whether the header is one that a log with this seed wrote; its body is another matter.
    pub(crate) fn checks(&self, seed: u32) -> bool {
        self.crc() == header_crc(self.header, seed)
    }

    pub(crate) fn sequence(&self) -> Sequence {
        Sequence(u64_at(self.header, 16))
    }

    pub(crate) fn crc(&self) -> u32 {
        u32_at(self.header, 0)
    }

    fn body_crc(&self) -> u32 {
        u32_at(self.header, 4)
    }

    pub(crate) fn body_len(&self) -> usize {
        u32_at(self.header, 52) as usize
    }

    pub(crate) fn is_batch_end(&self) -> bool {
        self.header[57] & FLAG_BATCH_END != 0
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            owner: u64_at(self.header, 8),
            first: u64_at(self.header, 32),
            count: u32_at(self.header, 48),
            kind: self.header[56],
        }
    }
}

/// Takes the body of a record piece by piece, copying and checksumming in one pass.
pub struct BodyWriter<'r> {
    body: &'r mut [u8],
    at: usize,
    crc: crc32fast::Hasher,
}

impl<'r> BodyWriter<'r> {
    fn new(body: &'r mut [u8]) -> Self {
        Self { body, at: 0, crc: crc32fast::Hasher::new() }
    }

    /// Appends `bytes` to the body.
    ///
    /// # Panics
    /// When more is put than was announced: the bytes beyond are the next record's.
    pub fn put(&mut self, bytes: &[u8]) {
        // In pieces that stay in the first-level cache between the copy and the checksum.
        for piece in bytes.chunks(16 << 10) {
            let target = &mut self.body[self.at..self.at + piece.len()];
            target.copy_from_slice(piece);
            self.crc.update(target);
            self.at += piece.len();
        }
    }

    /// The body's checksum, over what was put and zeros for what was not.
    fn finish(mut self) -> u32 {
        let rest = &mut self.body[self.at..];
        debug_assert!(rest.is_empty(), "a body is put whole");
        rest.fill(0);
        self.crc.update(rest);
        self.crc.finalize()
    }
}

/// Writes records one behind the other into the region that one batch reserved.
pub(crate) struct RecordWriter {
    region: Region,
    at: usize,
    left: u32,
    sequence: Sequence,
    seed: u32,
}

impl RecordWriter {
    pub(crate) fn new(region: Region, records: u32, sequence: Sequence, seed: u32) -> Self {
        Self { region, at: 0, left: records, sequence, seed }
    }

    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Writes one record and returns its sequence, offset in the region, and length.
    pub(crate) fn record(
        &mut self,
        meta: &Meta,
        body_len: usize,
        fill: impl FnOnce(&mut BodyWriter<'_>),
    ) -> (Sequence, usize, usize) {
        let (at, len) = (self.at, record_bytes(body_len));
        let bytes = &mut self.region[at..at + len];
        let (header, padded) = bytes.split_at_mut(RECORD_HEADER);
        let (body, padding) = padded.split_at_mut(body_len);
        let mut writer = BodyWriter::new(body);
        fill(&mut writer);
        let body_crc = writer.finish();
        padding.fill(0);
        encode_header(header, meta, self.sequence, body_len, body_crc, self.left == 1, self.seed);
        let sequence = self.sequence;
        self.sequence = sequence.next();
        self.left -= 1;
        self.at += len;
        (sequence, at, len)
    }

    /// Publishes what was written; the rest of the region is zeros.
    ///
    /// Returns false when fewer records were written than announced: the group cannot be written then.
    pub(crate) fn freeze(mut self) -> bool {
        let at = self.at;
        self.region[at..].fill(0);
        let whole = self.left == 0;
        if whole {
            self.region.freeze();
        }
        whole
    }
}

fn encode_header(
    header: &mut [u8],
    meta: &Meta,
    sequence: Sequence,
    body_len: usize,
    body_crc: u32,
    last: bool,
    seed: u32,
) {
    let body_len = u32::try_from(body_len).expect("a batch is smaller than a segment");
    header[4..8].copy_from_slice(&body_crc.to_le_bytes());
    header[8..16].copy_from_slice(&meta.owner.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.0.to_le_bytes());
    header[24..32].copy_from_slice(&meta.prev.0.to_le_bytes());
    header[32..40].copy_from_slice(&meta.first.to_le_bytes());
    header[40..48].copy_from_slice(&meta.attr.to_le_bytes());
    header[48..52].copy_from_slice(&meta.count.to_le_bytes());
    header[52..56].copy_from_slice(&body_len.to_le_bytes());
    header[56] = meta.kind;
    header[57] = if last { FLAG_BATCH_END } else { 0 };
    header[58..64].fill(0);
    let crc = header_crc(header, seed);
    header[0..4].copy_from_slice(&crc.to_le_bytes());
}

/// Covers everything of the header but itself, the body's checksum included; seeded by the log's identity, so that
/// another log's record never passes.
fn header_crc(header: &[u8], seed: u32) -> u32 {
    seeded_crc(&header[4..RECORD_HEADER], seed)
}

/// A checksum that only the log with this seed would have made.
pub(crate) fn seeded_crc(bytes: &[u8], seed: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(seed);
    crc.update(bytes);
    crc.finalize()
}

/// What [`crate::Reservation::record`] wrote.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The record's sequence.
    pub sequence: Sequence,
    /// Where it lies.
    pub place: Place,
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
