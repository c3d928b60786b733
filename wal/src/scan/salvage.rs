//! Salvage: collects what is left of durable groups that are not intact.
//!
//! Records are verified one by one wherever they lie. The number of a group is never used twice, so an intact record
//! whose sequence belongs to a lost group is what was written there. A record that is not found is named by the second
//! copy of its descriptor: in the group's own table, or in the echo of the next group. If both are lost as well, the
//! record is unknown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    format::{
        group::{GROUP_HEADER, GroupHeader, TABLE_HEADER, in_segment, table_len, verify_table},
        record::{RECORD_ALIGN, RECORD_HEADER, RawHeader, Record, record_bytes},
    },
    scan::{
        resume::{Candidate, Resume, ResumeEvidence},
        scanned::{Loss, Scanned},
        walk::{Expected, Found, SegmentWalk, header_at},
        window::Window,
    },
    segments::segment::Segment,
    types::{
        damage::{Damage, DamageKind, Descriptor},
        error::Error,
        ids::{Place, SegmentId, Sequence, round_up},
    },
};

/// The accepted end of a segment, as its successor or its footer states it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentEnd {
    pub(crate) at: usize,
    /// The last group.
    pub(crate) last: u64,
    /// The checksum of its header, if known.
    pub(crate) crc: Option<u32>,
}

/// The damage, and the records and losses in the range that it covers.
#[derive(Clone, Debug)]
pub(crate) struct Salvage {
    pub(crate) damage: Arc<Damage>,
    pub(crate) scanned: Vec<Scanned>,
}

impl Salvage {
    /// Marks the damage as one of bytes that the device failed to read.
    fn unreadable(self, why: &str) -> Self {
        let what = format!("{}: {why}", self.damage.what);
        Self { damage: Arc::new(Damage { kind: DamageKind::Unreadable, what, ..(*self.damage).clone() }), ..self }
    }
}

/// A range of a segment whose groups, `first..next`, are not intact.
#[derive(Clone, Copy, Debug)]
struct LostRange {
    from: usize,
    to: usize,
    first: u64,
    next: u64,
}

/// The groups of a write that went to the wrong place. The expected group was not found in its place, so a copy of it
/// anywhere else is misplaced, and so are the groups that directly follow that copy.
struct MisplacedGroups {
    expected: u64,
    /// The end of the last one.
    end: usize,
    /// The sequence of the next one.
    next: u64,
}

/// Where the walk resumes.
struct ResumePoint {
    at: usize,
    sequence: u64,
    chain: Option<u32>,
    /// The header at that place, if one was searched for.
    header: Option<GroupHeader>,
}

