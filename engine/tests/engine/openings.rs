//! Space over many openings: a process that is started again and again does not fill its disk.

use std::{process::Command, time::Duration};

use bytes::Bytes;
use logboom::{
    Capacity, Engine, EntryId, Error, ManualClock, Runtime,
    disk::{Disk, SimDisk, SimOptions},
};

use crate::{hooked::Hooked, support::*};

const SECOND: Duration = Duration::from_secs(1);

/// The segment files that there are.
fn files(ground: &Ground) -> u64 {
    let names = ground.disk().list().unwrap();
    names.iter().filter(|name| name.starts_with("segment-") || name.starts_with("prefill-")).count() as u64
}

/// How an opening ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Kill,
    PowerCut,
}

const ENDS: [End; 3] = [End::Close, End::Kill, End::PowerCut];

impl End {
    fn of(self, ground: &Ground, engine: Engine) {
        let next = match self {
            Self::Close => return engine.close().unwrap(),
            Self::Kill => ground.disk().process_crash(),
            Self::PowerCut => ground.disk().power_cut(),
        };
        drop(engine);
        ground.replace_disk(next);
    }
}

/// Opens again and again, with some time or none for the background. A log that holds next to nothing has at most four
/// segments that can be given back, the written one, a cold one and two more, beside the reserve; a bound is passed by
/// one file at most.
fn open_often(end: End, bound: Option<u64>, time: Duration, openings: u64, each: impl Fn(&Engine, u64)) {
    let mut ground = Ground::sim(7);
    ground.config.reserve_segments = 2;
    ground.config.space_bytes_max = bound.map(|files| files * ground.config.segment_bytes);
    let most = bound.map_or(8 + 5, |files| files + 1);
    for nth in 1..=openings {
        let engine = ground.open();
        each(&engine, nth);
        if !time.is_zero() {
            ground.pass(&engine, time);
        }
        let there = files(&ground);
        assert!(there <= most, "{there} files in opening {nth}, {end:?}, {bound:?}: {:?}", engine.space());
        end.of(&ground, engine);
    }
}

#[test]
fn openings_that_write_nothing_take_no_space() {
    for end in ENDS {
        for bound in [None, Some(8)] {
            for time in [Duration::ZERO, Duration::from_millis(50)] {
                open_often(end, bound, time, 40, |_, _| {});
            }
        }
    }
}

#[test]
fn openings_that_write_an_entry_each_take_the_space_of_the_entries() {
    for end in ENDS {
        for bound in [None, Some(8)] {
            for time in [Duration::ZERO, Duration::from_millis(50)] {
                open_often(end, bound, time, 160, |engine, nth| {
                    append(engine, A, nth..nth + 1, 1);
                    check(&engine.shard(A), 1..nth + 1, 1);
                });
            }
        }
    }
}

/// A log that is bounded to less than it has is opened all the same, and gives up what it does not use.
#[test]
fn a_bound_that_is_lowered_is_held_by_what_is_not_in_use() {
    let mut ground = Ground::sim(7);
    burst(&ground.open(), 60);
    assert!(files(&ground) > 40);
    ground.config.space_bytes_max = Some(8 * ground.config.segment_bytes);
    let engine = ground.open();
    assert!(files(&ground) <= 9, "{} files", files(&ground));
    assert_eq!(engine.shard(A).last(), Some(60 * 8));
    engine.close().unwrap();
}

/// Where the device has no room for another file, an opening takes one of those that were kept back: each gives back
/// what the ones before it have used, or soon none could begin.
#[test]
fn a_full_device_is_opened_as_often_as_a_process_is_started() {
    for end in ENDS {
        let mut ground = Ground::on(SimDisk::new(7, SimOptions { capacity: 4 << 20, ..SimOptions::default() }), 7);
        ground.config.reserve_segments = 2;
        let engine = ground.open();
        let mut last = 0;
        while fits(&engine, last + 1) {
            last += 1;
            ground.pass(&engine, Duration::from_millis(10));
        }
        End::Kill.of(&ground, engine);
        for nth in 1..=20 {
            let engine = ground.try_open().unwrap_or_else(|error| panic!("{error} in opening {nth}, {end:?}"));
            assert_eq!(engine.shard(A).last(), Some(last), "opening {nth}, {end:?}");
            end.of(&ground, engine);
        }
        let engine = ground.open();
        write(&engine, |batch| batch.compact_through(A, last - 2).map(drop));
        engine.reclaim().unwrap();
        assert!(fits(&engine, last + 1), "{end:?}: {:?}", engine.space());
        engine.close().unwrap();
    }
}

