//! Walking a segment: its groups in order, and the records of a group.

use logboom_disk::Slice;

use crate::{
    format::{
        echo::Echo,
        group::{FLAG_EPOCH, GROUP_HEADER, GroupHeader, Life, in_segment, verify_table},
        record::{KIND_OWN, RECORD_ALIGN, RECORD_HEADER, Raw, Record},
    },
    scan::{
        salvage::{End, Salvage},
        scanned::{Loss, Scanned},
        window::{ReadQueue, Window},
    },
    segments::{holes::Holes, medium::Medium, segment::Segment},
    types::{
        error::Error,
        ids::{Place, SegmentId, round_up},
        marks,
        mutants::{Mutant, unless},
    },
};

/// The record headers of a group's records area with their offsets in it. What they say is not verified; the walk
/// stays inside the area whatever it is.
pub(crate) fn raw_records(area: &[u8]) -> impl Iterator<Item = (usize, Raw<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let raw = Raw::at(area.get(at..)?)?;
        let here = at;
        let len = RECORD_HEADER + round_up(raw.body_len(), RECORD_ALIGN);
        at += len;
        if raw.is_batch_end() {
            at = round_up(at, logboom_disk::LINE);
        }
        (here + len <= area.len()).then_some((here, raw))
    })
}

/// What stands where the next group is expected.
pub(crate) enum Found {
    /// An intact group.
    Group(Group),
    /// An intact header of the expected group over records that are not: torn, or damaged.
    BadRecords(GroupHeader, u32),
    /// No header of any life, or one that is damaged beyond recognition.
    NoHeader,
    /// An intact header of something else: an earlier life, or not the next group.
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
    /// Whether what it carries besides its records is intact: its own table, and what it repeats of the group before.
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

    /// What it leaves to the next group.
    pub(crate) fn echo(&self) -> Echo {
        if self.header.shape.echo_due() == 0 {
            return Echo::default();
        }
        let descriptors = self.records.iter().map(|(record, _)| record.descriptor()).collect();
        Echo::of(self.header.sequence, &self.header.shape, descriptors)
    }
}

/// What the next group must say to be the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) life: Life,
    pub(crate) sequence: u64,
    /// It is the first of its segment: if it begins an epoch, its sequence leaps over all that a crash may have left.
    pub(crate) first: bool,
    /// The checksum of the header before; `None` behind damage.
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

    /// The first group of a segment whose groups are known by their numbers, and not by what precedes them.
    pub(crate) fn of_closed(segment: &Segment) -> Self {
        Self { life: segment.life, sequence: segment.first_group(), first: false, chain: None }
    }

    /// The group after this one.
    pub(crate) fn after(group: &Group) -> Self {
        Self { life: group.header.life, sequence: group.header.sequence + 1, first: false, chain: Some(group.crc) }
    }
}

/// Looks at the group at `at`.
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

/// The records of a group, if every one is intact and they are those that the header is bound to.
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
    for (offset, raw) in raw_records(&area).take(header.shape.records as usize) {
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

/// Every intact group header of this life that begins at a block in `range`.
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

/// The header of a group of this life at a block, if there is an intact one.
pub(crate) fn header_at(window: &mut Window<'_>, at: usize, life: &Life) -> Result<Option<GroupHeader>, Error> {
    let bytes = window.bytes(at, window.pad())?;
    let header = GroupHeader::verify(&bytes, window.medium.framing).map(|(header, _)| header);
    Ok(header.filter(|header| header.life.is(life)))
}

/// A walk over a segment, from group to group.
pub(crate) struct Course<'s> {
    pub(crate) window: Window<'s>,
    pub(crate) expected: Expected,
    /// Where the expected group belongs.
    pub(crate) at: usize,
}

/// What a walk comes by.
pub(crate) enum Part {
    /// An intact group.
    Group(Group),
    /// What is left of one or more that are not.
    Salvage(Salvage),
}

impl<'s> Course<'s> {
    /// A walk that begins with the first group of `segment`.
    pub(crate) fn new(segment: &'s Segment, medium: &'s Medium, expected: Expected) -> Self {
        Self { window: Window::new(segment, medium), expected, at: medium.framing.pad }
    }

    pub(crate) fn look(&mut self) -> Result<Found, Error> {
        look(&mut self.window, self.at, &self.expected)
    }

    /// What comes next in a segment whose end is known; `None` at the end. See [`walk`].
    pub(crate) fn pass(&mut self, successor: Option<&Segment>) -> Result<Option<Part>, Error> {
        let segment = self.window.segment;
        let end = End { at: segment.end() as usize, last: segment.last(), crc: None };
        if self.at >= end.at {
            return Ok(None);
        }
        match self.look()? {
            Found::Group(group) => {
                self.accept(&group);
                Ok(Some(Part::Group(group)))
            }
            found => Ok(self.salvage(&found, Some(end), None, successor)?.map(Part::Salvage)),
        }
    }

    /// Goes on behind a group that is part of the log.
    pub(crate) fn accept(&mut self, group: &Group) {
        self.at += group.header.shape.len();
        self.expected = Expected::after(group);
    }
}

impl Part {
    /// Gives the records of the layer above to `each`, and what is lost of them.
    pub(crate) fn give(self, each: &mut dyn FnMut(Scanned) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Group(group) => {
                let theirs = group.records.into_iter().filter(|(record, _)| record.kind() < KIND_OWN);
                theirs.map(|(record, place)| Scanned::Record(record, place)).try_for_each(each)
            }
            Self::Salvage(salvage) => salvage.scanned.into_iter().filter(|scanned| !is_own(scanned)).try_for_each(each),
        }
    }

    /// The intact records, the log's own included.
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

/// Walks all of a segment whose end is known, giving what it comes by to `each`. All its groups were durable: what is
/// not intact is damage, whatever it looks like, and so is what cannot be read, which is returned. `successor` is the
/// segment that was begun next, where it is known.
///
/// # Errors
/// [`Error::Io`]; what `each` returns.
pub(crate) fn walk(
    segment: &Segment,
    successor: Option<&Segment>,
    medium: &Medium,
    each: &mut dyn FnMut(Part) -> Result<(), Error>,
) -> Result<Holes, Error> {
    let mut queue = ReadQueue::new(&*medium.disk);
    let mut course = Course::new(segment, medium, Expected::of_closed(segment));
    course.window.read_ahead(queue.as_mut(), segment.end() as usize);
    while let Some(part) = course.pass(successor)? {
        each(part)?;
    }
    Ok(course.window.holes)
}
