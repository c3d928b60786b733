//! NuRaft: `log_store` and `state_mgr`, on [`ShardLog`](logboom_rsm::log_store::ShardLog).

use std::sync::{Arc, Mutex};

use logboom::EntryId;
use logboom_rsm::log_store::{Appending, Error, LogEntry, LogStore, ServerState, ShardLog, StateStore};

use super::{Bench, Row};

pub(super) const ROWS: &[Row] = &[
    row("next_slot is last + 1, start_index is the first, 1 when new", |bench| {
        let log = bench.log(Appending::Waits);
        assert_eq!((log.next_slot(), log.start_index()), (1, 1));
        fill(&log, 9);
        log.compact(4).unwrap();
        assert_eq!((log.next_slot(), log.start_index()), (10, 5));
    }),
    Row {
        adapter: "last_id, which falls back to the boundary (eBay/NuRaft#668)",
        ..row("last_entry is a dummy with term 0 if no entry exists, and votes are checked with its term", |bench| {
            let log = bench.log(Appending::Waits);
            fill(&log, 9);
            log.compact(9).unwrap();
            assert_eq!(log.last_entry().unwrap(), LogEntry::default());
            assert_eq!(log.last_id().unwrap(), EntryId { index: 9, term: 1 });
        })
    },
    row(
        "append takes one entry, write_at truncates everything behind; a conflict is write_at, then appends",
        |bench| {
            let log = bench.log(Appending::Waits);
            fill(&log, 9);
            log.write_at(4, LogEntry::new(2, "4")).unwrap();
            log.append(LogEntry::new(2, "5")).unwrap();
            log.end_of_append_batch(4, 2).unwrap();
            let terms: Vec<u64> = (1..8).map(|index| log.term_at(index).unwrap()).collect();
            assert_eq!(terms, [1, 1, 1, 2, 2, 0, 0]);
        },
    ),
    row("end_of_append_batch(start, cnt) covers the whole request, entries skipped as duplicates included", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        log.append(LogEntry::new(1, "10")).unwrap();
        log.end_of_append_batch(3, 8).unwrap();
        log.end_of_append_batch(3, 7).unwrap();
        let bench = bench.power_cut();
        assert_eq!(bench.log(Appending::Waits).next_slot(), 11);
    }),
    row("all appended entries are durable when end_of_append_batch returns", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        assert_eq!(log.last_durable_index(), 9);
        let bench = bench.power_cut();
        assert_eq!(bench.log(Appending::Waits).last_id().unwrap(), EntryId { index: 9, term: 1 });
    }),
    row("with parallel_log_appending it returns at once, entries stay readable, a notice comes", |bench| {
        let log = bench.log(Appending::Parallel);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&notices);
        log.on_append_completion(Arc::new(move |outcome| noted.lock().unwrap().push(outcome.is_ok())));
        log.append(LogEntry::new(1, "1")).unwrap();
        log.end_of_append_batch(1, 1).unwrap();
        assert_eq!((log.last_durable_index(), log.term_at(1).unwrap(), notices.lock().unwrap().len()), (0, 1, 0));
        bench.settle();
        assert_eq!((log.last_durable_index(), &notices.lock().unwrap()[..]), (1, &[true][..]));
    }),
    row("flush is a full sync, and failing means that the process ends", |bench| {
        let log = bench.log(Appending::Parallel);
        log.append(LogEntry { kind: 2, ..LogEntry::new(1, "configuration") }).unwrap();
        log.flush().unwrap();
        assert_eq!(log.last_durable_index(), 1);
        log.append(LogEntry::new(1, "2")).unwrap();
        bench.world.disk.halt_after(1);
        assert!(matches!(log.flush(), Err(Error::Failed { .. })));
    }),
    row("log_entries is half-open, and null if any entry is missing", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        log.compact(2).unwrap();
        assert_eq!(log.log_entries(3..10).unwrap().unwrap().len(), 7);
        assert_eq!((log.log_entries(2..5).unwrap(), log.log_entries(3..11).unwrap()), (None, None));
    }),
    row("log_entries_ext: a byte target, at least one entry; 0 is none; below 0 nothing is sent", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        let count = |hint| log.log_entries_ext(1..10, hint).unwrap().unwrap().len();
        assert_eq!([1, 3, 0, -1].map(count), [1, 3, 9, 0]);
    }),
    row("entry_at is null at and behind next_slot, term_at is 0 below start", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        log.compact(5).unwrap();
        assert_eq!((log.entry_at(10).unwrap(), log.entry_at(5).unwrap()), (None, None));
        assert_eq!((log.term_at(4).unwrap(), log.term_at(5).unwrap(), log.term_at(6).unwrap()), (0, 1, 1));
    }),
    row("pack and apply_pack ship the log to a server that joins; start is set if the store was empty", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        let peer = Bench::new();
        let joining = peer.log(Appending::Waits);
        joining.apply_pack(4, &log.pack(4, 6).unwrap().unwrap()).unwrap();
        assert_eq!((joining.start_index(), joining.next_slot()), (4, 10));
        assert_eq!(joining.log_entries(4..10).unwrap(), log.log_entries(4..10).unwrap());
    }),
    row("compact is inclusive; past the end start becomes i + 1 and the log is empty", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        log.compact(3).unwrap();
        assert_eq!((log.start_index(), log.next_slot()), (4, 10));
        log.compact(20).unwrap();
        assert_eq!((log.start_index(), log.next_slot()), (21, 21));
    }),
    row("compact_async moves start_index at once, and calls back", |bench| {
        let log = bench.log(Appending::Waits);
        fill(&log, 9);
        let called = Arc::new(Mutex::new(None));
        let calls = Arc::clone(&called);
        log.compact_async(3, Box::new(move |outcome| *calls.lock().unwrap() = Some(outcome.is_ok())));
        assert_eq!((log.start_index(), *called.lock().unwrap()), (4, None));
        log.flush().unwrap();
        bench.settle();
        assert_eq!(*called.lock().unwrap(), Some(true));
    }),
    Row {
        adapter: "they are in the order of the calls, so that a vote never outlives the entries that it was given on",
        ..row("save_state, read_state and save_config are not ordered with the log", |bench| {
            let log = bench.log(Appending::Waits);
            log.append(LogEntry::new(1, "1")).unwrap();
            let state = ServerState { term: 3, voted_for: 2, ..ServerState::default() };
            log.save_state(&state).unwrap();
            log.save_config(b"1, 2, 3").unwrap();
            let log = bench.power_cut().log(Appending::Waits);
            assert_eq!((log.read_state().unwrap(), log.next_slot()), (Some(state), 2));
            assert_eq!(log.load_config().unwrap().as_deref(), Some(&b"1, 2, 3"[..]));
        })
    },
    Row {
        adapter: "the shard's applied floor refuses it (eBay/NuRaft#373)",
        ..row("the commit thread must not find compacted what it is about to commit", |bench| {
            let log = bench.log(Appending::Waits);
            fill(&log, 9);
            log.shard().raise_applied_floor(4).unwrap();
            assert!(matches!(log.compact(5), Err(Error::Refused { .. })));
            assert_eq!(log.log_entries(5..10).unwrap().unwrap().len(), 5);
        })
    },
    Row {
        adapter: "a lease holds the snapshot, and the log behind it (eBay/NuRaft#212)",
        ..row("a snapshot that is being sent stays, whatever replaces it", |bench| {
            let log = bench.log(Appending::Waits);
            fill(&log, 9);
            let snapshots = bench.engine.snapshots();
            snapshots.register(&bench.build(3, 1)).unwrap();
            let lease = snapshots.newest(log.shard().id()).unwrap().unwrap();
            snapshots.register(&bench.build(8, 1)).unwrap();
            bench.settle();
            assert!(lease.open("state").is_ok());
            assert!(matches!(log.compact(6), Err(Error::Refused { .. })));
        })
    },
];

const fn row(rule: &'static str, check: fn(Bench)) -> Row {
    Row { core: "NuRaft", rule, adapter: "", check }
}

/// Entries of one byte and term 1, durable.
fn fill(log: &ShardLog, last: u64) {
    (1..=last).for_each(|index| assert_eq!(log.append(LogEntry::new(1, index.to_string())).unwrap(), index));
    log.end_of_append_batch(1, last).unwrap();
}
