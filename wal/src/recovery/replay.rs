//! The replay: walks the segments that no checkpoint covers, and decides where the walk ends.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    format::{
        echo::Echo,
        group::{FLAG_CLOSE, Origin, in_segment},
        record::{KIND_FREED, Record, u64_at},
    },
    recovery::opening::{Opening, TornTail},
    runtime::foreign::guarded,
    scan::{
        context::LogContext,
        salvage::{Salvage, SegmentEnd, unknown_loss},
        verdict::{Evidence, Header, Verdict},
        walk::{Expected, Found, SegmentWalk, WalkItem, headers_in},
        window::ReadQueue,
    },
    segments::{footer::FooterSummary, segment::Segment},
    types::{
        damage::DamageKind,
        error::Error,
        ids::{NUMBER_MAX, SegmentId},
        marks,
        mutants::{Mutant, unless},
    },
};

impl Opening {
    /// [`Opening::replay`] by items.
    pub(crate) fn replay_items(&mut self, each: &mut dyn FnMut(WalkItem) -> Result<(), Error>) -> Result<(), Error> {
        let segments = std::mem::take(&mut self.to_replay);
        let mut queue = ReadQueue::new(&*self.context.medium.disk);
        let total = segments.len() as u64 * self.context.identity.segment_bytes;
        let mut freed = BTreeSet::new();
        let mut each = |item: WalkItem| {
            let frees = |record: &&Record| unless(Mutant::FreedIgnored, || record.kind() == KIND_FREED, || false);
            for record in item.records().filter(frees) {
                freed.extend(record.body().chunks_exact(8).map(|id| SegmentId(u64_at(id, 0))));
            }
            each(item)
        };
        for (nth, segment) in segments.iter().enumerate() {
            self.context.recovering(nth as u64 * self.context.identity.segment_bytes, total);
            self.report_gap(segment, &mut each)?;
            let successor = segments.get(nth + 1);
            let ignored = || Ok(Bounds::none(successor.is_none()));
            let bounds = unless(Mutant::OriginEndIgnored, || self.bounds(segment, successor), ignored)?;
            self.replay_segment(segment, bounds, successor, queue.as_mut(), &mut each)?;
            segment.close(self.context.identity.pad);
        }
        self.context.recovering(total, total);
        self.to_replay = segments;
        self.drop_void();
        unless(Mutant::LostEndIgnored, || self.report_lost_end(&mut each), || Ok(()))?;
        self.drop_freed(&freed);
        Ok(())
    }

    /// Reports the segments that are missing before this one: what they held is unknown.
    fn report_gap(
        &mut self,
        segment: &Segment,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let origin = segment.life.origin;
        if origin.last == self.accepted.last || segment.id == self.replay_from() {
            return Ok(());
        }
        let (first, last) = (self.accepted.segment.0 + 1, origin.segment.0);
        let what = match first <= last {
            true => format!("segments {first} to {last} are missing"),
            // An opening did not find them, and went on.
            false => format!("what followed segment {last} is missing"),
        };
        let next = self.accepted.last + 1;
        // If this segment turns out to be void, the next one also begins after the missing ones, and reports them.
        self.accepted = origin;
        self.report_salvage(
            unknown_loss(DamageKind::Missing, (origin.segment, 0), next, origin.last.max(next) + 1, what),
            each,
        )
    }

    /// Reports damage, and calls `each` with the records that are left.
    pub(crate) fn report_salvage(
        &mut self,
        salvage: Salvage,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.report.damages.push(Arc::clone(&salvage.damage));
        each(WalkItem::Salvage(salvage))
    }

