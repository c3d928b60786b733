//! Files and directories.

use std::io::ErrorKind;

use logboom_disk::{Mode, Pool, Sync};

use crate::{assert_filled, filled, on_each_disk, prepared, read, unit};

#[test]
fn what_is_written_is_read() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 8);
        file.write_at(&[filled(1, unit), filled(2, 2 * unit)], unit as u64, Sync::None).unwrap();
        file.write_at(&[filled(3, unit)], 5 * unit as u64, Sync::Data).unwrap();
        let bytes = read(&file, 0, 8 * unit);
        for (at, byte) in [0, 1, 2, 2, 0, 3, 0, 0].into_iter().enumerate() {
            assert_filled(&bytes[at * unit..(at + 1) * unit], byte);
        }
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    });
}

#[test]
fn many_small_slices_are_one_write() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 3000);
        let slices: Vec<_> = (0..3000_u32).map(|number| filled(number.to_le_bytes()[0], unit)).collect();
        file.write_at(&slices, 0, Sync::Data).unwrap();
        let bytes = read(&file, 0, 3000 * unit);
        for (slice, bytes) in slices.iter().zip(bytes.chunks(unit)) {
            assert_filled(bytes, slice[0]);
        }
    });
}

#[test]
fn nothing_is_written_or_read_without_complaint() {
    on_each_disk(|disk| {
        let file = prepared(disk, "a", 1);
        file.write_at(&[], 0, Sync::Data).unwrap();
        file.write_at(&[filled(1, 0)], 0, Sync::None).unwrap();
        assert_eq!(read(&file, 0, 0).len(), 0);
    });
}

#[test]
fn growing_keeps_what_is_there_and_never_shrinks() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 1);
        file.write_at(&[filled(9, unit)], 0, Sync::Data).unwrap();
        file.allocate(4 * unit as u64).unwrap();
        assert_eq!(file.size().unwrap(), 4 * unit as u64);
        file.allocate(unit as u64).unwrap();
        file.allocate(0).unwrap();
        assert_eq!(file.size().unwrap(), 4 * unit as u64);
        assert_filled(&read(&file, 0, unit), 9);
        assert_filled(&read(&file, unit, 3 * unit), 0);
    });
}

#[test]
fn room_that_nothing_was_written_to_is_given_back() {
    on_each_disk(|disk| {
        let unit = unit(disk) as u64;
        let file = prepared(disk, "a", 1);
        file.allocate(10 * unit).unwrap();
        file.shrink(3 * unit).unwrap();
        file.sync_all().unwrap();
        assert_eq!(file.size().unwrap(), 3 * unit);
    });
}

#[test]
fn reading_beyond_the_end_is_an_error() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 2);
        let mut region = Pool::new(0).region(2 * unit);
        for offset in [unit, 2 * unit, 64 * unit] {
            let error = file.read_at(&mut region, offset as u64).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "at {offset}");
        }
    });
}

#[test]
fn modes_mean_what_they_say() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        assert_eq!(disk.open("a", Mode::Read).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.open("a", Mode::Write).unwrap_err().kind(), ErrorKind::NotFound);
        let file = prepared(disk, "a", 1);
        assert_eq!(disk.open("a", Mode::Create).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let reader = disk.open("a", Mode::Read).unwrap();
        disk.open("a", Mode::Write).unwrap().write_at(&[filled(4, unit)], 0, Sync::Data).unwrap();
        assert_filled(&read(&reader, 0, unit), 4);
        for denied in [reader.write_at(&[filled(5, unit)], 0, Sync::None), reader.allocate(1 << 20)] {
            assert_eq!(denied.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(file.name(), "a");
        assert_eq!(reader.size().unwrap(), unit as u64);
    });
}

#[test]
fn names_are_listed_changed_and_removed() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        for name in ["c", "a", "b"] {
            prepared(disk, name, 1);
        }
        assert_eq!(names(disk), ["a", "b", "c"]);
        let file = disk.open("c", Mode::Write).unwrap();
        file.write_at(&[filled(6, unit)], 0, Sync::Data).unwrap();
        disk.rename("c", "a").unwrap();
        disk.remove("b").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(names(disk), ["a"]);
        assert_filled(&read(&disk.open("a", Mode::Read).unwrap(), 0, unit), 6);
        assert_eq!(disk.rename("c", "d").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.remove("b").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_without_a_name_can_still_be_used() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 1);
        disk.remove("a").unwrap();
        disk.sync_dir().unwrap();
        file.write_at(&[filled(3, unit)], 0, Sync::Data).unwrap();
        assert_filled(&read(&file, 0, unit), 3);
    });
}

#[test]
fn misaligned_requests_are_refused_loudly() {
    on_each_disk(|disk| {
        if !disk.facts().direct {
            eprintln!("skipped: no direct IO here: {}", disk.facts().direct_reason);
            return;
        }
        let unit = unit(disk);
        let file = prepared(disk, "a", 4);
        let whole = filled(1, 2 * unit);
        let requests = [
            (whole.slice(..unit), 64),
            (whole.slice(..unit / 2), 0),
            (whole.slice(64..64 + unit), 0),
            (whole.slice(..unit + 1), unit as u64),
        ];
        for (slice, offset) in requests {
            let request = std::panic::AssertUnwindSafe(|| file.write_at(&[slice], offset, Sync::None));
            assert!(std::panic::catch_unwind(request).is_err());
        }
    });
}

#[test]
fn many_reads_come_back_in_order() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 100);
        for at in 0..100_u8 {
            file.write_at(&[filled(at, unit)], u64::from(at) * unit as u64, Sync::None).unwrap();
        }
        let pool = Pool::new(0);
        let request = |at: u64| (file.clone(), pool.region(unit), at * unit as u64);
        // The first is beyond the end, and fails alone.
        let mut results = disk.read_many([200].into_iter().chain((0..100).rev()).map(request).collect()).into_iter();
        let (_, first) = results.next().unwrap();
        assert_eq!(first.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        for (at, (region, result)) in (0..100).rev().zip(results.by_ref()) {
            result.unwrap();
            assert_filled(&region, at);
        }
        assert!(results.next().is_none());
        assert!(disk.read_many(Vec::new()).is_empty());
    });
}

#[test]
fn many_threads_read_at_once() {
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", 64);
        file.write_at(&[filled(7, 64 * unit)], 0, Sync::Data).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let pool = Pool::new(1 << 20);
                        let reads = (0..64).map(|at| (file.clone(), pool.region(unit), at * unit as u64)).collect();
                        for (region, result) in disk.read_many(reads) {
                            result.unwrap();
                            assert_filled(&region, 7);
                        }
                    }
                });
            }
        });
    });
}

fn names(disk: &std::sync::Arc<dyn logboom_disk::Disk>) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name != "LOCK");
    names
}
