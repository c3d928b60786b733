//! Walking a segment: its groups in order, and their records.

use logboom_disk::Slice;

use crate::{
    format::{
        echo::Echo,
        group::{FLAG_EPOCH, GROUP_HEADER, GroupHeader, Life, in_segment, verify_table},
        record::{KIND_OWN, RECORD_ALIGN, RECORD_HEADER, RawHeader, Record},
    },
    scan::{
        salvage::{Salvage, SegmentEnd},
        scanned::{Loss, Scanned},
        window::{ReadQueue, Window},
    },
    segments::{medium::Medium, segment::Segment, unreadable::UnreadableRanges},
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
        mutants::{Mutant, unless},
    },
};

/// The record headers in a group's records area, with their offsets. They are not verified; the iteration stays inside
/// the area for any bytes.
pub(crate) fn raw_headers(area: &[u8]) -> impl Iterator<Item = (usize, RawHeader<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let raw = RawHeader::at(area.get(at..)?)?;
        let here = at;
        let len = RECORD_HEADER + round_up(raw.body_len(), RECORD_ALIGN);
        at += len;
        if raw.is_batch_end() {
            at = round_up(at, logboom_disk::LINE);
        }
        (here + len <= area.len()).then_some((here, raw))
    })
}

/// The content of the place of the expected group.
pub(crate) enum Found {
    /// An intact group.
    Group(Group),
    /// An intact header of the expected group with other or damaged records: torn, or damaged.
    BadRecords(GroupHeader, u32),
    /// No header, or one that is damaged.
    NoHeader,
    /// An intact header of another group: of an earlier life, or out of order.
    Stale,
}

/// A verified group.
pub(crate) struct Group {
    pub(crate) header: GroupHeader,
    pub(crate) crc: u32,
    pub(crate) records: Vec<(Record, Place)>,
    bytes: Slice,
}

impl Group {
    /// Whether its descriptors are intact: its own table, and the echo of the previous group.
    pub(crate) fn descriptors_are_intact(&self, seed: u32) -> bool {
        let shape = &self.header.shape;
        let table = shape.table_at().is_none_or(|at| {
            let own = self.records.iter().map(|(record, _)| record.descriptor());
            verify_table(&self.bytes[at..], seed)
                .is_some_and(|(group, rows)| group == self.header.sequence && rows.into_iter().eq(own))
        });
        let echo = || verify_table(&self.bytes[GROUP_HEADER..], seed).is_some();
        table && (shape.echo_len == 0 || echo())
    }

    /// The descriptors that the next group repeats.
    pub(crate) fn echo(&self) -> Echo {
        if self.header.shape.echo_due() == 0 {
            return Echo::default();
        }
        let descriptors = self.records.iter().map(|(record, _)| record.descriptor()).collect();
        Echo::of(self.header.sequence, &self.header.shape, descriptors)
    }
}

/// What the next group's header must state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) life: Life,
    pub(crate) sequence: u64,
    /// It is the first of its segment: if it begins an epoch, its number skips all groups that a crash may have left.
    pub(crate) first: bool,
    /// The checksum of the previous header; `None` after damage.
    pub(crate) chain: Option<u32>,
}

impl Expected {
    fn matches(&self, header: &GroupHeader) -> bool {
        let leaps = self.first && header.flags & FLAG_EPOCH != 0 && header.sequence > self.sequence;
        marks::hit_if(leaps && header.life.is(&self.life), "recovery: an epoch leaps over what was not accepted");
        header.life.is(&self.life)
            && self.chain.is_none_or(|chain| header.chain == chain)
            && (leaps || header.sequence == self.sequence)
    }

    /// The first group of a segment.
    pub(crate) fn first(life: Life) -> Self {
        Self { life, sequence: life.origin.last + 1, first: true, chain: Some(life.origin.crc) }
    }

    /// The first group of a segment whose range of groups is known, so that its predecessors do not matter.
    pub(crate) fn of_closed(segment: &Segment) -> Self {
        Self { life: segment.life, sequence: segment.first_group(), first: false, chain: None }
    }

    /// The group after `group`.
    pub(crate) fn after(group: &Group) -> Self {
        Self { life: group.header.life, sequence: group.header.sequence + 1, first: false, chain: Some(group.crc) }
    }
}

/// Looks for the expected group at `at`.
pub(crate) fn look(window: &mut Window<'_>, at: usize, expected: &Expected) -> Result<Found, Error> {
    let framing = window.medium.framing;
    if at + framing.pad > window.segment.size as usize {
        return Ok(Found::NoHeader);
    }
    let bytes = window.bytes(at, GROUP_HEADER)?;
    let Some((header, crc)) = GroupHeader::verify(&bytes, framing) else { return Ok(Found::NoHeader) };
    if !unless(Mutant::StaleGroupAccepted, || expected.matches(&header), || true)
        || at + header.shape.len() > window.segment.size as usize
    {
        return Ok(Found::Stale);
    }
    let bytes = window.bytes(at, header.shape.len())?;
    match records(&bytes, &header, window.segment.id, at, framing.seed) {
        Some(records) => Ok(Found::Group(Group { header, crc, records, bytes })),
        None => Ok(Found::BadRecords(header, crc)),
    }
}

