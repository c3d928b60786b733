//! Each stage that does anything opens a span of its name. In a process of its own: a call site that another test
//! reaches first, without a subscriber, is off for good.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what a test relies on and does not find is its failure"
)]

#[path = "engine/support.rs"]
#[expect(dead_code, reason = "other tests need the rest")]
mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::{Event, Metadata, Subscriber, span};

use support::*;

/// Notes the names of spans, and which are open.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    names: BTreeSet<&'static str>,
    last: u64,
    open: BTreeSet<u64>,
}

impl Subscriber for Names {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("logboom")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut noted = self.0.lock().unwrap();
        noted.last += 1;
        noted.names.insert(span.metadata().name());
        let id = noted.last;
        noted.open.insert(id);
        span::Id::from_u64(id)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}

    fn try_close(&self, id: span::Id) -> bool {
        self.0.lock().unwrap().open.remove(&id.into_u64())
    }
}

#[test]
fn every_stage_has_its_span() {
    let names = Names::default();
    tracing::subscriber::with_default(names.clone(), || {
        let mut ground = Ground::sim(5);
        ground.config.cache_bytes = 0;
        let engine = ground.open();
        let mut next = 1;
        while engine.metrics().segments_freed == 0 {
            append(&engine, A, next..next + 500, 1);
            next += 500;
            write(&engine, |batch| batch.compact_through(A, next - 10).map(drop));
            ground.pass(&engine, Duration::from_millis(20));
        }
        check(&engine.shard(A), next - 9..next, 1);
        let engine = ground.reopen(engine);
        check(&engine.shard(A), next - 9..next, 1);
        engine.close().unwrap();
    });
    let noted = names.0.lock().unwrap();
    assert_eq!(noted.names, BTreeSet::from(["append", "compact", "group_commit", "index", "read"]));
    assert_eq!(noted.open, BTreeSet::new(), "no span outlives what it stands for");
}
