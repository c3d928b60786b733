//! Commits: transactions that are submitted, and what becomes of them.

use std::collections::BTreeSet;

use logboom_logtail::{Error, Stopped, Tail, Timestamp};
use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{
    check::Check,
    draft::Draft,
    effects::{Effects, Refusal},
    life::{Life, Waiting},
};

/// What must become of a transaction, by the model.
struct Expected {
    snapshot: Timestamp,
    client_id: Option<u128>,
    /// When the transaction committed that has the same client id.
    first: Option<Timestamp>,
    /// Whether it writes nothing.
    is_empty: bool,
    /// Why it may be refused.
    refusals: BTreeSet<Refusal>,
    /// Whether it must be.
    is_refused: bool,
    /// Whether one of the tables was loaded after the snapshot.
    is_loaded: bool,
    /// Whether another writer has taken over.
    is_replaced: bool,
}

impl History {
    /// Submits a transaction; its client waits for it, or does something else.
    pub(super) fn submit(&mut self, life: &mut Life, draft: Draft) -> Result<(), Failure> {
        let unix = Timestamp::from_unix(self.world.clock().unix());
        marks::hit_if(unix > life.records.bound, "commit: the clock's bound is reached");
        let (expected, tail) = (self.expected(life, &draft), life.tail_of(&draft).clone());
        let Draft { transaction, effects, .. } = draft;
        let submitted = transaction.submit();
        let commits = submitted.as_ref().map(|commit| commit.timestamp());
        self.note(format!("submit at {}: {commits:?}: {effects:?}", expected.snapshot));
        match submitted {
            Ok(commit) => {
                self.submitted(life, &expected, commit.timestamp(), &effects)?;
                self.keep_or_wait(life, Waiting { commit, tail })
            }
            Err(error) => self.refused(life, &expected, &error),
        }
    }

    fn expected(&self, life: &Life, draft: &Draft) -> Expected {
        let snapshot = draft.snapshot();
        let mut refusals = draft.effects.refusals(&self.model, snapshot);
        if draft.is_huge {
            refusals = [Refusal::TooLarge].into();
        }
        let is_refused = !refusals.is_empty();
        if snapshot < draft.begun.min(life.restored) || self.model.is_flushed(snapshot, draft.begun) {
            refusals.insert(Refusal::TooOld);
        }
        let mut keyed = draft.effects.tables().filter(|(_, effects)| effects.schema.is_keyed());
        let is_loaded = keyed.any(|(table, _)| self.model.is_loaded(table, snapshot));
        if is_loaded {
            refusals.insert(Refusal::TooOld);
        }
        Expected {
            snapshot,
            client_id: draft.client_id,
            first: draft.client_id.and_then(|id| self.model.client(id)),
            is_empty: draft.effects.are_none(&self.model, snapshot),
            refusals,
            is_refused,
            is_loaded,
            is_replaced: draft.is_replaced,
        }
    }

    /// A transaction commits at `at`, or nothing is to be done for it.
    fn submitted(&mut self, life: &Life, expected: &Expected, at: Timestamp, effects: &Effects) -> Result<(), Failure> {
        let wrong = |check, what: String| Err(Failure::new(check, what));
        let Expected { snapshot, client_id, first, is_empty, ref refusals, .. } = *expected;
        match first {
            _ if expected.is_replaced => {
                let is_old = Some(at) == first || is_empty && at == snapshot;
                if is_old { Ok(()) } else { wrong(Check::Conflicts, format!("one that was replaced commits at {at}")) }
            }
            Some(first) if at == first => {
                let is_pending = first > life.tail.watermark();
                marks::hit(if is_pending { "retry: the first is on its way" } else { "retry: the first is found" });
                Ok(())
            }
            Some(first) => wrong(Check::Retries, format!("a retry commits at {at}, the first one at {first}")),
            None if is_empty && at == snapshot => {
                marks::hit("commit: nothing to write");
                Ok(())
            }
            None if is_empty => wrong(Check::Timestamps, format!("nothing is written, and it commits at {at}")),
            None if expected.is_refused => {
                wrong(Check::Conflicts, format!("committed at {at} in spite of {refusals:?}"))
            }
            None if life.is_stopped => wrong(Check::Serves, format!("the tail has failed, and {at} is given")),
            None => {
                marks::hit_if(client_id.is_some_and(|id| self.model.was_lost(id)), "retry: the first is lost");
                self.given(at)?;
                self.model.place(snapshot, at, effects, client_id);
                self.counts.transactions += 1;
                Ok(())
            }
        }
    }

