//! The machine that prepares segments, and deletes those that are not worth their space.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use logboom_disk::{File, Slice};

use crate::{
    group_commit::log::Shared,
    runtime::worker::{Machine, Step},
    segments::{
        segment::slot_name,
        slots::Failure,
        supply::{FreeSegment, KEPT_BACK, PREPARE, begin, finish, prefill_name, write_zeros, zeros},
    },
    types::{error::Error, marks},
};

/// How long a machine that failed waits before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// Prepared segments beyond the reserve are kept up to the number that was begun in `TICKS` times `TICK`.
const TICK: Duration = Duration::from_secs(10);
const TICKS: usize = 6;

/// At most this many surplus segments are deleted with one sync of the directory, and the next ones after a pause:
/// writers wait behind it.
const REMOVED_AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// The name of deleting surplus segments, in reports of failures.
const GIVE_BACK: &str = "give back segments";

/// Deletes segment files; false if none was deleted. Those that stay are still ready, and the next opening takes them
/// for prepared ones.
fn remove(shared: &Shared, surplus: Vec<FreeSegment>) -> bool {
    let (mut is_any, mut failure) = (false, None);
    for FreeSegment { slot, file } in surplus {
        marks::hit("supply: a segment is given back");
        drop(file);
        match shared.env.medium.disk.remove(&slot_name(slot)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                shared.state.supply.put_back(slot);
                failure = Some(Error::io(format!("removing {}", slot_name(slot)), error));
            }
            _ => {
                shared.state.supply.removed();
                is_any = true;
            }
        }
    }
    match failure {
        Some(error) => shared.faults.failed(GIVE_BACK, &error),
        None => shared.faults.succeeded(GIVE_BACK),
    }
    if is_any && let Err(error) = shared.env.medium.disk.sync_dir() {
        shared.side_failure("removing segments", Failure::Sync(error));
    }
    is_any
}

/// Deletes at once the unused segments beyond the bound.
pub(crate) fn trim(shared: &Shared) {
    while shared.state.supply.files() > shared.state.supply.files_max()
        && remove(shared, shared.state.supply.surplus(0, REMOVED_AT_ONCE))
    {}
}

/// Counts the segments begun in the last minute.
#[derive(Debug)]
struct RecentlyBegun {
    /// The total at each of the last ticks, newest first.
    begun: VecDeque<u64>,
    next: Duration,
}

impl RecentlyBegun {
    fn new() -> Self {
        Self { begun: VecDeque::from([0]), next: TICK }
    }

    /// How many of `begun` segments were begun in the last minute, or a little more.
    fn update(&mut self, now: Duration, begun: u64) -> u64 {
        if now >= self.next {
            self.begun.push_front(begun);
            self.begun.truncate(TICKS + 1);
            self.next = now.saturating_add(TICK);
        }
        begun.saturating_sub(self.begun.back().copied().unwrap_or(0))
    }
}

/// Keeps the reserve of prepared segments filled.
pub(crate) struct Prefill {
    shared: Weak<Shared>,
    filling: Option<Prefilling>,
    retry_at: Duration,
    recently_begun: RecentlyBegun,
    shrink_at: Duration,
}

/// A file whose blocks are being written for the first time.
struct Prefilling {
    slot: u32,
    file: Arc<dyn File>,
    at: u64,
    zeros: Slice,
}

impl Prefill {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            filling: None,
            retry_at: Duration::ZERO,
            recently_begun: RecentlyBegun::new(),
            shrink_at: shared.env.clock.now().saturating_add(TICK),
        }
    }

    /// Deletes surplus segments. As many as the log used lately stay: it is likely to need them, and making a segment
    /// costs as much as writing it.
    fn shrink(&mut self, shared: &Shared, now: Duration) {
        let begun = self.recently_begun.update(now, shared.state.supply.begun());
        if now < self.shrink_at {
            return;
        }
        let is_any = remove(shared, shared.state.supply.surplus(begun, REMOVED_AT_ONCE));
        self.shrink_at = now.saturating_add(if is_any { PAUSE } else { TICK });
    }

    fn fill(&mut self, shared: &Shared, now: Duration) -> Step {
        let Some(filling) = self.filling.take() else {
            return self.begin(shared, now);
        };
        let size = shared.env.identity.segment_bytes;
        match filling.step(size) {
            Ok(filling) if filling.at < size => {
                self.filling = Some(filling);
                if shared.watch.is_waiting() && shared.state.supply.len() > KEPT_BACK {
                    // Writes are in flight, and no writer waits for this segment: use half of the time at most.
                    let ended = shared.env.clock.now();
                    return Step::At(ended.saturating_add(ended.saturating_sub(now)));
                }
                Step::Again
            }
            Ok(filling) if !shared.state.supply.reserve_file() => {
                // A caller made a segment itself meanwhile.
                marks::hit("supply: a prepared segment would be one too many");
                drop(shared.env.medium.disk.remove(&prefill_name(filling.slot)));
                Step::Again
            }
            Ok(filling) => {
                let made = finish(&*shared.env.medium.disk, filling.slot, &*filling.file);
                self.note(shared.add_prepared(filling.slot, made), now)
            }
            Err((slot, error)) => {
                let error = shared.preparation_failed(slot, Failure::Write(error));
                self.note(Err(error), now)
            }
        }
    }

    fn begin(&mut self, shared: &Shared, now: Duration) -> Step {
        let slot = shared.state.supply.next_slot();
        match begin(&*shared.env.medium.disk, slot, shared.env.identity.segment_bytes) {
            Ok(file) => {
                self.filling = Some(Prefilling {
                    slot,
                    file,
                    at: 0,
                    zeros: zeros(&shared.env.medium.pool, shared.env.identity.segment_bytes),
                });
                Step::Again
            }
            Err(error) => {
                let error = shared.preparation_failed(slot, Failure::Write(error));
                self.note(Err(error), now)
            }
        }
    }

    fn note(&mut self, outcome: Result<(), Error>, now: Duration) -> Step {
        match outcome {
            Ok(()) => Step::Again,
            Err(_) => {
                self.retry_at = now.saturating_add(RETRY);
                Step::At(self.retry_at)
            }
        }
    }
}

impl Prefilling {
    fn step(mut self, size: u64) -> Result<Self, (u32, io::Error)> {
        match write_zeros(&*self.file, &self.zeros, self.at, size) {
            Ok(len) => {
                self.at += len;
                Ok(self)
            }
            Err(error) => Err((self.slot, error)),
        }
    }
}

impl Machine for Prefill {
    fn name(&self) -> &'static str {
        PREPARE
    }

    fn is_needed(&self) -> bool {
        // A caller that finds no prepared segment makes one.
        false
    }

    fn step(&mut self, now: Duration) -> Step {
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        let target = shared.state.supply.target();
        shared.recycle();
        self.shrink(&shared, now);
        let lacks = shared.state.supply.len() < target && !shared.state.supply.is_at_limit();
        if !lacks {
            shared.faults.succeeded(PREPARE);
        }
        if now >= self.retry_at && (self.filling.is_some() || lacks) {
            return self.fill(&shared, now);
        }
        match () {
            () if now < self.retry_at => Step::At(self.retry_at),
            () if shared.state.supply.is_retiring() => Step::At(now.saturating_add(Duration::from_millis(10))),
            () if shared.state.supply.len() > target => Step::At(self.shrink_at),
            () => Step::Parked,
        }
    }
}
