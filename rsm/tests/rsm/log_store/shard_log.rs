//! The log of a shard beyond the contract: many threads, failures, damage, limits.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use logboom::{Config, Engine, ShardId};
use logboom_rsm::{
    Driver, Options, Runner,
    log_store::{Appending, Error, LogEntry, LogStore, ShardLog},
};

use crate::{
    model::Model,
    runner::until,
    world::{SHARD, World, settle, small_policy},
};

fn open(dir: &std::path::Path) -> Engine {
    let mut config = Config::new(dir);
    config.segment_bytes = 1 << 20;
    config.disk.lock_wait = Duration::from_secs(5);
    Engine::open(config).unwrap()
}

/// The payload of an entry says its term, so that no reader takes one entry for another.
fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry::new(term, format!("{index} of {term}"))
}

/// Threads of a server append, replace and compact under its lock; a commit thread and threads that send read beside
/// them; a thread flushes.
#[test]
fn a_server_and_its_threads() {
    const WRITERS: u64 = 3;
    const ROUNDS: u64 = 100;
    for appending in [Appending::Waits, Appending::Parallel] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engine = open(dir.path());
        let log = ShardLog::new(&engine, SHARD, appending);
        let (server, done, notices) = (Mutex::new(0), AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
        let noted = Arc::clone(&notices);
        log.on_append_completion(Arc::new(move |outcome| {
            outcome.unwrap();
            noted.fetch_add(1, Ordering::AcqRel);
        }));
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|n| {
                    scope.spawn({
                        let (log, done) = (&log, &done);
                        move || read(log, done, n)
                    })
                })
                .collect();
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    scope.spawn(|| {
                        for round in 0..ROUNDS {
                            let mut term = server.lock().unwrap();
                            *term += 1;
                            write(&log, *term, round);
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            log.flush().unwrap();
            done.store(true, Ordering::Release);
            assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>() > 0, "nothing was read");
        });
        let last = log.last_id().unwrap();
        assert_eq!((last.term, log.last_durable_index()), (WRITERS * ROUNDS, last.index));
        drop(log);
        engine.close().unwrap();
        if appending == Appending::Parallel {
            assert_eq!(notices.load(Ordering::Acquire), WRITERS * ROUNDS);
        }
        let engine = open(dir.path());
        assert_eq!(ShardLog::new(&engine, SHARD, appending).last_id().unwrap(), last);
    }
}

fn write(log: &ShardLog, term: u64, round: u64) {
    let first = log.next_slot();
    for index in first..first + 3 {
        assert_eq!(log.append(entry(index, term)).unwrap(), index);
    }
    if round.is_multiple_of(3) {
        log.write_at(first + 1, entry(first + 1, term)).unwrap();
    }
    log.end_of_append_batch(first, 3).unwrap();
    if round % 10 == 9 {
        log.compact(first.saturating_sub(20)).unwrap();
    }
}

/// Reads what there is, and says how much that was.
fn read(log: &ShardLog, done: &AtomicBool, n: u64) -> u64 {
    let (mut entries, mut is_done) = (0, false);
    // Once more behind the end: a busy machine may run the writers first.
    while !is_done {
        is_done = done.load(Ordering::Acquire);
        let next = log.next_slot();
        let from = log.start_index().max(next.saturating_sub(10 + n));
        let Some(read) = log.log_entries(from..next).unwrap() else { continue };
        let terms: Vec<u64> = read.iter().map(|entry| entry.term).collect();
        assert!(terms.is_sorted(), "entries of before a write beside those of after it: {terms:?}");
        for (index, seen) in (from..).zip(&read) {
            assert_eq!(*seen, entry(index, seen.term));
        }
        let term = log.term_at(from).unwrap();
        assert!(term == 0 || terms.first().is_none_or(|first| *first <= term), "{term} after {terms:?}");
        entries += read.len() as u64;
        if n == 0 {
            log.flush().unwrap();
        }
    }
    entries
}

/// A server appends, and a commit thread applies, saves and compacts beside it, on the same shard.
#[test]
fn a_server_and_its_commit_thread() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let log = ShardLog::new(&engine, SHARD, Appending::Parallel);
    let mut options = Options::default();
    options.policy = small_policy();
    let (driver, _) = Driver::concurrent(&engine, SHARD, Model::new(None), options).unwrap();
    let (applied, answers) = mpsc::channel();
    let runner = Runner::start(driver, move |_, batch| {
        batch.entries.iter().for_each(|entry| applied.send(entry.index).unwrap());
    })
    .unwrap();
    for index in 1..=300 {
        assert_eq!(log.append(entry(index, 1)).unwrap(), index);
        log.end_of_append_batch(index, 1).unwrap();
        runner.commit(index);
        let (start, next) = (log.start_index(), log.next_slot());
        // Compacted in between, or there.
        let read = log.log_entries(start..next).unwrap();
        assert!(read.is_some_and(|read| read.len() as u64 == next - start) || log.start_index() > start);
    }
    assert!(answers.iter().take(300).eq(1..=300));
    until("the log is compacted", || log.start_index() > 1);
    let (driver, outcome) = runner.stop();
    outcome.unwrap();
    assert_eq!((driver.applied(), log.last_durable_index()), (Some(300), 300));
}

