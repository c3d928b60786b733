//! Decides where a walk resumes after damage: the second recovery table of FORMAT.md, in its order.

/// Evidence for where a walk can resume after a durable group that is not intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResumeEvidence {
    /// The header of the group is intact: its length is known.
    pub(crate) group: bool,
    /// A header of this life that [counts](Candidate::counts) follows.
    pub(crate) header: bool,
    /// The end of the segment is stated.
    pub(crate) end: bool,
    /// A header promises that the group was durable.
    pub(crate) promised: bool,
}

/// Where a walk resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// After the group.
    AfterGroup,
    /// At the first header with the lowest sequence of those that count.
    AtHeader,
    /// At the stated end.
    AtEnd,
    /// At this place, with the group after the last promised one: none of the promised groups is left.
    AfterPromise,
    /// Nowhere: the walk of the segment ends here.
    Nowhere,
}

/// A header of this life after the damage, before the stated end if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// A write of the damaged groups went there instead of to its place.
    pub(crate) misplaced: bool,
    /// Its sequence is above that of the damaged group.
    pub(crate) is_later: bool,
    /// Its sequence is above that of the last group of the stated end.
    pub(crate) is_beyond_end: bool,
}

impl ResumeEvidence {
    /// The one place where the walk resumes.
    pub(crate) fn resume(self) -> Resume {
        match self {
            // 1: the next group begins where this one ends, whatever else follows.
            Self { group: true, .. } => Resume::AfterGroup,
            // 2: groups in between are lost, but for records that are found one by one.
            Self { header: true, .. } => Resume::AtHeader,
            // 3: nothing up to there is intact.
            Self { end: true, .. } => Resume::AtEnd,
            // 4: the last group is known, and its place is not.
            Self { promised: true, .. } => Resume::AfterPromise,
            // 5: other evidence may show a loss.
            Self { group: false, header: false, end: false, promised: false } => Resume::Nowhere,
        }
    }
}

impl Candidate {
    /// Whether the walk may resume at it.
    pub(crate) fn counts(self) -> bool {
        match self {
            // 6: the group that belongs there was overwritten, or follows elsewhere.
            Self { misplaced: true, .. } => false,
            // 7: the walk has passed it, or its replacement.
            Self { is_later: false, .. } => false,
            // 8: groups beyond the stated end are void.
            Self { is_beyond_end: true, .. } => false,
            // 9
            Self { misplaced: false, is_later: true, is_beyond_end: false } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a table in FORMAT.md: `None` matches both.
    type Row<const N: usize, V> = (u32, [Option<bool>; N], V);

    const YES: Option<bool> = Some(true);
    const NO: Option<bool> = Some(false);
    const ANY: Option<bool> = None;

    const RESUME: [Row<4, Resume>; 5] = [
        (1, [YES, ANY, ANY, ANY], Resume::AfterGroup),
        (2, [NO, YES, ANY, ANY], Resume::AtHeader),
        (3, [NO, NO, YES, ANY], Resume::AtEnd),
        (4, [NO, NO, NO, YES], Resume::AfterPromise),
        (5, [NO, NO, NO, NO], Resume::Nowhere),
    ];

    const COUNTS: [Row<3, bool>; 4] =
        [(6, [YES, ANY, ANY], false), (7, [NO, NO, ANY], false), (8, [NO, YES, YES], false), (9, [NO, YES, NO], true)];

    /// Every combination matches one row and gets what that says, and every row is reached.
    fn check<const N: usize, V: Copy + PartialEq + std::fmt::Debug>(
        table: &[Row<N, V>],
        decide: impl Fn([bool; N]) -> V,
    ) {
        let mut reached = Vec::new();
        for bits in 0..1_u32 << N {
            let seen: [bool; N] = std::array::from_fn(|nth| bits >> nth & 1 != 0);
            let is_of =
                |row: &&Row<N, V>| row.1.iter().zip(seen).all(|(wanted, seen)| wanted.is_none_or(|is| is == seen));
            let rows: Vec<&Row<N, V>> = table.iter().filter(is_of).collect();
            let [(row, _, expected)] = rows[..] else { panic!("{seen:?} matches {rows:?}") };
            assert_eq!(decide(seen), *expected, "row {row} on {seen:?}");
            reached.push(*row);
        }
        assert!(table.iter().all(|(row, ..)| reached.contains(row)), "{reached:?}");
    }

    #[test]
    fn every_combination_of_evidence_is_one_row_of_the_table() {
        check(&RESUME, |[group, header, end, promised]| ResumeEvidence { group, header, end, promised }.resume());
    }

    #[test]
    fn every_header_behind_is_one_row_of_the_table() {
        check(&COUNTS, |[misplaced, is_later, is_beyond_end]| {
            Candidate { misplaced, is_later, is_beyond_end }.counts()
        });
    }
}
