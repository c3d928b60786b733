//! Checks that the log still owns its directory, and that the process is the one that opened it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    group_commit::log::Shared,
    runtime::worker::{Machine, Step},
};

/// The period of the checks: two within the second that is documented.
const PERIOD: Duration = Duration::from_millis(500);

/// Checks periodically that the directory still belongs to the log, and poisons the log if not.
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
        if shared.state.watermark.failure().is_some() {
            return Step::Done;
        }
        if let Err(error) = shared.env.check_directory() {
            shared.poison(error);
            return Step::Done;
        }
        self.next = now.saturating_add(PERIOD);
        Step::At(self.next)
    }
}
