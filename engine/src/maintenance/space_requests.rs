//! Requests for space in a full log, by callers that must not block their thread.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom_wal::{Step, Wakers, marks};

use crate::{
    maintenance::{core::Core, space},
    types::error::Result,
};

/// Numbered requests that a machine serves by reclaiming. A pass that begins after a request answers it.
#[derive(Debug, Default)]
pub(crate) struct SpaceRequests {
    asked: AtomicU64,
    answered: AtomicU64,
    wakers: Wakers,
}

impl SpaceRequests {
    /// Requests space. Returns the number of the request.
    pub(crate) fn request(&self, core: &Core) -> u64 {
        let request = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        core.kick();
        request
    }

    /// Waits until the request is answered, or the log is closed.
    pub(crate) async fn wait(&self, request: u64) {
        self.wakers.until(|| (self.answered.load(Ordering::SeqCst) >= request).then_some(())).await;
    }

    /// Answers all requests, now and later: the engine is closed.
    pub(crate) fn close(&self, core: &Core) {
        self.answer(core, u64::MAX);
    }

    fn answer(&self, core: &Core, upto: u64) {
        self.answered.fetch_max(upto, Ordering::SeqCst);
        core.wal.wake(&self.wakers);
    }
}

/// Answers when dropped: a pass that fails or panics leaves no writer waiting.
struct AnswerOnDrop<'c>(&'c Core, u64);

impl Drop for AnswerOnDrop<'_> {
    fn drop(&mut self) {
        self.0.space_requests.answer(self.0, self.1);
    }
}

/// Reclaims if there are requests. Callers find out by trying again whether there is space.
pub(crate) fn step(core: &Core, _now: Duration) -> Result<Step> {
    let asked = core.space_requests.asked.load(Ordering::Acquire);
    if core.space_requests.answered.load(Ordering::Acquire) >= asked {
        return Ok(Step::Parked);
    }
    marks::hit("submit: a future waits for room");
    let _answer = AnswerOnDrop(core, asked);
    space::make_room(core)?;
    Ok(Step::Again)
}