impl SegmentWalk<'_> {
    /// Salvages the damaged durable groups from here on, and resumes after them. `None` if the walk of the segment ends
    /// here.
    ///
    /// `promised` is the last group that a header promises, from the expected one on. `successor` is the segment that
    /// was begun next.
    pub(crate) fn salvage(
        &mut self,
        found: &Found,
        end: Option<SegmentEnd>,
        promised: Option<u64>,
        successor: Option<&Segment>,
    ) -> Result<Option<Salvage>, Error> {
        let Some(resumed) = self.resume(found, end, promised)? else { return Ok(None) };
        if resumed.at == self.at {
            // Only the last promised group is known.
            return Ok(Some(self.lose_promised(resumed.sequence)));
        }
        let mut range =
            LostRange { from: self.at, to: resumed.at, first: self.expected.sequence, next: resumed.sequence };
        let mut fragments = Fragments { any_sequence: self.expected.life.segment.is_cold(), ..Fragments::default() };
        if let Found::BadRecords(header, _) = found {
            fragments.counts.insert(header.sequence, header.shape.records);
        }
        fragments.search(&mut self.window, &range)?;
        match successor {
            // An echo describes the group right before it: after the end of the segment, in the successor's first
            // group.
            Some(successor) if end.is_some_and(|end| end.at == resumed.at) => {
                let (mut window, pad) = (Window::new(successor, self.window.medium), self.window.pad());
                fragments.take_echo(&mut window, pad, &range)?;
                let next = header_at(&mut window, pad, &successor.life)?;
                // An opening that found the end damaged had no descriptors to repeat, and stated no checksum.
                let next = next.filter(|next| next.life.origin.crc != 0);
                fragments.take_empty(next.as_ref(), range.to - range.from, &range);
            }
            _ => {
                fragments.take_echo(&mut self.window, resumed.at, &range)?;
                let next = resumed.header.as_ref();
                let prev_len = next.map_or(0, |next| next.prev_len as usize);
                if self.expected.first && prev_len == range.to - range.from {
                    // The first group of an epoch, alone: the numbers that it skipped had no groups.
                    range.first = range.next - 1;
                }
                fragments.take_empty(next, prev_len, &range);
            }
        }
        self.at = resumed.at;
        let life = self.expected.life;
        self.expected = Expected { life, sequence: resumed.sequence, first: false, chain: resumed.chain };
        let salvage = fragments.into_salvage(life.segment, &range);
        let is_unread = self.window.unreadable.overlaps(&(range.from..range.to));
        Ok(Some(match self.window.unreadable.description().filter(|_| is_unread) {
            Some(why) => salvage.unreadable(&why),
            None => salvage,
        }))
    }

    /// Reports the loss of all groups before `next`: nothing is left of them.
    fn lose_promised(&mut self, next: u64) -> Salvage {
        let Expected { life, sequence, .. } = self.expected;
        self.expected = Expected { life, sequence: next, first: false, chain: None };
        let what = format!("groups {sequence} to {} were durable and are missing", next - 1);
        unknown_loss(DamageKind::Records, (life.segment, self.at), sequence, next, what)
    }

    fn resume(
        &mut self,
        found: &Found,
        end: Option<SegmentEnd>,
        promised: Option<u64>,
    ) -> Result<Option<ResumePoint>, Error> {
        let group = if let Found::BadRecords(header, crc) = found { Some((header, *crc)) } else { None };
        let header = if group.is_none() { self.later_header(end)? } else { None };
        let evidence = ResumeEvidence {
            group: group.is_some(),
            header: header.is_some(),
            end: end.is_some(),
            promised: promised.is_some(),
        };
        let (here, expected) = (self.at, self.expected.sequence);
        let resumed = |at, sequence, chain| ResumePoint { at, sequence, chain, header: None };
        Ok(match evidence.resume() {
            Resume::AfterGroup => {
                group.map(|(header, crc)| resumed(here + header.shape.len(), header.sequence + 1, Some(crc)))
            }
            Resume::AtHeader => {
                header.map(|(at, header)| ResumePoint { header: Some(header), ..resumed(at, header.sequence, None) })
            }
            Resume::AtEnd => end.map(|end| resumed(end.at, expected.max(end.last + 1), end.crc)),
            Resume::AfterPromise => promised.map(|promised| resumed(here, promised + 1, None)),
            Resume::Nowhere => None,
        })
    }

    /// Of the later headers that count, the one with the lowest sequence, and its offset; the first of several.
    fn later_header(&mut self, end: Option<SegmentEnd>) -> Result<Option<(usize, GroupHeader)>, Error> {
        let (life, expected) = (self.expected.life, self.expected.sequence);
        let limit = end.map_or(self.window.segment.size as usize, |end| end.at);
        let mut lowest: Option<(usize, GroupHeader)> = None;
        let mut misplaced = MisplacedGroups { expected, end: 0, next: expected };
        for at in (self.at + self.window.pad()..limit).step_by(self.window.pad()) {
            let Some(header) = header_at(&mut self.window, at, &life)? else { continue };
            let candidate = Candidate {
                misplaced: misplaced.includes(at, &header),
                is_later: header.sequence > expected,
                is_beyond_end: end.is_some_and(|end| header.sequence > end.last),
            };
            // Not the nearest: a misplaced copy of a later group may come first.
            if candidate.counts() && lowest.as_ref().is_none_or(|(_, lowest)| header.sequence < lowest.sequence) {
                let is_next = header.sequence == expected + 1;
                lowest = Some((at, header));
                if is_next {
                    break;
                }
            }
        }
        Ok(lowest)
    }
}

/// The loss of durable groups `first..next` of which nothing is left.
pub(crate) fn unknown_loss(
    kind: DamageKind,
    (segment, at): (SegmentId, usize),
    first: u64,
    next: u64,
    what: String,
) -> Salvage {
    let loss = Loss::Unknown { from: Sequence::new(first, 0), until: Sequence::new(next, 0) };
    let (offset, group, lost) = (in_segment(at), Some(first), Vec::new());
    let damage = Damage { kind, segment, offset, group, what, lost, unknown: true };
    Salvage { damage: Arc::new(damage), scanned: vec![Scanned::Lost(loss)] }
}

impl MisplacedGroups {
    /// Whether the group at `at` is one of them. Call it for all groups in order.
    fn includes(&mut self, at: usize, header: &GroupHeader) -> bool {
        let is_one = header.sequence == self.expected || (header.sequence, at) == (self.next, self.end);
        if is_one {
            (self.next, self.end) = (header.sequence + 1, at + header.shape.len());
        }
        is_one
    }
}

