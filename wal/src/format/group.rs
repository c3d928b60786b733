//! A group: the records that one sync covers, framed so that recovery can tell a crash, damage and old bytes apart.
//!
//! FORMAT.md, "Group", states the bytes.

use logboom_disk::LINE;

use crate::{
    format::{
        framing::Framing,
        record::{RECORD_HEADER, seeded_crc, u32_at, u64_at},
    },
    types::{
        damage::Descriptor,
        ids::{GROUP_RECORDS_MAX, NUMBER_MAX, SegmentId, round_up},
    },
};

/// The most bytes in flight, unless a single group has more: bounds what a crash can leave after the last promise.
pub(crate) const IN_FLIGHT_BYTES: usize = 8 << 20;

/// Size of a group's header, in bytes.
pub(crate) const GROUP_HEADER: usize = 128;

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"LBGR");
const TABLE_MAGIC: u32 = u32::from_le_bytes(*b"LBDT");
/// Size of a table's header, in bytes.
pub(crate) const TABLE_HEADER: usize = 24;
const TABLE_ROW: usize = 24;

/// Marks the first group of an epoch.
pub(crate) const FLAG_EPOCH: u8 = 1;
/// Marks the last group of an epoch: the log was closed.
pub(crate) const FLAG_CLOSE: u8 = 2;

const _: () = assert!(GROUP_HEADER.is_multiple_of(LINE), "records begin at a line");

/// The fields of a verified group header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// The life of the segment that the group was written to.
    pub(crate) life: Life,
    pub(crate) sequence: u64,
    /// The promise: when this group was submitted, every group up to this one was durable.
    pub(crate) durable: u64,
    /// The checksum of the previous group's header.
    pub(crate) chain: u32,
    /// A checksum over the records' checksums: binds the records to this header.
    pub(crate) records_crc: u32,
    /// Length in bytes of the previous group in the segment, 0 for the first.
    pub(crate) prev_len: u32,
    pub(crate) flags: u8,
    pub(crate) shape: Shape,
}

/// Identifies one life of a segment. Every group in it repeats this, so that losing the segment's header loses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) segment: SegmentId,
    pub(crate) epoch: u64,
    pub(crate) nonce: u64,
    pub(crate) origin: Origin,
}

impl Life {
    /// Whether a log can have reached these numbers: a segment comes after its origin, which ends between groups, and
    /// none is near the maximum.
    pub(crate) fn is_possible(&self, pad: usize) -> bool {
        let Self { segment, epoch, origin, .. } = *self;
        let is_possible = segment.is_possible() && !origin.segment.is_cold();
        let is_possible = is_possible && (origin.end as usize).is_multiple_of(pad);
        is_possible && origin.segment < segment && epoch < NUMBER_MAX && origin.last < NUMBER_MAX
    }

    /// The segment that was active in the log when this one was begun; its own id for a segment of the log. It orders
    /// the lives of one file: the file was free in between, so its earlier life was covered.
    pub(crate) fn begun_at(&self) -> SegmentId {
        if self.segment.is_cold() { self.origin.segment } else { self.segment }
    }
}

/// Where the log stood when a segment was begun: the accepted end of the previous segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The previous segment; 0 for the first of a log.
    pub(crate) segment: SegmentId,
    /// The accepted end of that segment, in bytes.
    pub(crate) end: u32,
    /// The checksum of the last accepted group's header.
    pub(crate) crc: u32,
    /// The last accepted group.
    pub(crate) last: u64,
}

/// The sizes of a group, which determine where its parts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) pad: usize,
    /// Bytes of the previous group's descriptors, repeated in this one.
    pub(crate) echo_len: usize,
    pub(crate) records: u32,
    pub(crate) records_len: usize,
}

impl Life {
    /// Whether both are the same life of the same segment. Ignores the origin, which a checkpoint does not repeat.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.segment, self.epoch, self.nonce) == (other.segment, other.epoch, other.nonce)
    }
}

impl Shape {
    pub(crate) fn empty(pad: usize, echo_len: usize) -> Self {
        Self { pad, echo_len, records: 0, records_len: 0 }
    }

    /// Where the records begin, in bytes from the start of the group.
    pub(crate) fn records_at(&self) -> usize {
        GROUP_HEADER + round_up(self.echo_len, LINE)
    }

    pub(crate) fn records_end(&self) -> usize {
        self.records_at() + self.records_len
    }

    /// Where the group's own table of descriptors begins, if it has one. It starts a new block, so that one bad block
    /// never takes both a record's header and its descriptor. A group of a single block has none; the next group
    /// repeats its descriptors.
    pub(crate) fn table_at(&self) -> Option<usize> {
        (self.records_end() > self.pad).then(|| round_up(self.records_end(), self.pad))
    }

    /// The group's length in bytes, a multiple of the pad unit.
    pub(crate) fn len(&self) -> usize {
        match self.table_at() {
            Some(at) => round_up(at + table_bytes(self.records), self.pad),
            None => self.pad,
        }
    }

