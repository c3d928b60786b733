//! A record: a fixed header and a body of the layer above, verifiable wherever it lies.
//!
//! FORMAT.md, "Record", states the bytes.

use logboom_disk::{Region, Slice};

use crate::types::{
    damage::Descriptor,
    ids::{Place, Sequence, round_up},
    mutants::{Mutant, unless},
};

/// Size of a record's header, in bytes.
pub const RECORD_HEADER: usize = 64;

/// Records begin, and their bodies are padded, at multiples of this many bytes.
pub(crate) const RECORD_ALIGN: usize = 8;

/// The log's own kinds begin here; lower ones are of the layer above.
pub(crate) const KIND_OWN: u8 = 128;
/// The kind of a record that frees the segments it lists.
pub(crate) const KIND_FREED: u8 = 128;

/// Marks the last record of a batch: the next record begins at the next line.
const FLAG_BATCH_END: u8 = 1;

/// The bytes that a record takes in a segment, header and padding included.
pub fn record_bytes(body_len: usize) -> usize {
    RECORD_HEADER + round_up(body_len, RECORD_ALIGN)
}

/// The fields of a record's header that the layer above sets. The log stores them without interpreting them, and
/// reports `owner`, `first` and `count` when the record is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The record's owner.
    pub owner: u64,
    /// The record's kind, below 128.
    pub kind: u8,
    /// The first of the numbers that the record holds.
    pub first: u64,
    /// How many numbers it holds.
    pub count: u32,
    /// A further word, free for the layer above.
    pub attr: u64,
    /// The sequence of the owner's previous record, or [`Sequence::NONE`]: proves that no record of the owner is
    /// missing.
    pub prev: Sequence,
}

/// A record whose checksums were verified, or that this process wrote. Shares its memory; cheap to clone.
#[derive(Clone, Debug)]
pub struct Record {
    bytes: Slice,
}

impl Record {
    /// The record at the start of `bytes`, if its checksums match those of a log with this seed.
    pub(crate) fn verify(bytes: &Slice, seed: u32) -> Option<Self> {
        Self::verify_at(bytes, 0, seed)
    }

    /// [`Record::verify`] for the record at byte `at` of `whole`.
    pub(crate) fn verify_at(whole: &Slice, at: usize, seed: u32) -> Option<Self> {
        let bytes = whole.get(at..)?;
        let header = RawHeader::at(bytes)?;
        let len = RECORD_HEADER + header.body_len();
        if !header.checks(seed) || bytes.len() < len {
            return None;
        }
        let body = &bytes[RECORD_HEADER..len];
        let intact = unless(Mutant::BodyChecksumIgnored, || crc32fast::hash(body) == header.body_crc(), || true);
        intact.then(|| Self { bytes: whole.slice(at..at + len) })
    }

    /// A record that this process wrote, from memory: it needs no verification.
    pub(crate) fn written_here(mut bytes: Slice) -> Option<Self> {
        let len = RECORD_HEADER + RawHeader::at(&bytes)?.body_len();
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

    /// The record without the padding, header included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is the last record of its batch, also after a move: the next record begins at a line.
    pub(crate) fn is_batch_end(&self) -> bool {
        self.bytes[57] & FLAG_BATCH_END != 0
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor { owner: self.owner(), first: self.first(), count: self.count(), kind: self.kind() }
    }

    /// The record's header and body, sharing its memory.
    pub fn slice(&self) -> &Slice {
        &self.bytes
    }

    /// The body, sharing the record's memory.
    pub fn body_slice(&self) -> Slice {
        self.bytes.slice(RECORD_HEADER..self.bytes.len())
    }
}

/// The header of a record before verification: it may be any bytes.
pub(crate) struct RawHeader<'b> {
    header: &'b [u8],
}

impl<'b> RawHeader<'b> {
    pub(crate) fn at(bytes: &'b [u8]) -> Option<Self> {
        bytes.get(..RECORD_HEADER).map(|header| Self { header })
    }

    /// Whether a log with this seed wrote this header. Does not check the body.
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

/// Takes the body of a record in pieces; copies and checksums in one pass.
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
    /// If more is put than was announced: the bytes after the body belong to the next record.
    pub fn put(&mut self, bytes: &[u8]) {
        // Pieces that stay in the first-level cache between the copy and the checksum.
        for piece in bytes.chunks(16 << 10) {
            let target = &mut self.body[self.at..self.at + piece.len()];
            target.copy_from_slice(piece);
            self.crc.update(target);
            self.at += piece.len();
        }
    }

    /// The checksum of the body; bytes that were not put are zeros.
    fn finish(mut self) -> u32 {
        let rest = &mut self.body[self.at..];
        debug_assert!(rest.is_empty(), "a body is put whole");
        rest.fill(0);
        self.crc.update(rest);
        self.crc.finalize()
    }
}

/// Writes the records of one batch in sequence into the batch's region.
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

    /// Fills the rest of the region with zeros, and freezes it if all records were written.
    ///
    /// Returns false if fewer records were written than announced: the group cannot be written then.
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

/// Covers the header except this checksum, the body's checksum included. Seeded by the log's identity, so that no
/// record of another log verifies.
fn header_crc(header: &[u8], seed: u32) -> u32 {
    seeded_crc(&header[4..RECORD_HEADER], seed)
}

/// The checksum of `bytes` for a log with this seed.
pub(crate) fn seeded_crc(bytes: &[u8], seed: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(seed);
    crc.update(bytes);
    crc.finalize()
}

/// The result of [`crate::Reservation::record`].
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The record's sequence.
    pub sequence: Sequence,
    /// The record's place.
    pub place: Place,
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
