//! Room in a full log, for callers that do not wait in their thread.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use event_listener::Event;
use logboom_wal::{Step, marks};

use crate::{Result, core::Core, space};

/// Who asks has the background reclaim. Requests are numbered: one is answered by a pass that began after it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    asked: AtomicU64,
    answered: AtomicU64,
    answers: Event,
}

impl Room {
    /// Asks for room; the number of the request.
    pub(crate) fn ask(&self, core: &Core) -> u64 {
        let request = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        core.kick();
        request
    }

    /// Waits until the request is answered, or the log is closed.
    pub(crate) async fn answer(&self, request: u64) {
        while self.answered.load(Ordering::Acquire) < request {
            // Listens before it looks again: an answer in between is not missed.
            let listener = self.answers.listen();
            if self.answered.load(Ordering::Acquire) < request {
                listener.await;
            }
        }
    }

    /// Nobody waits any more.
    pub(crate) fn shut(&self) {
        self.reply(u64::MAX);
    }

    fn reply(&self, upto: u64) {
        self.answered.fetch_max(upto, Ordering::AcqRel);
        self.answers.notify(usize::MAX);
    }
}

/// Makes room, when somebody has asked. Whoever did finds out by trying again.
pub(crate) fn step(core: &Core, _now: Duration) -> Result<Step> {
    let asked = core.room.asked.load(Ordering::Acquire);
    if core.room.answered.load(Ordering::Acquire) >= asked {
        return Ok(Step::Parked);
    }
    marks::hit("submit: a future waits for room");
    let made = space::make_room(core);
    core.room.reply(asked);
    made?;
    Ok(Step::Again)
}