    /// Bytes of this group's descriptors that the next group must repeat.
    pub(crate) fn echo_due(&self) -> usize {
        if self.records > 0 && self.table_at().is_none() { table_bytes(self.records) } else { 0 }
    }

    /// Whether the area of the records can hold that many: memory is allocated by their number.
    fn holds_its_records(&self) -> bool {
        self.records <= GROUP_RECORDS_MAX && self.records as usize * RECORD_HEADER <= self.records_len
    }

    pub(crate) fn with(mut self, records: u32, bytes: usize) -> Self {
        self.records += records;
        self.records_len += round_up(bytes, LINE);
        self
    }
}

impl GroupHeader {
    pub(crate) fn encode(&self, bytes: &mut [u8], seed: u32) -> u32 {
        let Life { segment, epoch, nonce, origin } = self.life;
        bytes[..GROUP_HEADER].fill(0);
        put_u32(bytes, 4, MAGIC);
        put_u64(bytes, 8, nonce);
        put_u64(bytes, 16, epoch);
        put_u64(bytes, 24, segment.0);
        put_u64(bytes, 32, self.sequence);
        put_u64(bytes, 40, self.durable);
        put_u32(bytes, 48, self.chain);
        put_u32(bytes, 52, self.records_crc);
        put_u32(bytes, 56, in_segment(self.shape.len()));
        put_u32(bytes, 60, self.prev_len);
        put_u32(bytes, 64, self.shape.records);
        put_u32(bytes, 68, in_segment(self.shape.echo_len));
        put_u32(bytes, 72, in_segment(self.shape.records_len));
        bytes[76] = self.flags;
        put_u64(bytes, 80, origin.segment.0);
        put_u32(bytes, 88, origin.end);
        put_u32(bytes, 92, origin.crc);
        put_u64(bytes, 96, origin.last);
        let crc = header_crc(bytes, seed);
        put_u32(bytes, 0, crc);
        crc
    }

    /// The header at the start of `bytes` and its checksum, if a log with this framing wrote it there.
    pub(crate) fn verify(bytes: &[u8], Framing { pad, seed }: Framing) -> Option<(Self, u32)> {
        let bytes = bytes.get(..GROUP_HEADER)?;
        let crc = u32_at(bytes, 0);
        if u32_at(bytes, 4) != MAGIC || crc != header_crc(bytes, seed) {
            return None;
        }
        let shape = Shape {
            pad,
            echo_len: u32_at(bytes, 68) as usize,
            records: u32_at(bytes, 64),
            records_len: u32_at(bytes, 72) as usize,
        };
        if shape.len() != u32_at(bytes, 56) as usize || !shape.holds_its_records() {
            return None;
        }
        let origin = Origin {
            segment: SegmentId(u64_at(bytes, 80)),
            end: u32_at(bytes, 88),
            crc: u32_at(bytes, 92),
            last: u64_at(bytes, 96),
        };
        let header = Self {
            life: Life {
                segment: SegmentId(u64_at(bytes, 24)),
                epoch: u64_at(bytes, 16),
                nonce: u64_at(bytes, 8),
                origin,
            },
            sequence: u64_at(bytes, 32),
            durable: u64_at(bytes, 40),
            chain: u32_at(bytes, 48),
            records_crc: u32_at(bytes, 52),
            prev_len: u32_at(bytes, 60),
            flags: bytes[76],
            shape,
        };
        (header.life.is_possible(pad) && header.sequence < NUMBER_MAX).then_some((header, crc))
    }
}

/// The size of a table of descriptors, in bytes.
pub(crate) fn table_bytes(records: u32) -> usize {
    TABLE_HEADER + TABLE_ROW * records as usize
}

/// Writes the table of the descriptors of `group` to the start of `bytes`.
pub(crate) fn encode_table(bytes: &mut [u8], group: u64, rows: &[Descriptor], seed: u32) {
    let len = table_bytes(u32::try_from(rows.len()).expect("a group has at most 65536 records"));
    let bytes = &mut bytes[..len];
    bytes.fill(0);
    put_u32(bytes, 4, TABLE_MAGIC);
    put_u64(bytes, 8, group);
    put_u32(bytes, 16, u32::try_from(rows.len()).expect("a group has at most 65536 records"));
    for (row, bytes) in rows.iter().zip(bytes[TABLE_HEADER..].chunks_exact_mut(TABLE_ROW)) {
        put_u64(bytes, 0, row.owner);
        put_u64(bytes, 8, row.first);
        put_u32(bytes, 16, row.count);
        bytes[20] = row.kind;
    }
    let crc = table_crc(bytes, seed);
    put_u32(bytes, 0, crc);
}

