//! The range of indexes of a shard's log, and how each operation changes it.
//!
//! The same functions validate a batch before anything is written, apply it, and replay it at recovery.

use std::ops::Range;

use logboom_snapshot::EntryId;

use crate::types::refusal::Refusal;

/// The indexes `first..next` of a log. In an empty log without a boundary both are 0, and any index may come next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// The term of the entry before `first`, if there is a boundary; `first` is positive then.
    pub(crate) boundary_term: Option<u64>,
}

/// How an overwriting append removes the entries from its index on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuffixRemoval {
    Nothing,
    Truncate {
        keep: u64,
    },
    /// All entries go, and there is no boundary to truncate to.
    Reset,
}

impl Extent {
    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Whether the log is empty and may begin at any index.
    pub(crate) fn is_vacant(&self) -> bool {
        self.is_empty() && self.boundary_term.is_none()
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.first..self.next
    }

    /// Where entries may have been that are lost with the end of the log.
    pub(crate) fn beyond(&self) -> Range<u64> {
        if self.is_vacant() { 0..u64::MAX } else { self.next..u64::MAX }
    }

    pub(crate) fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.next - 1)
    }

    pub(crate) fn boundary(&self) -> Option<EntryId> {
        self.boundary_term.map(|term| EntryId { index: self.first - 1, term })
    }

    /// The only index that an append may begin at; any if `None`.
    pub(crate) fn expected(&self) -> Option<u64> {
        (!self.is_vacant()).then_some(self.next)
    }

    /// The extent after an append of `count` entries from `index` on.
    pub(crate) fn append(self, index: u64, count: u64) -> Result<Self, Refusal> {
        let first = match self.expected() {
            Some(_) if index < self.first => return Err(Refusal::Compacted { first: self.first }),
            Some(expected) if index != expected => return Err(Refusal::Gap { expected, got: index }),
            Some(_) => self.first,
            None => index,
        };
        let next = index.checked_add(count).ok_or(Refusal::IndexMax)?;
        Ok(Self { first, next, ..self })
    }

    /// The unchanged extent, if `count` entries from `index` on may be healed.
    pub(crate) fn heal(self, index: u64, count: u64) -> Result<Self, Refusal> {
        if index < self.first && !self.is_vacant() {
            return Err(Refusal::Compacted { first: self.first });
        }
        let end = index.checked_add(count).ok_or(Refusal::IndexMax)?;
        if self.is_vacant() || end > self.next { Err(Refusal::Beyond { last: self.last() }) } else { Ok(self) }
    }

    /// The extent after dropping every entry above `keep`.
    pub(crate) fn truncate(self, keep: u64) -> Result<Self, Refusal> {
        if self.is_vacant() || keep >= self.next {
            return Err(Refusal::Beyond { last: self.last() });
        }
        match keep + 1 {
            next if next < self.first => Err(Refusal::Compacted { first: self.first }),
            next if next == self.first && self.boundary_term.is_none() => Ok(Self::default()),
            next => Ok(Self { next, ..self }),
        }
    }

    /// The extent after dropping every entry up to and including `index`, which had `term`; unchanged if they are gone
    /// already.
    pub(crate) fn compact(self, index: u64, term: u64) -> Result<Self, Refusal> {
        if index >= self.next {
            return Err(Refusal::Beyond { last: self.last() });
        }
        if index < self.first {
            return Ok(self);
        }
        Ok(Self { first: index + 1, next: self.next, boundary_term: Some(term) })
    }

    /// After emptying the log so that it continues behind `boundary`.
    pub(crate) fn reset(boundary: Option<EntryId>) -> Result<Self, Refusal> {
        let Some(EntryId { index, term }) = boundary else { return Ok(Self::default()) };
        let next = index.checked_add(1).ok_or(Refusal::IndexMax)?;
        Ok(Self { first: next, next, boundary_term: Some(term) })
    }

    /// What must go so that `index` can be appended.
    pub(crate) fn suffix_removal(&self, index: u64) -> Result<SuffixRemoval, Refusal> {
        match self.expected() {
            None => Ok(SuffixRemoval::Nothing),
            Some(_) if index < self.first => Err(Refusal::Compacted { first: self.first }),
            Some(expected) if index > expected => Err(Refusal::Gap { expected, got: index }),
            Some(expected) if index == expected => Ok(SuffixRemoval::Nothing),
            Some(_) if index == self.first && self.boundary_term.is_none() => Ok(SuffixRemoval::Reset),
            Some(_) => Ok(SuffixRemoval::Truncate { keep: index - 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(first: u64, next: u64) -> Extent {
        Extent { first, next, boundary_term: None }
    }

    fn behind(first: u64, next: u64, term: u64) -> Extent {
        Extent { first, next, boundary_term: Some(term) }
    }

    #[test]
    fn appends() {
        let vacant = Extent::default();
        assert_eq!(vacant.append(0, 3), Ok(log(0, 3)));
        assert_eq!(vacant.append(7, 1), Ok(log(7, 8)));
        assert_eq!(log(0, 3).append(3, 2), Ok(log(0, 5)));
        assert_eq!(log(0, 3).append(5, 1), Err(Refusal::Gap { expected: 3, got: 5 }));
        assert_eq!(log(0, 3).append(1, 1), Err(Refusal::Gap { expected: 3, got: 1 }));
        assert_eq!(behind(5, 8, 1).append(4, 1), Err(Refusal::Compacted { first: 5 }));
        assert_eq!(behind(5, 5, 1).append(6, 1), Err(Refusal::Gap { expected: 5, got: 6 }));
        assert_eq!(vacant.append(u64::MAX, 1), Err(Refusal::IndexMax));
        assert_eq!(vacant.append(u64::MAX - 1, 1), Ok(log(u64::MAX - 1, u64::MAX)));
        assert_eq!(log(0, u64::MAX).append(u64::MAX, 1), Err(Refusal::IndexMax));
    }

    #[test]
    fn heals() {
        assert_eq!(log(3, 9).heal(3, 6), Ok(log(3, 9)));
        assert_eq!(log(3, 9).heal(2, 1), Err(Refusal::Compacted { first: 3 }));
        assert_eq!(log(3, 9).heal(8, 2), Err(Refusal::Beyond { last: Some(8) }));
        assert_eq!(log(3, 9).heal(8, u64::MAX), Err(Refusal::IndexMax));
        assert_eq!(Extent::default().heal(0, 1), Err(Refusal::Beyond { last: None }));
        assert_eq!(behind(5, 5, 1).heal(5, 1), Err(Refusal::Beyond { last: None }));
    }

    #[test]
    fn truncations() {
        assert_eq!(log(3, 9).truncate(5), Ok(log(3, 6)));
        assert_eq!(log(3, 9).truncate(8), Ok(log(3, 9)));
        assert_eq!(log(3, 9).truncate(9), Err(Refusal::Beyond { last: Some(8) }));
        assert_eq!(log(3, 9).truncate(2), Ok(Extent::default()));
        assert_eq!(log(3, 9).truncate(1), Err(Refusal::Compacted { first: 3 }));
        assert_eq!(behind(3, 9, 4).truncate(2), Ok(behind(3, 3, 4)));
        assert_eq!(behind(3, 3, 4).truncate(2), Ok(behind(3, 3, 4)));
        assert_eq!(behind(3, 3, 4).truncate(3), Err(Refusal::Beyond { last: None }));
        assert_eq!(Extent::default().truncate(0), Err(Refusal::Beyond { last: None }));
        assert_eq!(log(0, 9).truncate(u64::MAX), Err(Refusal::Beyond { last: Some(8) }));
    }

    #[test]
    fn compactions() {
        assert_eq!(log(3, 9).compact(5, 2), Ok(behind(6, 9, 2)));
        assert_eq!(log(3, 9).compact(8, 2), Ok(behind(9, 9, 2)));
        assert_eq!(log(3, 9).compact(9, 2), Err(Refusal::Beyond { last: Some(8) }));
        assert_eq!(log(3, 9).compact(2, 2), Ok(log(3, 9)), "already gone");
        assert_eq!(Extent::default().compact(0, 0), Err(Refusal::Beyond { last: None }));
    }

    #[test]
    fn resets() {
        assert_eq!(Extent::reset(None), Ok(Extent::default()));
        assert_eq!(Extent::reset(Some(EntryId { index: 0, term: 1 })), Ok(behind(1, 1, 1)));
        assert_eq!(Extent::reset(Some(EntryId { index: u64::MAX, term: 1 })), Err(Refusal::IndexMax));
    }

    #[test]
    fn cuts() {
        assert_eq!(Extent::default().suffix_removal(9), Ok(SuffixRemoval::Nothing));
        assert_eq!(log(3, 9).suffix_removal(9), Ok(SuffixRemoval::Nothing));
        assert_eq!(log(3, 9).suffix_removal(10), Err(Refusal::Gap { expected: 9, got: 10 }));
        assert_eq!(log(3, 9).suffix_removal(5), Ok(SuffixRemoval::Truncate { keep: 4 }));
        assert_eq!(log(3, 9).suffix_removal(3), Ok(SuffixRemoval::Reset));
        assert_eq!(log(0, 9).suffix_removal(0), Ok(SuffixRemoval::Reset));
        assert_eq!(behind(3, 9, 1).suffix_removal(3), Ok(SuffixRemoval::Truncate { keep: 2 }));
        assert_eq!(behind(3, 9, 1).suffix_removal(2), Err(Refusal::Compacted { first: 3 }));
    }
}
