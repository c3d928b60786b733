//! Operations in flight.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use logboom_disk::{
    BackendChoice, Completion, DirectChoice, Disk, DiskOptions, File, InlineQueue, Mode, Op, OpKind, Pool, Queue,
    SimDisk, SimOptions, Slice, Sync, Wait, open,
};

use crate::{assert_filled, dir, filled, on_each_disk, prepared, read, unit};

#[test]
fn more_operations_than_fit_complete_once_each() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let files = [prepared(disk, "a", 500), prepared(disk, "b", 500)];
        let mut queue = disk.queue().unwrap();
        for at in 0..1000_usize {
            let sync = if at % 7 == 0 { Sync::Data } else { Sync::None };
            queue.submit(write(&files[at % 2], at as u64, &[pattern(at, unit)], at / 2 * unit, sync));
        }
        assert_eq!(queue.in_flight(), 1000);
        let completions = drain(&mut *queue);
        assert_eq!(completions.len(), 1000);
        for (at, completion) in completions.into_iter().enumerate() {
            assert_eq!(completion.token, at as u64);
            completion.result.unwrap();
        }
        for at in 0..1000_usize {
            assert_filled(&read(&files[at % 2], at / 2 * unit, unit), pattern(at, unit)[0]);
        }
    });
}

#[test]
fn a_movable_queue_serves_one_thread_after_another() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 100);
        let mut queue = disk.movable_queue().unwrap();
        for part in 0..10 {
            let file = Arc::clone(&file);
            let fill = move || {
                for at in part * 10..part * 10 + 10 {
                    queue.submit(write(&file, at as u64, &[pattern(at, unit)], at * unit, Sync::None));
                }
                // What is in flight is the next thread's to wait for.
                queue.reap(Wait::No, &mut Vec::new());
                queue
            };
            queue = thread::spawn(fill).join().unwrap();
        }
        assert!(drain(&mut *queue).into_iter().all(|completion| completion.result.is_ok()));
        for at in 0..100 {
            assert_filled(&read(&file, at * unit, unit), pattern(at, unit)[0]);
        }
    });
}

#[test]
fn slices_of_a_write_follow_one_another() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 3000);
        let mut queue = disk.queue().unwrap();
        let slices: Vec<_> = (0..3000).map(|at| pattern(at, unit)).collect();
        queue.submit(write(&file, 1, &slices, 0, Sync::Data));
        assert!(drain(&mut *queue).remove(0).result.is_ok());
        let bytes = read(&file, 0, 3000 * unit);
        for (at, bytes) in bytes.chunks(unit).enumerate() {
            assert_filled(bytes, pattern(at, unit)[0]);
        }
    });
}

#[test]
fn reads_return_their_region() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 4);
        file.write_at(&[filled(5, 4 * unit)], 0, Sync::Data).unwrap();
        let mut queue = disk.queue().unwrap();
        queue.submit(read_op(&file, 1, unit, 3 * unit));
        queue.submit(read_op(&file, 2, 2 * unit, 3 * unit));
        queue.submit(read_op(&file, 3, unit, 4 * unit));
        let mut completions = drain(&mut *queue).into_iter();
        let mut next = || completions.next().unwrap();
        let good = next();
        good.result.unwrap();
        assert_filled(&good.region.unwrap(), 5);
        for _ in 0..2 {
            let bad = next();
            assert_eq!(bad.result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert!(bad.region.is_some());
        }
    });
}

#[test]
fn syncs_complete_among_writes() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 32);
        let mut queue = disk.queue().unwrap();
        for at in 0..32 {
            queue.submit(write(&file, at as u64, &[pattern(at, unit)], at * unit, Sync::None));
            if at % 8 == 7 {
                queue.submit(Op { token: 100 + at as u64, file: file.clone(), kind: OpKind::SyncData });
            }
        }
        let completions = drain(&mut *queue);
        assert_eq!(completions.len(), 36);
        assert!(completions.iter().all(|completion| completion.result.is_ok()));
    });
}

