//! The verdict at the place of an expected group: the recovery table of FORMAT.md, in its order.

use crate::types::mutants::{Mutant, unless};

/// What recovery knows about one place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The header at this place.
    pub header: Header,
    /// Whether the records after an expected header are intact and belong to it.
    pub records: bool,
    /// A later header of the same life of the segment promises that this group was durable.
    pub promised: bool,
    /// The next segment, or a footer, states that the log went on beyond this place.
    pub bounded: bool,
    /// The device failed to read this place, or the file ends before it.
    pub unread: bool,
    /// An intact header of the same life of the segment follows further on.
    pub followed: bool,
    /// The group before this place closed the log.
    pub closed: bool,
}

/// The bytes where a header is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The header of the group that is expected here.
    Expected,
    /// An intact header of another group: of an earlier life of the segment, or out of order.
    Stale,
    /// No intact header.
    Bad,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The group is part of the log.
    Accept,
    /// The log ends here, without evidence that it went on.
    End,
    /// The log ends here. What follows was written and is not known to be acknowledged: it is cut.
    Cut,
    /// A durable group is missing or damaged; its table or the next group's echo describes what it held.
    Damage,
}

impl Evidence {
    /// The mark of the deciding row.
    pub(crate) fn row(self) -> &'static str {
        match (self.verdict(), self.header) {
            (Verdict::Accept, _) => "recovery: row a, accept",
            (Verdict::Damage, _) if self.bounded || self.promised => "recovery: row b, damage",
            (Verdict::Damage, _) => "recovery: row d, damage that cannot be read",
            (Verdict::End, _) if self.closed => "recovery: row c, end after closing",
            (Verdict::Cut, Header::Expected) => "recovery: row e, cut in a group's records",
            (Verdict::Cut, _) => "recovery: row f, cut at a group's header",
            (Verdict::End, _) => "recovery: row g, end",
        }
    }

    /// The verdict on this evidence.
    pub fn verdict(self) -> Verdict {
        let Self { header, records, promised, bounded, unread, followed, closed } = self;
        // Rows b and d.
        let is_damage = |because: bool| unless(Mutant::DamageTakenForTorn, || because, || false);
        match (header, records) {
            // a: the expected header with its own records.
            (Header::Expected, true) => Verdict::Accept,
            // b: before a stated end, or promised within its epoch; the bytes do not matter.
            _ if is_damage(bounded || promised) => Verdict::Damage,
            // c: nothing was submitted after the group that closed the log, so nothing can be torn.
            _ if closed => Verdict::End,
            // d: a torn write leaves readable blocks.
            _ if is_damage(unread) => Verdict::Damage,
            // e: a torn write of the group's records; it was not acknowledged.
            (Header::Expected, false) => Verdict::Cut,
            // f: a torn write of the header, with later groups of the same flight after it.
            (Header::Stale | Header::Bad, _) if followed => Verdict::Cut,
            // g: an earlier life or zeros; a torn write of which nothing landed looks the same.
            (Header::Stale | Header::Bad, _) => Verdict::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table in FORMAT.md: `None` matches both.
    struct Row {
        name: char,
        header: &'static [Header],
        records: Option<bool>,
        stated: Option<bool>,
        closed: Option<bool>,
        unread: Option<bool>,
        followed: Option<bool>,
        verdict: Verdict,
    }

    const ANY: &[Header] = &[Header::Expected, Header::Stale, Header::Bad];
    const NOT: &[Header] = &[Header::Stale, Header::Bad];
    const IS: &[Header] = &[Header::Expected];

    #[rustfmt::skip]
    const TABLE: [Row; 8] = [
        Row { name: 'a', header: IS,  records: Some(true),  stated: None,        closed: None,        unread: None,        followed: None,        verdict: Verdict::Accept },
        Row { name: 'b', header: IS,  records: Some(false), stated: Some(true),  closed: None,        unread: None,        followed: None,        verdict: Verdict::Damage },
        Row { name: 'B', header: NOT, records: None,        stated: Some(true),  closed: None,        unread: None,        followed: None,        verdict: Verdict::Damage },
        Row { name: 'c', header: ANY, records: Some(false), stated: Some(false), closed: Some(true),  unread: None,        followed: None,        verdict: Verdict::End },
        Row { name: 'd', header: ANY, records: Some(false), stated: Some(false), closed: Some(false), unread: Some(true),  followed: None,        verdict: Verdict::Damage },
        Row { name: 'e', header: IS,  records: Some(false), stated: Some(false), closed: Some(false), unread: Some(false), followed: None,        verdict: Verdict::Cut },
        Row { name: 'f', header: NOT, records: Some(false), stated: Some(false), closed: Some(false), unread: Some(false), followed: Some(true),  verdict: Verdict::Cut },
        Row { name: 'g', header: NOT, records: Some(false), stated: Some(false), closed: Some(false), unread: Some(false), followed: Some(false), verdict: Verdict::End },
    ];

    impl Row {
        fn matches(&self, evidence: &Evidence) -> bool {
            let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|wanted| wanted == found);
            self.header.contains(&evidence.header)
                && is(self.records, evidence.records)
                && is(self.stated, evidence.promised || evidence.bounded)
                && is(self.closed, evidence.closed)
                && is(self.unread, evidence.unread)
                && is(self.followed, evidence.followed)
        }
    }

    /// Records are only ever looked at behind an expected header.
    fn possible(evidence: &Evidence) -> bool {
        evidence.header == Header::Expected || !evidence.records
    }

    #[test]
    fn every_evidence_matches_one_row_and_gets_its_verdict() {
        let mut seen = [false; TABLE.len()];
        for bits in 0..3 << 6 {
            let evidence = Evidence {
                header: ANY[bits % 3],
                records: (bits / 3) & 1 != 0,
                promised: (bits / 3) & 2 != 0,
                bounded: (bits / 3) & 4 != 0,
                followed: (bits / 3) & 8 != 0,
                closed: (bits / 3) & 16 != 0,
                unread: (bits / 3) & 32 != 0,
            };
            if !possible(&evidence) {
                continue;
            }
            let rows: Vec<usize> = (0..TABLE.len()).filter(|&row| TABLE[row].matches(&evidence)).collect();
            assert_eq!(
                rows.len(),
                1,
                "{evidence:?} matches {:?}",
                rows.iter().map(|&row| TABLE[row].name).collect::<Vec<_>>()
            );
            assert_eq!(evidence.verdict(), TABLE[rows[0]].verdict, "row {} on {evidence:?}", TABLE[rows[0]].name);
            seen[rows[0]] = true;
        }
        assert!(seen.iter().all(|&row| row), "every row is reached");
    }
}