/// The records and descriptors that were found in a range, by sequence.
#[derive(Default)]
struct Fragments {
    /// Records of any sequence count: moved records keep their sequences.
    any_sequence: bool,
    records: BTreeMap<Sequence, (Record, Place)>,
    /// Descriptors of records whose header is intact and whose body is not.
    headers: BTreeMap<Sequence, Descriptor>,
    tables: BTreeMap<u64, Vec<Descriptor>>,
    /// The number of records of each group whose header states it.
    counts: BTreeMap<u64, u32>,
}

impl Fragments {
    fn search(&mut self, window: &mut Window<'_>, range: &LostRange) -> Result<(), Error> {
        let pad = window.pad();
        let mut at = range.from;
        for block in (range.from..range.to).step_by(pad) {
            self.take_table(window, block, 0, range)?;
            // The echo in a group whose own header is lost.
            self.take_table(window, block, GROUP_HEADER, range)?;
            at = at.max(block);
            while at < block + pad {
                at += match self.take_record(window, at, range)? {
                    Some(len) => len,
                    None => RECORD_ALIGN,
                };
            }
        }
        Ok(())
    }

    /// Takes the record at `at`, if it belongs to a lost group. Returns its length if it is intact.
    fn take_record(&mut self, window: &mut Window<'_>, at: usize, range: &LostRange) -> Result<Option<usize>, Error> {
        let block = at / window.pad() * window.pad();
        let bytes = window.bytes(block, at - block + RECORD_HEADER)?;
        let Some(raw) = bytes.get(at - block..).and_then(RawHeader::at) else { return Ok(None) };
        let sequence = raw.sequence();
        if !(self.any_sequence || range.contains(sequence.group())) || !raw.checks(window.medium.framing.seed) {
            return Ok(None);
        }
        let (descriptor, len) = (raw.descriptor(), record_bytes(raw.body_len()));
        if at + len <= range.to {
            let bytes = window.bytes(block, at - block + len)?;
            let whole = bytes.slice(at - block..at - block + len);
            if let Some(record) = Record::verify(&whole, window.medium.framing.seed) {
                let place = Place { segment: window.segment.id, offset: in_segment(at), len: in_segment(len) };
                self.records.insert(sequence, (record, place));
                return Ok(Some(len));
            }
        }
        self.headers.insert(sequence, descriptor);
        Ok(None)
    }

    /// Takes the table of descriptors `skip` bytes into the block at `block`, if it describes a lost group.
    fn take_table(
        &mut self,
        window: &mut Window<'_>,
        block: usize,
        skip: usize,
        range: &LostRange,
    ) -> Result<(), Error> {
        let bytes = window.bytes(block, skip + TABLE_HEADER)?;
        let Some(len) = bytes.get(skip..).and_then(table_len) else { return Ok(()) };
        let bytes = window.bytes(block, round_up(skip + len, window.pad()))?;
        if let Some((group, rows)) = bytes.get(skip..).and_then(|bytes| verify_table(bytes, window.medium.framing.seed))
            && range.contains(group)
        {
            self.tables.insert(group, rows);
        }
        Ok(())
    }

    /// Takes the echo of the previous group from the intact group at `at`.
    fn take_echo(&mut self, window: &mut Window<'_>, at: usize, range: &LostRange) -> Result<(), Error> {
        if at + window.pad() > window.segment.size as usize {
            return Ok(());
        }
        self.take_table(window, at, GROUP_HEADER, range)
    }

    /// Counts the last group of the range, `len` bytes long, as empty if that is one block and the next intact group
    /// has no echo: it would repeat any records.
    fn take_empty(&mut self, next: Option<&GroupHeader>, len: usize, range: &LostRange) {
        if next.is_some_and(|next| (next.shape.echo_len, next.shape.pad) == (0, len)) {
            self.counts.entry(range.next - 1).or_insert(0);
        }
    }

    fn into_salvage(self, segment: SegmentId, range: &LostRange) -> Salvage {
        let mut report = SalvageReport { segment, scanned: Vec::new(), lost: Vec::new(), unknown: None };
        if self.any_sequence {
            return self.into_salvage_of_moved(report, range);
        }
        let known: BTreeSet<u64> = (self.records.keys().chain(self.headers.keys()).map(|sequence| sequence.group()))
            .chain(self.tables.keys().copied())
            .chain(self.counts.keys().copied())
            .collect();
        let mut next = range.first;
        for group in known {
            if next < group {
                report.unknown(Sequence::new(next, 0), Sequence::new(group, 0));
            }
            self.report_group(group, &mut report);
            next = group + 1;
        }
        if next < range.next {
            report.unknown(Sequence::new(next, 0), Sequence::new(range.next, 0));
        }
        report.into_salvage(range)
    }

