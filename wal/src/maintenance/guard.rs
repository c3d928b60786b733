//! Whose the log is: the directory must be held, and the process must be the one that opened it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    group_commit::log::Shared,
    runtime::worker::{Machine, Step},
    types::{
        error::Error,
        marks,
        mutants::{self, Mutant},
    },
};

/// How often it looks whether the directory is still the log's: twice in the second within which that is promised.
const PERIOD: Duration = Duration::from_millis(500);

impl Shared {
    /// That the directory is still the log's. What is written to a directory that was removed is lost, and one whose
    /// lock was removed may have another writer.
    ///
    /// # Errors
    /// [`Error::Io`] with what is wrong, which is to poison the log.
    pub(crate) fn check_directory(&self) -> Result<(), Error> {
        if mutants::is_on(Mutant::DirectoryLost) {
            return Ok(());
        }
        let held = self.medium.disk.still_ours();
        marks::hit_if(held.is_err(), "guard: the directory is not the log's any more");
        held.map_err(|error| Error::io("holding the directory", error))
    }

    /// That this is the process that opened the log. A child that is forked has a copy of it in memory, without the
    /// threads; waiting for them would have no end.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.process.is_this() { Ok(()) } else { Err(Error::Forked { owner: self.process.id() }) }
    }
}

/// Looks again and again whether the directory is still the log's, and poisons the log when it is not.
pub(crate) struct Guard {
    shared: Weak<Shared>,
    next: Duration,
}

impl Guard {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), next: Duration::ZERO }
    }
}

impl Machine for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn step(&mut self, now: Duration) -> Step {
        if now < self.next {
            return Step::At(self.next);
        }
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        if shared.watermark.failure().is_some() {
            return Step::Done;
        }
        if let Err(error) = shared.check_directory() {
            shared.poison(error);
            return Step::Done;
        }
        self.next = now.saturating_add(PERIOD);
        Step::At(self.next)
    }
}