/// The length in bytes that the table at the start of `bytes` states, if it looks like a table.
pub(crate) fn table_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..TABLE_HEADER)?;
    let records = u32_at(header, 16);
    (u32_at(header, 4) == TABLE_MAGIC && records <= GROUP_RECORDS_MAX).then(|| table_bytes(records))
}

/// The group and the descriptors in the table at the start of `bytes`, if it is intact.
pub(crate) fn verify_table(bytes: &[u8], seed: u32) -> Option<(u64, Vec<Descriptor>)> {
    let bytes = bytes.get(..table_len(bytes)?)?;
    if u32_at(bytes, 0) != table_crc(bytes, seed) {
        return None;
    }
    let rows = bytes[TABLE_HEADER..].chunks_exact(TABLE_ROW).map(|row| Descriptor {
        owner: u64_at(row, 0),
        first: u64_at(row, 8),
        count: u32_at(row, 16),
        kind: row[20],
    });
    Some((u64_at(bytes, 8), rows.collect()))
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Converts a length or an offset in a segment, which is at most 1 GiB.
pub(crate) fn in_segment(value: usize) -> u32 {
    u32::try_from(value).expect("segments are at most 1 GiB")
}

fn header_crc(bytes: &[u8], seed: u32) -> u32 {
    seeded_crc(&bytes[4..GROUP_HEADER], seed)
}

fn table_crc(bytes: &[u8], seed: u32) -> u32 {
    seeded_crc(&bytes[4..], seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: usize = 4096;
    const FRAMING: Framing = Framing { pad: PAD, seed: 17 };

    const HEADER: GroupHeader = GroupHeader {
        life: Life {
            segment: SegmentId(7),
            epoch: 3,
            nonce: 99,
            origin: Origin { segment: SegmentId(6), end: 4096, crc: 5, last: 41 },
        },
        sequence: 42,
        durable: 41,
        chain: 1,
        records_crc: 2,
        prev_len: 8192,
        flags: FLAG_CLOSE,
        shape: Shape { pad: PAD, echo_len: 48, records: 1, records_len: 320 },
    };

    #[test]
    fn a_block_with_a_records_header_never_holds_its_descriptor() {
        for records_len in [64, 1024, PAD - GROUP_HEADER, PAD, 5 * PAD, 100_000] {
            let shape = Shape::empty(PAD, 0).with(3, records_len);
            match shape.table_at() {
                Some(at) => {
                    assert!(at.is_multiple_of(PAD) && at >= shape.records_end());
                    assert_eq!(shape.echo_due(), 0);
                }
                None => assert_eq!((shape.len(), shape.echo_due()), (PAD, table_bytes(3))),
            }
        }
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_rejects_it() {
        let header = HEADER;
        let mut bytes = [0; GROUP_HEADER];
        let crc = header.encode(&mut bytes, 17);
        assert_eq!(GroupHeader::verify(&bytes, FRAMING), Some((header, crc)));
        assert_eq!(GroupHeader::verify(&bytes, Framing { seed: 18, ..FRAMING }), None, "another log's seed");
        for bit in 0..GROUP_HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::verify(&bytes, FRAMING), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn more_records_than_have_room_are_none() {
        for (records, good) in [(4, true), (5, false), (u32::MAX, false)] {
            let shape = Shape { records, ..Shape::empty(PAD, 0).with(4, 256) };
            let header = GroupHeader { shape, ..HEADER };
            let mut bytes = [0; GROUP_HEADER];
            header.encode(&mut bytes, 17);
            assert_eq!(GroupHeader::verify(&bytes, FRAMING).is_some(), good, "{records}");
        }
    }

    #[test]
    fn numbers_that_no_log_comes_to_are_none() {
        let own = |segment| Origin { segment: SegmentId(segment), ..HEADER.life.origin };
        let lives = [
            Life { segment: SegmentId(u64::MAX), ..HEADER.life },
            Life { epoch: u64::MAX, ..HEADER.life },
            Life { origin: own(7), ..HEADER.life },
            Life { origin: Origin { last: u64::MAX, ..HEADER.life.origin }, ..HEADER.life },
        ];
        let mut headers = vec![GroupHeader { sequence: u64::MAX, ..HEADER }];
        headers.extend(lives.map(|life| GroupHeader { life, ..HEADER }));
        for header in headers {
            let mut bytes = [0; GROUP_HEADER];
            header.encode(&mut bytes, 17);
            assert_eq!(GroupHeader::verify(&bytes, FRAMING), None, "{header:?}");
        }
    }

    #[test]
    fn a_table_reads_back_and_any_flipped_bit_rejects_it() {
        let rows = [
            Descriptor { owner: 1, first: 2, count: 3, kind: 4 },
            Descriptor { owner: u64::MAX, first: 0, count: u32::MAX, kind: 255 },
        ];
        let mut bytes = vec![0; table_bytes(2)];
        encode_table(&mut bytes, 9, &rows, 1);
        assert_eq!(verify_table(&bytes, 1), Some((9, rows.to_vec())));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_table(&bytes, 1), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
