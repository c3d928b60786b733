//! Pending tickets, and the order in which they complete.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use logboom::{Engine, Error, Ticket};
use logboom_wal::marks;

use crate::{
    check::{Check, Failure},
    choices::Choices,
    foreign::{Act, Foreign},
};

/// The batches of one life of an engine, numbered from 0, and how many of them are acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    waiting: Vec<(u64, Ticket)>,
    submitted: u64,
    /// All batches below this are acknowledged.
    acknowledged: u64,
    /// This batch, and so all after it, was answered with the failure of the log.
    failed: Option<u64>,
    called: Arc<Mutex<Vec<(u64, bool)>>>,
    /// Batches whose callbacks were not called yet, in order.
    to_call: VecDeque<u64>,
    last_call: Option<u64>,
}

impl Tickets {
    /// Takes the ticket of the next batch: to keep it, to be called back or woken, which does `act`, or to drop it.
    pub(crate) fn push(&mut self, mut ticket: Ticket, choices: &mut Choices, foreign: &Foreign, act: Act) {
        let number = self.submitted;
        self.submitted += 1;
        match choices.below(8) {
            0 => drop(ticket),
            1 => {
                let (called, foreign) = (Arc::clone(&self.called), foreign.clone());
                self.to_call.push_back(number);
                ticket.on_complete(move |outcome| {
                    called.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome.is_ok()));
                    foreign.act(act);
                });
            }
            2 if act != Act::Nothing => {
                match Pin::new(&mut ticket).poll(&mut Context::from_waker(&foreign.waker(act))) {
                    Poll::Pending => self.waiting.push((number, ticket)),
                    // Its answer is taken; the next one has it as well.
                    Poll::Ready(_) => {}
                }
            }
            _ => self.waiting.push((number, ticket)),
        }
    }

    /// Waits for one of them, in one of the possible ways; if there are none, for everything.
    ///
    /// # Errors
    /// [`Check::Rests`] when it is never done, [`Check::AckedInOrder`].
    pub(crate) fn wait_for_some(&mut self, engine: &Engine, choices: &mut Choices) -> Result<(), Failure> {
        if !self.waiting.is_empty() && choices.percent(60) {
            // In the writer's thread, if the log is still.
            let (number, ticket) = self.waiting.remove(choices.size(self.waiting.len()));
            return self.answer(number, ticket.wait());
        }
        // A barrier has lazy batches written too.
        let barrier = engine.barrier().map_err(|error| Failure::new(Check::Accepted, format!("barrier: {error:#}")))?;
        for _ in 0..10_000 {
            if barrier.is_done() {
                return Ok(());
            }
            engine.drive_once();
        }
        Err(Failure::new(Check::Rests, "a barrier is never done"))
    }

    /// Takes the answers that have come. Returns how many batches are acknowledged.
    ///
    /// # Errors
    /// [`Check::AckedInOrder`], [`Check::FailStop`].
    pub(crate) fn settle(&mut self, poisoned: bool) -> Result<u64, Failure> {
        let (done, waiting): (Vec<_>, _) =
            mem::take(&mut self.waiting).into_iter().partition(|(_, ticket)| ticket.is_done());
        self.waiting = waiting;
        let before = self.acknowledged;
        for (number, ticket) in done {
            self.answer(number, ticket.wait())?;
        }
        self.take_calls()?;
        marks::hit_if(self.acknowledged > before + 1, "tickets: several batches are acknowledged at once");
        if let Some((number, _)) = self.waiting.iter().find(|(number, _)| *number < self.acknowledged) {
            let what = format!("batch {} is acknowledged, {number} before it is not", self.acknowledged - 1);
            return Err(Failure::new(Check::AckedInOrder, what));
        }
        if poisoned && let Some((number, _)) = self.waiting.first() {
            return Err(Failure::new(Check::FailStop, format!("batch {number} has no answer after a failure")));
        }
        if self.failed.is_some() && !poisoned {
            return Err(Failure::new(Check::FailStop, "a ticket was answered with a failure that there was not"));
        }
        Ok(self.acknowledged)
    }

    /// Checks that every callback of an acknowledged batch was called, once the engine has nothing left to do.
    ///
    /// # Errors
    /// [`Check::AckedInOrder`].
    pub(crate) fn check_called(&mut self) -> Result<(), Failure> {
        self.take_calls()?;
        match self.to_call.front() {
            Some(number) if *number < self.acknowledged => {
                Err(Failure::new(Check::AckedInOrder, format!("batch {number} is acknowledged and not called back")))
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, number: u64, outcome: Result<(), Error>) -> Result<(), Failure> {
        match outcome {
            Ok(()) => self.acknowledged = self.acknowledged.max(number + 1),
            Err(Error::Poisoned { .. }) => {
                marks::hit("tickets: answered with the failure of the log");
                self.failed = Some(self.failed.map_or(number, |failed| failed.min(number)));
            }
            Err(error) => {
                return Err(Failure::new(Check::AckedInOrder, format!("ticket {number} fails: {error:#}")));
            }
        }
        match self.failed {
            Some(failed) if failed < self.acknowledged => {
                let what = format!("batch {} is acknowledged behind {failed}, which failed", self.acknowledged - 1);
                Err(Failure::new(Check::FailStop, what))
            }
            _ => Ok(()),
        }
    }

    fn take_calls(&mut self) -> Result<(), Failure> {
        let calls = mem::take(&mut *self.called.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, good) in calls {
            if self.last_call.is_some_and(|last| last >= number) {
                return Err(Failure::new(Check::AckedInOrder, format!("batch {number} is called back too late")));
            }
            self.last_call = Some(number);
            if self.to_call.pop_front() != Some(number) {
                return Err(Failure::new(Check::AckedInOrder, format!("batch {number} is called back once too often")));
            }
            if good {
                self.answer(number, Ok(()))?;
            }
        }
        Ok(())
    }
}