/// Entries are slices of what the log has in memory: reading them twice gives the same bytes, and cloning one none.
#[test]
fn entries_are_read_without_a_copy() {
    let engine = World::new(1).open().unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    for index in 1..11 {
        log.append(LogEntry { context: vec![8; 40].into(), ..LogEntry::new(1, vec![7; 1000]) }).unwrap();
        log.end_of_append_batch(index, 1).unwrap();
    }
    let places = |entries: Vec<LogEntry>| {
        let place = |entry: LogEntry| (entry.payload.as_ptr(), entry.clone().context.as_ptr());
        entries.into_iter().map(place).collect::<Vec<_>>()
    };
    let read = || log.log_entries(1..11).unwrap().unwrap();
    let (one, other) = (read(), read());
    assert_eq!(places(one.clone()), places(other));
    assert_eq!(places(vec![log.entry_at(4).unwrap().unwrap()]), places(one)[3..4]);
}

/// Without a lock of the server: each append takes one slot, in some order.
#[test]
fn appends_take_each_slot_once() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    thread::scope(|scope| {
        for term in 1..5 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..200 {
                    let index = log.append(LogEntry::new(term, format!("{n}"))).unwrap();
                    assert_eq!(log.term_at(index).unwrap(), term);
                    if n % 20 == 0 {
                        log.end_of_append_batch(index, 1).unwrap();
                        assert!(log.last_durable_index() >= index);
                    }
                }
            });
        }
    });
    let entries = log.log_entries(1..801).unwrap().unwrap();
    for term in 1..5 {
        let of_one: Vec<_> =
            entries.iter().filter(|entry| entry.term == term).map(|entry| &entry.payload[..]).collect();
        assert!(of_one.iter().enumerate().all(|(n, payload)| *payload == n.to_string().as_bytes()), "term {term}");
        assert_eq!(of_one.len(), 200);
    }
}

/// Many logs share the engine; who waits for one of them is let go with the group of all.
#[test]
fn logs_of_one_engine_are_independent() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = open(dir.path());
    thread::scope(|scope| {
        for shard in 1..9 {
            let engine = &engine;
            scope.spawn(move || {
                let log = ShardLog::new(engine, ShardId(shard), Appending::Waits);
                for index in 1..60 {
                    assert_eq!(log.append(entry(index, shard)).unwrap(), index);
                    log.end_of_append_batch(index, 1).unwrap();
                    assert_eq!(log.last_durable_index(), index);
                }
                assert!(log.log_entries(1..60).unwrap().unwrap().iter().all(|entry| entry.term == shard));
            });
        }
    });
}

/// More than may await durability: whoever appends waits until some of it is written, although nobody ended a batch.
#[test]
fn a_batch_without_end_is_written_before_it_is_too_much() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut config = Config::new(dir.path());
    config.segment_bytes = 1 << 20;
    config.admission_bytes = 256 << 10;
    let engine = Engine::open(config).unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    for _ in 0..100 {
        log.append(LogEntry::new(1, vec![7; 50_000])).unwrap();
    }
    log.end_of_append_batch(1, 100).unwrap();
    assert_eq!(log.last_durable_index(), 100);
}

/// After a failed write nothing is acknowledged, in either way, and what there is can be read.
#[test]
fn a_log_that_failed_says_so() {
    for appending in [Appending::Waits, Appending::Parallel] {
        let world = World::new(1);
        let engine = world.open().unwrap();
        let log = ShardLog::new(&engine, SHARD, appending);
        let (tell, told) = mpsc::channel();
        log.on_append_completion(Arc::new(move |outcome| tell.send(outcome).unwrap()));
        log.append(entry(1, 1)).unwrap();
        log.flush().unwrap();
        settle(&engine);
        world.disk.halt_after(1);
        log.append(entry(2, 1)).unwrap();
        let ended = log.end_of_append_batch(2, 1);
        let ended = match appending {
            Appending::Waits => ended,
            Appending::Parallel => {
                ended.unwrap();
                settle(&engine);
                told.try_recv().unwrap()
            }
        };
        assert!(matches!(ended, Err(Error::Failed { .. })), "{appending:?}: {ended:?}");
        if appending == Appending::Waits {
            let again = log.end_of_append_batch(2, 1);
            assert!(matches!(again, Err(Error::Failed { .. })), "nobody waits for it any more: {again:?}");
        }
        assert!(matches!(log.append(entry(3, 1)), Err(Error::Failed { .. })));
        assert!(matches!(log.write_at(1, entry(1, 2)), Err(Error::Failed { .. })));
        assert!(matches!(log.flush(), Err(Error::Failed { .. })));
        assert_eq!((log.last_durable_index(), log.next_slot()), (1, 3));
        assert_eq!(log.log_entries(1..3).unwrap().unwrap(), [entry(1, 1), entry(2, 1)]);
    }
}