    fn refused(&self, life: &mut Life, expected: &Expected, error: &Error) -> Result<(), Failure> {
        let Expected { first, is_empty, ref refusals, .. } = *expected;
        match (Refusal::of(error), error) {
            (_, Error::Stopped(Stopped::Fault(_))) => self.failed(life, error),
            _ if expected.is_replaced => {
                let is_lost = matches!(error, Error::Stopped(Stopped::Lost));
                marks::hit_if(is_lost, "commit: refused, another writer has taken over");
                Ok(())
            }
            (Some(refusal), _) if first.is_none() && !is_empty && refusals.contains(&refusal) => {
                let is_by_load = refusal == Refusal::TooOld && expected.is_loaded;
                marks::hit(if is_by_load {
                    "commit: refused, the snapshot is older than a load"
                } else {
                    refusal.mark()
                });
                Ok(())
            }
            (Some(_), _) => {
                Err(Failure::new(Check::Conflicts, format!("{error}, and by the model {refusals:?}, {first:?}")))
            }
            (None, Error::Store(_)) => {
                marks::hit("commit: refused, a read of the store is given up");
                Ok(())
            }
            (None, error) => self.failed(life, error),
        }
    }

    /// A transaction has a timestamp.
    pub(super) fn given(&self, at: Timestamp) -> Result<(), Failure> {
        let before = self.model.given();
        if at <= before {
            return Err(Failure::new(Check::Timestamps, format!("{at} is given after {before}")));
        }
        marks::hit_if(at.unix() > self.world.clock().unix(), "clock: timestamps are ahead of it");
        self.clock.check(at)
    }

    /// What the client of a transaction does with it.
    fn keep_or_wait(&mut self, life: &mut Life, waiting: Waiting) -> Result<(), Failure> {
        match self.choices.below(8) {
            0 | 1 => {
                let Waiting { commit, tail } = waiting;
                self.answered(life, &tail, commit.wait())
            }
            2 => {
                marks::hit("commit: not waited for");
                drop(waiting);
                Ok(())
            }
            _ => {
                life.waiting.push(waiting);
                Ok(())
            }
        }
    }

    /// Waits for a transaction, or looks whether it is committed.
    pub(super) fn wait_for_one(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.waiting.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(life.waiting.len());
        let waiting = life.waiting.swap_remove(at);
        if self.choices.percent(50) {
            let Waiting { commit, tail } = waiting;
            return self.answered(life, &tail, commit.wait());
        }
        match waiting.poll() {
            Ok((tail, outcome)) => self.answered(life, &tail, outcome),
            Err(waiting) => {
                life.waiting.push(waiting);
                Ok(())
            }
        }
    }

    /// The client of a transaction gets an answer.
    fn answered(&mut self, life: &mut Life, tail: &Tail, outcome: Result<Timestamp, Error>) -> Result<(), Failure> {
        self.note(format!("answered: {outcome:?}"));
        match outcome {
            Ok(at) if tail.watermark() < at => {
                let what = format!("{at} is acknowledged, and readers are at {}", tail.watermark());
                Err(Failure::new(Check::Visible, what))
            }
            Ok(at) => {
                self.model.keep(at);
                Ok(())
            }
            Err(error) => self.failed(life, &error),
        }
    }

    /// A call has failed that fails with the engine only.
    pub(super) fn failed(&self, life: &mut Life, error: &Error) -> Result<(), Failure> {
        match error {
            _ if !self.is_troubled() => Err(Failure::new(Check::Serves, format!("{error:?}"))),
            Error::Unknown { .. } | Error::Stopped(Stopped::Unknown) => {
                let is_first = matches!(error, Error::Unknown { .. });
                marks::hit(if is_first {
                    "commit: its end is not known"
                } else {
                    "commit: refused, the tail has stopped"
                });
                life.is_stopped = true;
                Ok(())
            }
            Error::Log(_) | Error::Read(_) => Ok(()),
            _ => Err(Failure::new(Check::Serves, format!("{error:?}"))),
        }
    }
}
