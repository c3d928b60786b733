//! One put, from the first attempt until it is settled.

use std::time::Duration;

use super::{
    attempt::Content,
    error::StoreErrorKind,
    retry::{Retry, RetryPolicy, Verdict},
};

/// A put, until the name is known to have its content.
///
/// An attempt can land although its answer is lost, can land later, and can be refused for a put in flight that never
/// lands. So a refusal says nothing of the content, nor does a retry that finds the name taken by the attempt before
/// it: only reading the name back does.
///
/// Ask [`next`](Self::next), make the attempt, report it. One attempt is in flight at a time.
#[derive(Clone, Debug)]
pub struct PutMachine {
    step: PutStep,
    /// The end of the pause before that step.
    pause_end: Duration,
    /// The last attempt was refused, as the name was taken.
    is_refused: bool,
    retry: Retry,
}

/// What a put does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutStep {
    /// Create the name with the content; report it by [`PutMachine::put_done`].
    Put,
    /// Compare the name with the content; report it by [`PutMachine::read_back_done`].
    ReadBack,
    /// Nothing until this time.
    Wait(Duration),
    /// The end. Of an error other than [`StoreErrorKind::Foreign`] the put may have landed, or may land later.
    Ended(Result<(), StoreErrorKind>),
}

impl PutMachine {
    /// A put that has not begun. The seed decides the pauses.
    pub fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { step: PutStep::Put, pause_end: Duration::ZERO, is_refused: false, retry: Retry::new(policy, seed) }
    }

    /// What to do at `now`: the same until something is reported, or a pause ends.
    pub fn next(&self, now: Duration) -> PutStep {
        match self.step {
            PutStep::Put | PutStep::ReadBack if now < self.pause_end => PutStep::Wait(self.pause_end),
            step => step,
        }
    }

    /// The attempt to create the name ended.
    pub fn put_done(&mut self, result: Result<(), StoreErrorKind>, now: Duration) {
        self.is_refused = result == Err(StoreErrorKind::AlreadyExists);
        match result {
            Ok(()) => self.step = PutStep::Ended(Ok(())),
            Err(StoreErrorKind::AlreadyExists) => self.step = PutStep::ReadBack,
            Err(kind) if kind.may_have_landed() => self.failed(kind, PutStep::ReadBack, now),
            Err(kind) => self.failed(kind, PutStep::Put, now),
        }
    }

    /// The comparison ended.
    pub fn read_back_done(&mut self, result: Result<Content, StoreErrorKind>, now: Duration) {
        match result {
            Ok(Content::Same) => self.step = PutStep::Ended(Ok(())),
            Ok(Content::Other) => self.step = PutStep::Ended(Err(StoreErrorKind::Foreign)),
            // Refused for a put in flight, which may last: without a pause the two steps would follow each other.
            Ok(Content::Absent) if self.is_refused => self.failed(StoreErrorKind::AlreadyExists, PutStep::Put, now),
            Ok(Content::Absent) => self.step = PutStep::Put,
            Err(StoreErrorKind::NotFound) => self.read_back_done(Ok(Content::Absent), now),
            Err(kind) => self.failed(kind, PutStep::ReadBack, now),
        }
    }

    fn failed(&mut self, kind: StoreErrorKind, then: PutStep, now: Duration) {
        match self.retry.failed(kind, now) {
            Verdict::Again(at) => (self.step, self.pause_end) = (then, at),
            Verdict::GiveUp => self.step = PutStep::Ended(Err(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{AlreadyExists, CredentialsExpired, Foreign, Throttled, Unavailable};

    /// Runs a put against a script: for each step the one that is expected, and what comes of it. Pauses are waited
    /// for, and counted.
    fn check(script: &[(PutStep, Result<Content, StoreErrorKind>)], pauses: usize, end: Result<(), StoreErrorKind>) {
        let (mut put, mut now, mut waited) = (PutMachine::new(RetryPolicy::default(), 5), Duration::ZERO, 0);
        for (expected, result) in script {
            if let PutStep::Wait(until) = put.next(now) {
                (now, waited) = (until, waited + 1);
            }
            assert_eq!(put.next(now), *expected);
            match expected {
                PutStep::Put => put.put_done(result.map(|_| ()), now),
                _ => put.read_back_done(*result, now),
            }
        }
        assert_eq!((put.next(now), waited), (PutStep::Ended(end), pauses));
    }

    const PUT: PutStep = PutStep::Put;
    const READ_BACK: PutStep = PutStep::ReadBack;
    const LANDED: Result<Content, StoreErrorKind> = Ok(Content::Same);

    #[test]
    fn a_put_that_succeeds_is_settled() {
        check(&[(PUT, LANDED)], 0, Ok(()));
    }

    #[test]
    fn a_lost_answer_is_settled_by_reading_back() {
        check(&[(PUT, Err(Unavailable)), (READ_BACK, Ok(Content::Same))], 1, Ok(()));
        check(&[(PUT, Err(Unavailable)), (READ_BACK, Ok(Content::Absent)), (PUT, LANDED)], 1, Ok(()));
        check(&[(PUT, Err(Unavailable)), (READ_BACK, Err(StoreErrorKind::NotFound)), (PUT, LANDED)], 1, Ok(()));
    }

    #[test]
    fn a_retry_that_finds_its_own_earlier_put_has_succeeded() {
        // The first attempt lands between the comparison and the second one.
        let script = [
            (PUT, Err(Unavailable)),
            (READ_BACK, Ok(Content::Absent)),
            (PUT, Err(AlreadyExists)),
            (READ_BACK, Ok(Content::Same)),
        ];
        check(&script, 1, Ok(()));
    }

    #[test]
    fn a_conflict_in_flight_that_left_nothing_is_put_again_after_a_pause() {
        let script = [(PUT, Err(AlreadyExists)), (READ_BACK, Ok(Content::Absent)), (PUT, LANDED)];
        check(&script, 1, Ok(()));
    }

    #[test]
    fn other_content_is_a_foreign_writers() {
        check(&[(PUT, Err(AlreadyExists)), (READ_BACK, Ok(Content::Other))], 0, Err(Foreign));
        check(&[(PUT, Err(Unavailable)), (READ_BACK, Ok(Content::Other))], 1, Err(Foreign));
    }

    #[test]
    fn what_cannot_have_landed_is_put_again() {
        check(&[(PUT, Err(Throttled)), (PUT, Err(CredentialsExpired)), (PUT, LANDED)], 2, Ok(()));
    }

    #[test]
    fn a_comparison_that_fails_is_made_again() {
        let script = [
            (PUT, Err(Unavailable)),
            (READ_BACK, Err(Unavailable)),
            (READ_BACK, Err(Throttled)),
            (READ_BACK, Ok(Content::Same)),
        ];
        check(&script, 3, Ok(()));
    }

    #[test]
    fn a_store_that_cannot_create_only_ends_the_put() {
        check(&[(PUT, Err(StoreErrorKind::Unsupported))], 0, Err(StoreErrorKind::Unsupported));
    }
}
