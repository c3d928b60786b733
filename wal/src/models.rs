//! Models: the shipped code of the log under loom, which runs each of them through every interleaving of its threads
//! and every value that a load may return, up to a bound on preemptions.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release -p logboom-wal --lib models
//!
//! A thread that no other thread wakes is a deadlock to loom, and fails the model. So the models prove what the
//! comments in `scheduler.rs` and `watermark.rs` say about waits.

#![expect(clippy::unwrap_used, reason = "a model fails as a test does")]

mod admission;
mod park_flag;
mod commit;
mod device;
mod flight;
mod freeing;
#[cfg(feature = "mutants")]
mod mutants;
mod ticket;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicUsize},
};

use logboom_disk::{Disk, Mode, Pool};

use self::device::{Alarm, Device, FRAMING, LateQueue, Order, PAD};
use crate::{
    format::{
        echo::Echo,
        footer_bound::RangeCounts,
        group::{Life, Origin},
        options::{FooterSpace, Options},
        record::Meta,
    },
    group_commit::{
        append::{Durability, Request, Reservation, SpaceRequest},
        log::Shared,
        scheduler::Caller,
    },
    runtime::{
        notices::Notices,
        watched::PendingOps,
        worker::{Clock, ManualClock, Runtime, Worker},
    },
    scan::context::LogContext,
    segments::{
        identity::{FORMAT_VERSION, Identity},
        medium::Medium,
        slots::Slots,
        supply::{PreparedSegment, Purpose},
    },
    start::Start,
    types::{
        error::Error,
        ids::{SegmentId, Sequence},
    },
};

const SEGMENT_BYTES: u64 = 256 << 10;

/// Segment files, the first one included: enough for a few rotations beside those that are kept back.
const PREPARED: u32 = 7;

/// Explores `threads` with up to `preemptions` preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
fn model(preemptions: usize, threads: impl Fn() + Send + std::marker::Sync + 'static) {
    #[cfg(feature = "mutants")]
    mutants::switch_on_what_is_named();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(threads);
}

/// A log on a device of its own. Its first group is durable, and it has no thread but those of the model.
struct World {
    shared: Arc<Shared>,
    device: Arc<Device>,
    order: Order,
    /// The most writes in flight, over all runs of a model.
    most: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        Self::with(Order::LastFirst, FooterSpace::default(), &Arc::default())
    }

    /// A log whose queue performs operations in this order, and whose segments keep this space for a footer.
    fn with(order: Order, footer: FooterSpace, most: &Arc<AtomicUsize>) -> Self {
        let device = Device::new();
        let shared = start(&device, footer).into_shared().unwrap();
        let world = Self { shared, device, order, most: Arc::clone(most) };
        let epoch = world.shared.add_empty(0).unwrap();
        world.shared.wait(epoch, Caller::Unlocked).unwrap();
        world
    }

    /// Room for a batch of one record.
    fn reserve(&self) -> Reservation {
        reserve(&self.shared)
    }

    /// Starts a thread of the model that runs `first`, and then commits as the log's own thread would.
    fn committer(&self, first: fn(&Shared)) -> Running {
        let (shared, alarm) = (Arc::clone(&self.shared), Arc::new(Alarm::default()));
        let queue = LateQueue::new(Arc::clone(&alarm), self.order, Arc::clone(&self.most), Arc::clone(&shared));
        shared.scheduler.wake_by(alarm as _);
        Running(loom::thread::spawn(move || {
            first(&shared);
            shared.run_committer(Box::new(queue));
        }))
    }

    /// Sets up the worker that runs callbacks when it is stepped.
    fn notifier(&self) {
        let clock = ManualClock::new(0);
        let runtime = Runtime::Manual(Arc::clone(&clock) as _);
        let worker = Worker::new("notify", &runtime, clock, |ended| panic!("{ended:?}")).unwrap();
        drop(self.shared.notices.notifier.set(worker));
    }

    fn assert_durable(&self, group: u64) {
        assert!(self.device.is_durable(group), "group {group} was acknowledged before it was durable");
    }

    /// Checks what must hold when every thread of a model has ended: all that was requested is durable, and nothing is
    /// in flight.
    fn assert_at_rest(&self) {
        self.shared.scheduler.assert_at_rest(&self.shared.state.watermark);
    }
}

struct Running(loom::thread::JoinHandle<()>);

impl Running {
    /// Ends it as closing the log does.
    fn stop(self, world: &World) {
        world.shared.scheduler.stop();
        self.0.join().unwrap();
    }
}

fn reserve(shared: &Arc<Shared>) -> Reservation {
    let batch = &Request {
        records: 1,
        bytes: crate::format::record::record_bytes(8),
        durability: Durability::Durable,
        frees_space: false,
    };
    shared.reserve(0, SpaceRequest { batch, ranges: &RangeCounts::any(1), purpose: Purpose::Append }).unwrap()
}

/// Writes the one record of a batch.
fn fill(reservation: &mut Reservation) {
    let meta = Meta { owner: 1, kind: 1, first: 1, count: 1, attr: 0, prev: Sequence::NONE };
    reservation.record(&meta, 8, |body| body.put(&[7; 8]));
}

/// Writes a batch and waits; returns its group, which is durable.
fn write(shared: &Arc<Shared>) -> u64 {
    let mut reservation = reserve(shared);
    let group = reservation.group();
    fill(&mut reservation);
    reservation.finish_for_waiter().wait().unwrap();
    group
}

fn start(device: &Arc<Device>, footer: FooterSpace) -> Start {
    let options = Options { segment_bytes: SEGMENT_BYTES, footer, ..Options::default() };
    let disk = Arc::clone(device) as Arc<dyn Disk>;
    let medium = Medium { disk, pool: Pool::new(1 << 20), framing: FRAMING };
    let identity = Identity { version: FORMAT_VERSION, log: [0; 2], segment_bytes: options.segment_bytes, pad: PAD };
    let (slots, _) = Slots::open(&medium, &identity, Mode::Write).unwrap();
    let origin = Origin { segment: SegmentId(0), end: 0, crc: 0, last: 0 };
    let clock: Arc<dyn Clock> = ManualClock::new(0);
    let notices = Arc::<Notices>::default();
    let pending = PendingOps::new(Arc::clone(&clock), Arc::clone(&notices));
    let (runtime, mode) = (Runtime::Threads, Mode::Write);
    Start {
        life: Life { segment: SegmentId(1), epoch: 1, nonce: 1, origin },
        prepared: PreparedSegment { slot: 0, file: device.file(0) },
        first_group: 1,
        echo: Echo::default(),
        slots,
        live: BTreeMap::new(),
        free: (1..PREPARED)
            .map(|slot| PreparedSegment { slot, file: device.file(slot) }.into())
            .collect::<VecDeque<_>>(),
        next_slot: PREPARED,
        context: LogContext { medium, runtime, clock, pending, notices, identity, has_logboom: true, mode, options },
    }
}

fn failure() -> Error {
    Error::Bug { what: "the model's failure".into() }
}