/// What an engine cannot take is refused, and nothing of it is done.
#[test]
fn what_is_too_large_is_refused() {
    let engine = World::new(1).open().unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    log.append(entry(1, 1)).unwrap();
    let large = LogEntry::new(1, vec![0; 1 << 20]);
    assert!(matches!(log.append(large.clone()), Err(Error::Refused { .. })));
    assert!(matches!(log.write_at(1, large), Err(Error::Refused { .. })));
    assert!(matches!(log.compact(u64::MAX), Err(Error::Refused { .. })));
    assert_eq!(log.log_entries(1..2).unwrap().unwrap(), [entry(1, 1)]);
    assert_eq!((log.start_index(), log.next_slot()), (1, 2));
}

/// A peer may say any index: the last one that there is can be reached, and not passed.
#[test]
fn the_last_index_is_an_end() {
    let engines = [World::new(1).open().unwrap(), World::new(2).open().unwrap()];
    let [from, to] = engines.each_ref().map(|engine| ShardLog::new(engine, SHARD, Appending::Waits));
    from.compact(u64::MAX - 4).unwrap();
    (0..3).for_each(|n| assert_eq!(from.append(entry(n, 1)).unwrap(), u64::MAX - 3 + n));
    let pack = from.pack(u64::MAX - 3, 3).unwrap().unwrap();
    to.apply_pack(u64::MAX - 3, &pack).unwrap();
    for log in [from, to] {
        assert_eq!((log.next_slot(), log.last_id().unwrap().index), (u64::MAX, u64::MAX - 1));
        assert!(matches!(log.append(entry(1, 1)), Err(Error::Refused { .. })));
        assert!(matches!(log.write_at(u64::MAX, entry(1, 1)), Err(Error::Refused { .. })));
        assert_eq!(log.log_entries(u64::MAX - 3..u64::MAX).unwrap().unwrap().len(), 3);
        assert_eq!(log.log_entries_ext(u64::MAX - 3..u64::MAX, 1).unwrap().unwrap().len(), 1);
        log.end_of_append_batch(u64::MAX - 3, u64::MAX).unwrap();
        log.compact(u64::MAX - 1).unwrap();
        assert_eq!((log.start_index(), log.next_slot(), log.last_durable_index()), (u64::MAX, u64::MAX, u64::MAX - 1));
    }
}

/// A pack may have more than one batch of the receiver's holds, and less than was asked for.
#[test]
fn packs_of_large_entries_arrive_in_pieces() {
    let from_dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let peer = open(from_dir.path());
    let from = ShardLog::new(&peer, SHARD, Appending::Waits);
    for n in 0..150_u8 {
        from.append(LogEntry::new(1, vec![n; 40_000])).unwrap();
    }
    let engine = World::new(1).open().unwrap();
    let to = ShardLog::new(&engine, SHARD, Appending::Waits);
    let mut packs = 0;
    while to.next_slot() < 151 {
        let next = to.next_slot();
        to.apply_pack(next, &from.pack(next, 151 - next).unwrap().unwrap()).unwrap();
        packs += 1;
    }
    assert_eq!(packs, 2, "of 4 MiB each");
    assert_eq!(to.log_entries(1..151).unwrap(), from.log_entries(1..151).unwrap());
}

/// A commit thread reads what a compaction is about to take: the floor that the machine's driver keeps is in between.
#[test]
fn what_is_not_applied_is_not_compacted() {
    let engine = World::new(1).open().unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    (1..11).for_each(|index| assert_eq!(log.append(entry(index, 1)).unwrap(), index));
    log.shard().raise_applied_floor(5).unwrap();
    assert!(matches!(log.compact(6), Err(Error::Refused { .. })));
    assert_eq!(log.start_index(), 1);
    log.compact(5).unwrap();
    assert_eq!(log.start_index(), 6);
}

/// An answer has all of a range or fails: not the entries before those that are lost, and not `None`, which would have
/// the caller look for a snapshot.
#[test]
fn what_is_lost_is_no_short_answer() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    for index in 1..41 {
        log.append(LogEntry::new(1, vec![7; 1000])).unwrap();
        log.end_of_append_batch(index, 1).unwrap();
    }
    drop(log);
    engine.close().unwrap();
    world.disk.damage(&world.files("segment-")[0], 40 << 10..60 << 10).unwrap();
    let engine = world.open().unwrap();
    let log = ShardLog::new(&engine, SHARD, Appending::Waits);
    let mut states = [0; 2];
    for index in 1..41 {
        let there = match (log.entry_at(index), log.term_at(index)) {
            (Ok(Some(_)), Ok(1)) => true,
            (Err(Error::Unreadable { .. }), Ok(1) | Err(Error::Unreadable { .. })) => false,
            other => panic!("entry {index}: {other:?}"),
        };
        states[usize::from(there)] += 1;
    }
    assert!(states.iter().all(|count| *count > 3), "{states:?}");
    assert!(matches!(log.log_entries(1..41), Err(Error::Unreadable { .. })));
    assert!(matches!(log.log_entries(1..3), Ok(Some(_))));
}