    /// What the neighbours and the footer of a segment state about its end.
    fn bounds(&self, segment: &Segment, successor: Option<&Arc<Segment>>) -> Result<Bounds, Error> {
        let end = successor.map(|successor| successor.life.origin).filter(|origin| origin.segment == segment.id);
        let mut bounds = Bounds { end: end.map(SegmentEnd::from), ..Bounds::none(successor.is_none()) };
        if bounds.is_last {
            // A segment with a footer ends there, whether or not its successor is found.
            bounds.end = self.footer_summary(segment)?.map(|FooterSummary { end, last, .. }| SegmentEnd {
                at: end as usize,
                last,
                crc: None,
            });
            let before = self.live.range(..segment.id).next_back();
            let before = before.map(|(_, before)| self.footer_summary(before)).transpose()?.flatten();
            let named = before.and_then(|before| before.successor);
            bounds.is_named = named.is_some_and(|named| named.is(&segment.life));
        }
        Ok(bounds)
    }

    /// Walks one segment to its end, and records what was accepted.
    fn replay_segment(
        &mut self,
        segment: &Arc<Segment>,
        mut bounds: Bounds,
        successor: Option<&Arc<Segment>>,
        queue: Option<&mut ReadQueue>,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let medium = self.context.medium.clone();
        let mut walk = SegmentWalk::new(segment, &medium, Expected::first(segment.life));
        walk.window.read_ahead(queue, bounds.end.map_or(segment.size as usize, |end| end.at));
        self.report.segments_replayed += 1;
        self.report.epoch = segment.life.epoch;
        let closed = std::mem::replace(&mut self.report.closed, false);
        loop {
            if bounds.end.is_some_and(|end| walk.at >= end.at) {
                break;
            }
            match walk.look()? {
                Found::Group(group) => {
                    if walk.expected.first {
                        segment.set_first_group(group.header.sequence);
                    }
                    walk.accept(&group);
                    self.report.groups_replayed += 1;
                    self.report.records_replayed += u64::from(group.header.shape.records);
                    self.report.closed = group.header.flags & FLAG_CLOSE != 0;
                    marks::hit_if(self.report.closed, "recovery: the log was closed");
                    self.echo = group.echo();
                    each(WalkItem::Group(group))?;
                }
                found => {
                    if self.decide(&mut walk, &found, &mut bounds)? != Verdict::Damage {
                        break;
                    }
                    let successor = successor.map(|successor| &**successor);
                    // A promise at `NUMBER_MAX` or above is forged: no log reaches it.
                    let is_promised = (walk.expected.sequence..NUMBER_MAX).contains(&bounds.promised);
                    let promised = is_promised.then_some(bounds.promised);
                    let Some(salvage) = walk.salvage(&found, bounds.end, promised, successor)? else {
                        let why = walk.window.unreadable.description().filter(|_| bounds.is_last);
                        self.lost_end =
                            why.map(|why| format!("of segment {}, {why}", segment.id)).or(self.lost_end.take());
                        break;
                    };
                    bounds.has_damage = true;
                    self.echo = Echo::default();
                    self.report_salvage(salvage, each)?;
                }
            }
            segment.extend(in_segment(walk.at), walk.expected.sequence - 1);
        }
        self.report.bytes_read += walk.window.read_bytes();
        self.context.check_device(&walk.window.unreadable)?;
        self.report_unreadable(segment.slot, &walk.window.unreadable);
        if walk.expected.first {
            // No group of the segment is part of the log: the next one begins where this one did.
            self.report.closed = closed;
            return Ok(());
        }
        self.accepted = walk.accepted();
        self.accepted_epoch = segment.life.epoch;
        match bounds.end {
            Some(end) => self.check_end(&walk, end, each),
            None => Ok(()),
        }
    }