/// Whether the log takes another large entry.
fn fits(engine: &Engine, index: u64) -> bool {
    let mut batch = engine.batch();
    batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 28_000])).unwrap();
    match engine.write(batch) {
        Ok(_) => true,
        Err(Error::Full { capacity: Capacity::Device, .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Fills about so many segments, drops what is in them, and has them given back.
fn burst(engine: &Engine, segments: u64) {
    fill_and_drop(engine, segments);
    engine.reclaim().unwrap();
}

fn fill_and_drop(engine: &Engine, segments: u64) {
    let next = engine.shard(A).next().unwrap_or(1);
    for index in next..next + segments * 8 {
        write(engine, |batch| {
            batch.append_payload(A, EntryId { index, term: 1 }, Bytes::from(vec![1; 28_000])).map(drop)
        });
    }
    write(engine, |batch| batch.compact_through(A, next + segments * 8 - 2).map(drop));
}

/// A log that breathes uses its files again; what it has not needed for a minute goes, in few syncs.
#[test]
fn files_are_kept_for_a_minute_and_then_given_back() {
    let ground = Ground::sim(7);
    let engine = ground.open();
    burst(&engine, 60);
    let all = files(&ground);
    assert!(all > 50, "{all} files");
    ground.pass(&engine, 40 * SECOND);
    assert!(files(&ground) >= 60, "{} of {all} files: a log that is filled each minute needs them", files(&ground));
    let before = ground.disk().stats();
    ground.pass(&engine, 120 * SECOND);
    // The one that is written, a cold one, and the reserve: one, and three that are kept back.
    assert!(files(&ground) <= 2 + 4, "{} files", files(&ground));
    let after = ground.disk().stats();
    assert!(after.removes - before.removes > 40);
    let syncs = after.syncs - before.syncs;
    assert!(syncs <= 20, "{syncs} syncs");
    // What was left by a process that died goes as well.
    burst(&engine, 60);
    End::Kill.of(&ground, engine);
    assert!(files(&ground) > 40);
    let engine = ground.open();
    ground.pass(&engine, 60 * SECOND);
    assert!(files(&ground) <= 2 + 4 + 4, "{} files", files(&ground));
    engine.close().unwrap();
}

/// A log that was closed names no segment that it had given back before: an opening opens what is named, and may not
/// open so many files. A checkpoint may be on its way while they are given back.
#[test]
fn a_closed_log_names_no_segment_that_was_given_back() {
    for round in 0..200 {
        let disk = SimDisk::new(round, SimOptions::default());
        let engine = Engine::open_on(disk.clone(), small("simulated"), Runtime::Threads).unwrap();
        burst(&engine, 12);
        let live = engine.segments().len();
        engine.close().unwrap();
        let counted = Hooked::around(disk, |_, _| ());
        let engine =
            Engine::open_on(counted.clone(), small("simulated"), Runtime::Manual(ManualClock::new(1))).unwrap();
        let open = counted.most_open();
        // The checkpoints, one to go on in, and those that are looked at one after the other.
        assert!(open <= live + 5, "round {round}: {open} files were open, and {live} segments were in use");
        engine.close().unwrap();
    }
}

/// Set in the child: the directory to open.
const ROLE: &str = "LOGBOOM_TEST_FEW_FILES";

/// What is not in use is not open: a process may not have as many files open as a log once had.
#[test]
fn open_files_are_bounded_by_segments_in_use() {
    if let Ok(dir) = std::env::var(ROLE) {
        match Engine::open(small(dir)) {
            Ok(engine) => println!("opened {}", engine.close().is_ok()),
            Err(error) => println!("{error}, {}", matches!(error, Error::Files { .. })),
        }
        return;
    }
    let ground = Ground::real();
    let engine = ground.open();
    burst(&engine, 100);
    assert!(engine.space().free_segments > 80, "{:?}", engine.space());
    engine.close().unwrap();
    let answer = open_with_few_files(&ground, 64, None);
    assert!(answer.contains("opened true"), "{answer}");

    let engine = ground.open();
    append(&engine, B, 1..2, 1);
    for index in 1..=800 {
        write(&engine, |batch| {
            batch.append_payload(C, EntryId { index, term: 1 }, Bytes::from(vec![1; 28_000])).map(drop)
        });
    }
    engine.close().unwrap();
    let answer = open_with_few_files(&ground, 64, None);
    assert!(answer.contains("the limit of open files is reached: ") && answer.contains(", true"), "{answer}");
    let engine = ground.open();
    assert_eq!((engine.shard(B).last(), engine.shard(C).last()), (Some(1), Some(800)));
    engine.close().unwrap();
}

/// Whatever an opening was about to open: that there may not be more is told from a failure of the disk. Without a
/// ring, which takes so many that little else is met.
#[test]
fn an_opening_beyond_the_limit_of_open_files_says_so() {
    let ground = Ground::real();
    let engine = ground.open();
    append(&engine, B, 1..2, 1);
    engine.close().unwrap();
    // The lowest limits do not let the program itself start, depending on what it inherits.
    let answers: Vec<String> = (4..24)
        .map(|limit| open_with_few_files(&ground, limit, Some("blocking")))
        .filter(|answer| answer.contains("running 1 test"))
        .collect();
    let refused = answers
        .iter()
        .filter(|answer| answer.contains("the limit of open files is reached: ") && answer.contains(", true"));
    let refused = refused.count();
    assert!(refused >= 3, "{answers:#?}");
    let opened = answers.iter().filter(|answer| answer.contains("opened ")).count();
    assert!(opened > 0 && refused + opened == answers.len(), "{answers:#?}");
}

/// What a process says that may have so many files open and opens the log.
fn open_with_few_files(ground: &Ground, limit: u32, backend: Option<&str>) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "openings::open_files_are_bounded_by_segments_in_use", "--nocapture", "--test-threads=1"])
        .env(ROLE, &ground.config.dir)
        .envs(backend.map(|backend| ("LOGBOOM_BACKEND", backend)))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