/// The records of a group, if all are intact and match its header.
fn records(
    bytes: &Slice,
    header: &GroupHeader,
    segment: SegmentId,
    at: usize,
    seed: u32,
) -> Option<Vec<(Record, Place)>> {
    let area = header.shape.records_at()..header.shape.records_end();
    let area = bytes.slice(area.start..area.end);
    let mut records = Vec::with_capacity(header.shape.records as usize);
    let mut crc = crc32fast::Hasher::new();
    for (offset, raw) in raw_headers(&area).take(header.shape.records as usize) {
        crc.update(&raw.crc().to_le_bytes());
        let Some(record) = Record::verify_at(&area, offset, seed) else {
            return unless(Mutant::TornGroupInPart, || None, || Some(records));
        };
        let len = crate::format::record::record_bytes(record.body().len());
        let place =
            Place { segment, offset: in_segment(at + header.shape.records_at() + offset), len: in_segment(len) };
        records.push((record, place));
    }
    let bound = unless(Mutant::GroupChecksumIgnored, || crc.finalize() == header.records_crc, || true);
    (records.len() == header.shape.records as usize && bound).then_some(records)
}

/// All intact group headers of this life at blocks in `range`.
pub(crate) fn headers_in(
    window: &mut Window<'_>,
    range: std::ops::Range<usize>,
    life: &Life,
) -> Result<Vec<(usize, GroupHeader)>, Error> {
    let mut found = Vec::new();
    for at in range.step_by(window.pad()) {
        found.extend(header_at(window, at, life)?.map(|header| (at, header)));
    }
    Ok(found)
}

/// The header of a group of this life at a block, if it is intact.
pub(crate) fn header_at(window: &mut Window<'_>, at: usize, life: &Life) -> Result<Option<GroupHeader>, Error> {
    let bytes = window.bytes(at, window.pad())?;
    let header = GroupHeader::verify(&bytes, window.medium.framing).map(|(header, _)| header);
    Ok(header.filter(|header| header.life.is(life)))
}

/// A walk over a segment, group by group.
pub(crate) struct SegmentWalk<'s> {
    pub(crate) window: Window<'s>,
    pub(crate) expected: Expected,
    /// The place of the expected group, in bytes.
    pub(crate) at: usize,
}

/// A group that a walk has passed, or the salvage of damaged ones.
pub(crate) enum WalkItem {
    /// An intact group.
    Group(Group),
    /// What is left of damaged groups, and what is lost.
    Salvage(Salvage),
}

impl<'s> SegmentWalk<'s> {
    /// A walk from the first group of `segment` on.
    pub(crate) fn new(segment: &'s Segment, medium: &'s Medium, expected: Expected) -> Self {
        Self { window: Window::new(segment, medium), expected, at: medium.framing.pad }
    }

    pub(crate) fn look(&mut self) -> Result<Found, Error> {
        look(&mut self.window, self.at, &self.expected)
    }

    /// The next item of a segment whose end is known; `None` at the end. See [`walk`].
    pub(crate) fn next_item(&mut self, successor: Option<&Segment>) -> Result<Option<WalkItem>, Error> {
        let segment = self.window.segment;
        let end = SegmentEnd { at: segment.end() as usize, last: segment.last(), crc: None };
        if self.at >= end.at {
            return Ok(None);
        }
        match self.look()? {
            Found::Group(group) => {
                self.accept(&group);
                Ok(Some(WalkItem::Group(group)))
            }
            found => Ok(self.salvage(&found, Some(end), None, successor)?.map(WalkItem::Salvage)),
        }
    }

    /// Advances past a group that is part of the log.
    pub(crate) fn accept(&mut self, group: &Group) {
        self.at += group.header.shape.len();
        self.expected = Expected::after(group);
    }
}

impl WalkItem {
    /// Calls `each` with the records of the layer above, and with their losses.
    pub(crate) fn give_scanned(self, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Group(group) => {
                let theirs = group.records.into_iter().filter(|(record, _)| record.kind() < KIND_OWN);
                theirs.map(|(record, place)| Scanned::Record(record, place)).try_for_each(each)
            }
            Self::Salvage(salvage) => salvage.scanned.into_iter().filter(|scanned| !is_own(scanned)).try_for_each(each),
        }
    }

    /// The intact records, including the log's own.
    pub(crate) fn records(&self) -> Box<dyn Iterator<Item = &Record> + '_> {
        match self {
            Self::Group(group) => Box::new(group.records.iter().map(|(record, _)| record)),
            Self::Salvage(salvage) => Box::new(salvage.scanned.iter().filter_map(|scanned| match scanned {
                Scanned::Record(record, _) => Some(record),
                Scanned::Lost(_) => None,
            })),
        }
    }
}

fn is_own(scanned: &Scanned) -> bool {
    match scanned {
        Scanned::Record(record, _) => record.kind() >= KIND_OWN,
        Scanned::Lost(Loss::Record { descriptor, .. } | Loss::Moved { descriptor, .. }) => descriptor.kind >= KIND_OWN,
        Scanned::Lost(Loss::Unknown { .. }) => false,
    }
}

/// Walks a segment whose end is known, and calls `each` with its items. All its groups were durable: a group that is
/// not intact is damage, whatever it looks like. Ranges that cannot be read are damage too, and are returned.
/// `successor` is the segment that was begun next, if known.
///
/// # Errors
/// [`Error::Io`]; errors of `each`.
pub(crate) fn walk(
    segment: &Segment,
    successor: Option<&Segment>,
    medium: &Medium,
    each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
) -> Result<UnreadableRanges, Error> {
    let mut queue = ReadQueue::new(&*medium.disk);
    let mut walk = SegmentWalk::new(segment, medium, Expected::of_closed(segment));
    walk.window.read_ahead(queue.as_mut(), segment.end() as usize);
    while let Some(item) = walk.next_item(successor)? {
        each(item)?;
    }
    Ok(walk.window.unreadable)
}