    /// Checks that the walk reached the end that the successor or the footer states.
    fn check_end(
        &mut self,
        walk: &SegmentWalk<'_>,
        end: SegmentEnd,
        each: &mut dyn FnMut(WalkItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Expected { life, sequence, chain, .. } = walk.expected;
        let is_named = chain.is_none() || end.crc.is_none() || chain == end.crc;
        if walk.at == end.at && sequence - 1 == end.last && is_named {
            return Ok(());
        }
        let what = "the segment does not end with the group that its successor or its footer names".to_owned();
        let (first, next) = (sequence.min(end.last), sequence.max(end.last + 1));
        // The loss is reported here: the successor goes on after it.
        self.accepted.last = end.last;
        self.report_salvage(unknown_loss(DamageKind::Records, (life.segment, walk.at), first, next, what), each)
    }

    /// Decides whether the expected group, which is not intact here, was lost, or the log ends before it.
    fn decide(&mut self, walk: &mut SegmentWalk<'_>, found: &Found, bounds: &mut Bounds) -> Result<Verdict, Error> {
        let (at, expected) = (walk.at, walk.expected);
        // Groups further on could not change the verdict, and looking for them would take very long with many bad
        // groups.
        let is_stated = bounds.end.is_some() || expected.sequence <= bounds.promised;
        let until = (at + self.context.lookahead()).min(self.context.segment_size() as usize);
        let range = match bounds.has_damage {
            _ if is_stated => at..at,
            // The walk may have passed the evidence by going on at groups that do not belong there.
            true => walk.window.pad()..self.context.segment_size() as usize,
            false => at..until,
        };
        let mut behind = headers_in(&mut walk.window, range, &expected.life)?;
        behind.retain(|(_, header)| header.sequence >= expected.sequence);
        let promised = behind.iter().map(|(_, header)| header.durable).max().unwrap_or(0);
        bounds.promised = bounds.promised.max(promised);
        behind.retain(|&(place, _)| place >= at);
        let found_len = if let Found::BadRecords(header, _) = found { header.shape.len() } else { walk.window.pad() };
        let followed = behind.iter().any(|&(place, _)| place > at);
        let evidence = Evidence {
            header: match found {
                Found::BadRecords(..) | Found::Group(_) => Header::Expected,
                Found::Stale => Header::Stale,
                Found::NoHeader => Header::Bad,
            },
            records: matches!(found, Found::Group(_)),
            promised: bounds.promised >= expected.sequence,
            // The segment after it may be missing. It was begun when everything before it was durable.
            bounded: bounds.end.is_some()
                || (bounds.is_named && expected.first)
                || (!bounds.is_last && (followed || matches!(found, Found::BadRecords(..)))),
            unread: walk.window.unreadable.overlaps(&(at..at + found_len)),
            followed,
            closed: self.report.closed,
        };
        marks::hit(evidence.row());
        let verdict = evidence.verdict();
        if verdict == Verdict::Cut {
            let last = behind.iter().map(|(place, header)| place + header.shape.len()).max().unwrap_or(at);
            let bytes = (last - at) as u64;
            let (segment, sequence) = (expected.life.segment, expected.sequence);
            self.report.cut = Some(TornTail { sequence, segment, offset: in_segment(at), bytes });
        }
        Ok(verdict)
    }
}

impl LogContext {
    fn recovering(&self, done: u64, total: u64) {
        if let Err(panic) = guarded(|| self.options.listener.recovering(done, total)) {
            self.notices.panicked("the listener", panic);
        }
    }
}

/// What is known about a segment's end.
struct Bounds {
    /// The highest promise in headers of this life: groups up to this one were durable.
    promised: u64,
    /// The end that the successor or the footer states.
    end: Option<SegmentEnd>,
    /// Whether the footer of the segment before says that the first group was durable.
    is_named: bool,
    is_last: bool,
    /// Whether there was damage before.
    has_damage: bool,
}

impl Bounds {
    /// The bounds of a segment whose end nothing states.
    fn none(is_last: bool) -> Self {
        Self { promised: 0, end: None, is_named: false, is_last, has_damage: false }
    }
}

impl SegmentWalk<'_> {
    /// The end of the walk.
    fn accepted(&self) -> Origin {
        let Expected { life, sequence, chain, .. } = self.expected;
        Origin { segment: life.segment, end: in_segment(self.at), crc: chain.unwrap_or(0), last: sequence - 1 }
    }
}

impl From<Origin> for SegmentEnd {
    fn from(origin: Origin) -> Self {
        Self { at: origin.end as usize, last: origin.last, crc: Some(origin.crc) }
    }
}
