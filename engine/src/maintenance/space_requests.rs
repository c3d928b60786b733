//! Room in a full log, for callers that do not wait in their thread.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use logboom_wal::{Step, Wakers, marks};

use crate::{
    maintenance::{core::Core, space},
    types::error::Result,
};

/// Who asks has the background reclaim. Requests are numbered: one is answered by a pass that began after it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    asked: AtomicU64,
    answered: AtomicU64,
    wakers: Wakers,
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
        self.wakers.until(|| (self.answered.load(Ordering::SeqCst) >= request).then_some(())).await;
    }

    /// Nobody waits any more.
    pub(crate) fn shut(&self, core: &Core) {
        self.reply(core, u64::MAX);
    }

    fn reply(&self, core: &Core, upto: u64) {
        self.answered.fetch_max(upto, Ordering::SeqCst);
        core.wal.wake(&self.wakers);
    }
}

/// Answers when it goes, in whatever way: a machine that ends leaves no writer waiting.
struct Reply<'c>(&'c Core, u64);

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        self.0.room.reply(self.0, self.1);
    }
}

/// Makes room, when somebody has asked. Whoever did finds out by trying again.
pub(crate) fn step(core: &Core, _now: Duration) -> Result<Step> {
    let asked = core.room.asked.load(Ordering::Acquire);
    if core.room.answered.load(Ordering::Acquire) >= asked {
        return Ok(Step::Parked);
    }
    marks::hit("submit: a future waits for room");
    let _reply = Reply(core, asked);
    space::make_room(core)?;
    Ok(Step::Again)
}