    /// Losses of moved records: an owner that still needs a record fragments it missing by itself.
    fn into_salvage_of_moved(self, mut report: SalvageReport, range: &LostRange) -> Salvage {
        let headers = self.headers.into_iter().filter(|(sequence, _)| !self.records.contains_key(sequence));
        headers.for_each(|(sequence, descriptor)| report.lost(sequence, descriptor));
        let found = self.records.values().map(|(record, _)| record.descriptor());
        let named: Vec<Descriptor> = found.chain(report.lost.iter().copied()).collect();
        let listed = self.tables.values().flatten().filter(|row| !named.contains(row));
        listed.for_each(|&descriptor| report.moved(descriptor));
        report.scanned.extend(self.records.into_values().map(|(record, place)| Scanned::Record(record, place)));
        let groups = (range.first..range.next).filter(|group| !self.tables.contains_key(group));
        let is_unknown = groups.count() > 0;
        let salvage = report.into_salvage(range);
        if !is_unknown {
            return salvage;
        }
        let damage = Damage { unknown: true, ..(*salvage.damage).clone() };
        Salvage { damage: Arc::new(damage), ..salvage }
    }

    /// Adds one group to the report, record by record.
    fn report_group(&self, group: u64, report: &mut SalvageReport) {
        let table = self.tables.get(&group);
        let count = table.map(Vec::len).or(self.counts.get(&group).map(|&count| count as usize));
        let (begin, end) = (Sequence::new(group, 0), Sequence::new(group + 1, 0));
        let found = self.records.range(begin..end).map(|(sequence, _)| *sequence);
        let named = self.headers.range(begin..end).map(|(sequence, _)| *sequence);
        let listed = (0..count.unwrap_or(0)).map(|ordinal| Sequence(begin.0 + ordinal as u64));
        let all: BTreeSet<Sequence> = found.chain(named).chain(listed).collect();
        for sequence in all {
            let ordinal = usize::try_from(sequence.ordinal()).unwrap_or(usize::MAX);
            let descriptor = self.headers.get(&sequence).or(table.and_then(|table| table.get(ordinal)));
            match (self.records.get(&sequence), descriptor) {
                (Some((record, place)), _) => report.scanned.push(Scanned::Record(record.clone(), *place)),
                (None, Some(descriptor)) => report.lost(sequence, *descriptor),
                (None, None) => report.unknown(sequence, sequence.next()),
            }
        }
        if count.is_none() {
            report.unknown(begin, end);
        }
    }
}

impl LostRange {
    fn contains(&self, group: u64) -> bool {
        (self.first..self.next).contains(&group)
    }
}

/// The report on a range, under construction.
struct SalvageReport {
    segment: SegmentId,
    scanned: Vec<Scanned>,
    lost: Vec<Descriptor>,
    /// The range of unknown sequences: first inclusive, last exclusive.
    unknown: Option<(Sequence, Sequence)>,
}

impl SalvageReport {
    fn lost(&mut self, sequence: Sequence, descriptor: Descriptor) {
        self.lost.push(descriptor);
        self.scanned.push(Scanned::Lost(Loss::Record { sequence, segment: self.segment, descriptor }));
    }

    fn moved(&mut self, descriptor: Descriptor) {
        self.lost.push(descriptor);
        self.scanned.push(Scanned::Lost(Loss::Moved { segment: self.segment, descriptor }));
    }

    fn unknown(&mut self, from: Sequence, until: Sequence) {
        let (first, last) = self.unknown.unwrap_or((from, until));
        self.unknown = Some((first.min(from), last.max(until)));
    }

    fn into_salvage(mut self, range: &LostRange) -> Salvage {
        let unknown = self.unknown.map(|(from, until)| Scanned::Lost(Loss::Unknown { from, until }));
        let is_unknown = unknown.is_some();
        self.scanned.splice(0..0, unknown);
        let what = match range.next.saturating_sub(range.first) {
            0 | 1 => format!("group {} was durable and is not intact", range.first),
            _ => format!("groups {} to {} were durable and are not intact", range.first, range.next - 1),
        };
        let damage = Damage {
            kind: DamageKind::Records,
            segment: self.segment,
            offset: in_segment(range.from),
            group: Some(range.first),
            what,
            lost: self.lost,
            unknown: is_unknown,
        };
        Salvage { damage: Arc::new(damage), scanned: self.scanned }
    }
}