/// One at a time, operations complete in the order in which they were submitted: no short one overtakes a long one.
#[test]
fn a_queue_has_no_more_operations_on_their_way_than_it_may() {
    for backend in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        let mut options = DiskOptions::default();
        options.backend = backend;
        options.queue_depth = 1;
        let Ok(disk) = open(dir.path(), &options) else { continue };
        let unit = unit(&disk);
        let file = prepared(&disk, "a", 64);
        let mut queue = disk.queue().unwrap();
        for at in 0..64 {
            let sync = if at % 4 == 0 { Sync::Data } else { Sync::None };
            queue.submit(write(&file, at as u64, &[pattern(at, unit)], at * unit, sync));
        }
        let mut completions = Vec::new();
        while queue.in_flight() > 0 {
            queue.reap(Wait::Forever, &mut completions);
        }
        let tokens: Vec<u64> = completions.iter().map(|completion| completion.token).collect();
        assert_eq!(tokens, (0..64).collect::<Vec<_>>(), "{backend:?}");
    }
}

#[test]
fn empty_operations_complete() {
    on_each_disk(|disk| {
        let file = prepared(disk, "a", 1);
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&file, 1, &[], 0, Sync::Data));
        queue.submit(read_op(&file, 2, 0, 0));
        assert!(drain(&mut *queue).into_iter().all(|completion| completion.result.is_ok()));
    });
}

#[test]
fn a_write_to_a_file_opened_for_reading_fails() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        prepared(disk, "a", 1);
        let file = disk.open("a", Mode::Read).unwrap();
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&file, 1, &[filled(1, unit)], 0, Sync::None));
        assert_eq!(drain(&mut *queue).remove(0).result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_filled(&read(&file, 0, unit), 0);
    });
}

/// The kernel takes an offset of -1 for the file's cursor, and would write at the beginning.
#[test]
fn ranges_that_no_file_has_are_refused() {
    for backend in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        let mut options = DiskOptions::default();
        options.backend = backend;
        options.direct = DirectChoice::Off;
        let Ok(disk) = open(dir.path(), &options) else { continue };
        let file = prepared(&disk, "a", 1);
        let mut queue = disk.queue().unwrap();
        for offset in [u64::MAX, u64::MAX - 32, i64::MAX as u64] {
            let kind = OpKind::Write { slices: vec![filled(1, 64)], offset, sync: Sync::Data };
            queue.submit(Op { token: 1, file: file.clone(), kind });
            let kind = OpKind::Read { region: Pool::new(0).region(64), offset };
            queue.submit(Op { token: 2, file: file.clone(), kind });
            for completion in drain(&mut *queue) {
                assert_eq!(completion.result.unwrap_err().kind(), ErrorKind::InvalidInput, "at {offset}");
            }
        }
        assert_filled(&read(&file, 0, unit(&disk)), 0);
    }
}

#[test]
fn files_of_another_disk_are_refused() {
    let other = SimDisk::new(1, SimOptions::default()) as Arc<dyn Disk>;
    let stranger = prepared(&other, "a", 1);
    on_each_disk(|disk| {
        let mut queue = disk.queue().unwrap();
        queue.submit(write(&stranger, 1, &[filled(1, 4096)], 0, Sync::None));
        let completion = drain(&mut *queue).remove(0);
        if let Err(error) = completion.result {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        } else {
            // The threads of the blocking backend ask the file to do it, whatever file it is.
            assert_eq!(disk.facts().backend, logboom_disk::Backend::Blocking);
        }
    });
}

#[test]
fn a_waker_ends_a_wait_and_the_next_one() {
    on_each_disk(|disk| {
        let mut queue = disk.queue().unwrap();
        let mut completions = Vec::new();
        for _ in 0..50 {
            let waker = queue.waker();
            let thread = thread::spawn(move || waker.wake());
            queue.reap(Wait::Forever, &mut completions);
            thread.join().unwrap();
        }
        let waker = queue.waker();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            waker.wake();
        });
        queue.reap(Wait::Forever, &mut completions);
        thread.join().unwrap();
        queue.waker().wake();
        queue.waker().wake();
        queue.reap(Wait::Forever, &mut completions);
        assert!(completions.is_empty());
    });
}

#[test]
fn a_wait_ends_in_time() {
    on_each_disk(|disk| {
        let mut queue = disk.queue().unwrap();
        let mut completions = Vec::new();
        let began = Instant::now();
        queue.reap(Wait::No, &mut completions);
        queue.reap(Wait::For(Duration::ZERO), &mut completions);
        queue.reap(Wait::For(Duration::from_millis(20)), &mut completions);
        assert!(began.elapsed() >= Duration::from_millis(20));
        queue.waker().wake();
        queue.reap(Wait::For(Duration::MAX), &mut completions);
        assert!(completions.is_empty());
    });
}

