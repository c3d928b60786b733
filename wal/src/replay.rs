//! Walking what a checkpoint does not cover, and judging where the walk ends.

use std::sync::Arc;

use crate::{
    Cut, Damage, Descriptor, Error, Evidence, Header, Opening, Verdict,
    group::{FLAG_CLOSE, GROUP_HEADER, GroupHeader, Origin, in_segment, verify_table},
    marks,
    mutants::{self, Mutant},
    scan::{Expected, Found, Group, Window, headers_in, look},
    segment::Segment,
};

impl Opening {
    /// Walks one segment to its end, and notes what was accepted. `next` is the origin that its successor states.
    pub(crate) fn replay_segment(
        &mut self,
        segment: &Arc<Segment>,
        next: Option<Origin>,
        each: &mut dyn FnMut(&Group) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (pad, seed) = (self.base.identity.pad, self.base.seed);
        let pool = self.base.pool.clone();
        let mut window = Window::new(segment, &pool, pad);
        let mut expected = Expected::first(segment.life);
        let mut closed = false;
        let mut at = pad;
        self.report.segments_replayed += 1;
        self.report.epoch = segment.life.epoch;
        self.report.closed = false;
        loop {
            if next.is_some_and(|next| next.end as usize == at) && !mutants::is_on(Mutant::OriginEndIgnored) {
                self.check_end(segment, at, &expected, next)?;
                break;
            }
            let found = look(&mut window, at, &expected, seed)?;
            if let Found::Group(group) = found {
                each(&group)?;
                if expected.first {
                    segment.begin_at(group.header.sequence);
                }
                self.report.groups_replayed += 1;
                self.report.records_replayed += u64::from(group.header.shape.records);
                self.echo = group.echo();
                closed = group.header.flags & FLAG_CLOSE != 0;
                marks::hit_if(closed, "recovery: the log was closed");
                at += group.header.shape.len();
                segment.extend(in_segment(at), group.header.sequence);
                expected = Expected::after(&group);
                continue;
            }
            let bounded = next.is_some_and(|next| at < next.end as usize);
            self.judge(&mut window, at, &expected, &found, bounded, closed)?;
            break;
        }
        self.report.bytes_read += window.read_bytes();
        self.report.closed = closed;
        self.accepted =
            Origin { segment: segment.id, end: in_segment(at), crc: expected.chain, last: expected.sequence - 1 };
        Ok(())
    }

    /// The successor names this end: the chain must have come to it whole.
    fn check_end(&self, segment: &Segment, at: usize, expected: &Expected, next: Option<Origin>) -> Result<(), Error> {
        let whole = next.is_some_and(|next| next.crc == expected.chain && next.last == expected.sequence - 1);
        let what = "the segment does not end with the group that its successor names";
        if whole { Ok(()) } else { Err(Error::corruption(segment.id, in_segment(at), what)) }
    }

    /// Decides what it means that the expected group is not here.
    fn judge(
        &mut self,
        window: &mut Window<'_>,
        at: usize,
        expected: &Expected,
        found: &Found,
        bounded: bool,
        closed: bool,
    ) -> Result<(), Error> {
        let segment = expected.life.segment;
        let end = (at + self.base.lookahead()).min(self.base.segment_size() as usize);
        let behind = headers_in(window, at..end, &expected.life, self.base.seed)?;
        let behind: Vec<_> = behind.into_iter().filter(|(_, header)| header.sequence >= expected.sequence).collect();
        let evidence = Evidence {
            header: match found {
                Found::BadRecords(_) | Found::Group(_) => Header::Expected,
                Found::Stale => Header::Stale,
                Found::NoHeader => Header::Bad,
            },
            records: matches!(found, Found::Group(_)),
            promised: behind.iter().any(|(_, header)| header.durable >= expected.sequence),
            bounded,
            followed: behind.iter().any(|&(place, _)| place > at),
            closed,
        };
        marks::hit(evidence.row());
        match evidence.verdict() {
            Verdict::Accept | Verdict::End => Ok(()),
            Verdict::Cut => {
                let last = behind.iter().map(|(place, header)| place + header.shape.len()).max().unwrap_or(at);
                let bytes = (last - at) as u64;
                self.report.cut = Some(Cut { sequence: expected.sequence, segment, offset: in_segment(at), bytes });
                Ok(())
            }
            Verdict::Damage => Err(Error::Corruption(Arc::new(Damage {
                segment,
                offset: in_segment(at),
                group: Some(expected.sequence),
                what: format!("group {} was durable and is not intact", expected.sequence),
                lost: self.lost(window, at, expected.sequence, found, &behind)?,
            }))),
        }
    }

    /// What a bad group held, from its own table or from the group behind it, which repeats a short one's.
    fn lost(
        &self,
        window: &mut Window<'_>,
        at: usize,
        sequence: u64,
        found: &Found,
        behind: &[(usize, GroupHeader)],
    ) -> Result<Vec<Descriptor>, Error> {
        let own = match found {
            Found::BadRecords(header) => header.shape.table_at().map(|table| (at + table, header.shape.len() - table)),
            _ => None,
        };
        let echo = behind
            .iter()
            .find(|(_, header)| header.sequence == sequence + 1 && header.shape.echo_len > 0)
            .map(|(place, header)| (*place, GROUP_HEADER + header.shape.echo_len));
        let pad = self.base.identity.pad;
        for (place, len, skip) in
            own.map(|(at, len)| (at, len, 0)).into_iter().chain(echo.map(|(at, len)| (at, len, GROUP_HEADER)))
        {
            let bytes = window.bytes(place / pad * pad, len)?;
            let bytes = &bytes[place % pad..];
            if let Some((group, descriptors)) = bytes.get(skip..).and_then(|bytes| verify_table(bytes, self.base.seed))
                && group == sequence
            {
                return Ok(descriptors);
            }
        }
        Ok(Vec::new())
    }
}
