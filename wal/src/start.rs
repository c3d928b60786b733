//! Building the state of an open log from what recovery found.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use logboom_disk::Process;

use crate::{
    format::{echo::Echo, group::Life},
    group_commit::{
        admission::Admission,
        append::{Backlog, Staging},
        committer::Committer,
        env::Env,
        log::Shared,
        metrics::Metrics,
        scheduler::CommitScheduler,
        state::State,
        watermark::Watermark,
    },
    read::{read_ahead::ReadAhead, recent::Recent},
    runtime::{
        device_watch::Watch,
        faults::Faults,
        sync::{AtomicBool, AtomicU64, Mutex, OnceLock},
    },
    scan::context::LogContext,
    segments::{
        segment::Segment,
        slots::Slots,
        supply::{FoundSegments, FreeSegment, PreparedSegment, Supply},
    },
    types::{error::Error, ids::SegmentId},
};

/// The results of recovery from which the log starts.
pub(crate) struct Start {
    pub(crate) context: LogContext,
    pub(crate) life: Life,
    pub(crate) prepared: PreparedSegment,
    pub(crate) first_group: u64,
    pub(crate) echo: Echo,
    pub(crate) slots: Slots,
    pub(crate) live: BTreeMap<SegmentId, Arc<Segment>>,
    pub(crate) free: VecDeque<FreeSegment>,
    pub(crate) next_slot: u32,
}

impl Start {
    /// Builds the log's shared state; starts no thread.
    pub(crate) fn into_shared(self) -> Result<Arc<Shared>, Error> {
        let Self { context, life, prepared, first_group, echo, slots, live, free, next_slot } = self;
        let size = context.segment_size();
        let staging = Staging::new(life, prepared, size, first_group, echo.len());
        let committer = Committer::new(context.medium.disk.facts(), life, echo);
        let manual = context.runtime.is_manual();
        let fail = |error| Error::io("setting up a queue", error);
        let queue = if manual { Some(context.medium.disk.queue().map_err(fail)?) } else { None };
        let mut segments = live;
        segments.insert(life.segment, Arc::clone(staging.segment()));
        let in_use = segments.len();
        let faults = Arc::<Faults>::default();
        let state = State {
            staging: Mutex::new(staging),
            backlog: Backlog::default(),
            watermark: Watermark::new(life.origin.last),
            admission: Admission::new(context.options.admission_bytes, Arc::clone(&context.notices)),
            supply: Supply::new(
                Arc::clone(&context.medium.disk),
                context.identity.segment_bytes,
                &context.options,
                Arc::clone(&faults),
                FoundSegments { free, in_use, next_slot },
            ),
            segments: Mutex::new(segments),
            recent: Recent::new(context.options.cache_bytes),
            read_ahead: ReadAhead::new(context.options.read_ahead_bytes),
            slots: Mutex::new(slots),
            cold: Mutex::default(),
            promised: AtomicU64::new(0),
            filled: AtomicU64::new(0),
            active_since: AtomicU64::new(first_group),
        };
        let env = Env {
            medium: context.medium,
            identity: context.identity,
            options: context.options,
            clock: context.clock,
            manual,
            process: Process::this(),
        };
        Ok(Arc::new(Shared {
            env,
            state,
            scheduler: CommitScheduler::new(committer, queue),
            watch: Watch::default(),
            pending: context.pending,
            metrics: Metrics::default(),
            faults,
            worker: OnceLock::new(),
            guard: OnceLock::new(),
            notices: context.notices,
            closing: AtomicBool::new(false),
        }))
    }
}