/// Wakers, completions and time-outs at once: whoever waits for a signal gets it.
#[test]
fn no_wake_is_lost() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 1);
        let mut queue = disk.queue().unwrap();
        let (requests, inbox) = std::sync::mpsc::channel();
        let waker = queue.waker();
        let thread = thread::spawn(move || {
            let (answer, answers) = std::sync::mpsc::channel();
            for at in 0..300_u64 {
                requests.send((at, answer.clone())).unwrap();
                waker.wake();
                assert_eq!(answers.recv().unwrap(), at);
            }
        });
        let mut completions = Vec::new();
        let mut answered = 0;
        while answered < 300 {
            queue.reap(Wait::Forever, &mut completions);
            completions.clear();
            while let Ok((at, answer)) = inbox.try_recv() {
                answered += 1;
                if at % 3 == 0 {
                    queue.submit(write(&file, at, &[filled(1, unit)], 0, Sync::None));
                }
                answer.send(at).unwrap();
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn dropping_a_queue_waits_for_what_is_in_flight() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 200);
        let pool = Pool::new(0);
        let mut queue = disk.queue().unwrap();
        for at in 0..200 {
            let mut region = pool.region(unit);
            region.fill(1 + u8::try_from(at).unwrap());
            queue.submit(write(&file, at as u64, &[region.freeze()], at * unit, Sync::None));
        }
        queue.submit(read_op(&file, 500, 0, unit));
        drop(queue);
        assert_eq!(pool.bytes(), 0, "the queue still holds buffers");
        for at in 0..200 {
            assert_filled(&read(&file, at * unit, unit), 1 + u8::try_from(at).unwrap());
        }
    });
}

#[test]
fn files_come_and_go_while_a_queue_lives() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let mut queue = disk.queue().unwrap();
        let kept: Vec<_> = (0..20).map(|at| prepared(disk, &format!("kept-{at}"), 4)).collect();
        for round in 0..5_usize {
            for (at, file) in kept.iter().enumerate() {
                queue.submit(write(file, at as u64, &[pattern(at + round, unit)], 0, Sync::None));
                if at % 3 == 0 {
                    drain(&mut *queue).into_iter().for_each(|completion| completion.result.unwrap());
                }
            }
            let name = format!("gone-{round}");
            let gone = prepared(disk, &name, 1);
            queue.submit(write(&gone, 99, &[filled(0xAA, unit)], 0, Sync::Data));
            drop(gone);
            disk.remove(&name).unwrap();
            drain(&mut *queue).into_iter().for_each(|completion| completion.result.unwrap());
            for (at, file) in kept.iter().enumerate() {
                assert_filled(&read(file, 0, unit), pattern(at + round, unit)[0]);
            }
        }
    });
}

#[test]
fn the_inline_queue_has_done_it_already() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 2);
        let mut queue = InlineQueue::default();
        queue.submit(write(&file, 1, &[filled(8, 2 * unit)], 0, Sync::Data));
        assert_filled(&read(&file, unit, unit), 8);
        queue.submit(read_op(&file, 2, unit, unit));
        assert_eq!(queue.in_flight(), 2);
        let completions = drain(&mut queue);
        assert_filled(completions[1].region.as_ref().unwrap(), 8);
    });
}

fn write(file: &Arc<dyn File>, token: u64, slices: &[Slice], offset: usize, sync: Sync) -> Op {
    Op { token, file: file.clone(), kind: OpKind::Write { slices: slices.to_vec(), offset: offset as u64, sync } }
}

fn read_op(file: &Arc<dyn File>, token: u64, offset: usize, len: usize) -> Op {
    let region = Pool::new(0).region(len);
    Op { token, file: file.clone(), kind: OpKind::Read { region, offset: offset as u64 } }
}

fn pattern(at: usize, len: usize) -> Slice {
    filled(u8::try_from(at * 31 % 251).unwrap(), len)
}

/// Reaps until nothing is in flight; the completions by token.
fn drain(queue: &mut dyn Queue) -> Vec<Completion> {
    let mut by_token = BTreeMap::new();
    let mut completions = Vec::new();
    while queue.in_flight() > 0 {
        queue.reap(Wait::Forever, &mut completions);
        for completion in completions.drain(..) {
            assert!(by_token.insert(completion.token, completion).is_none(), "a completion came twice");
        }
    }
    by_token.into_values().collect()
}
