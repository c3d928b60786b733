//! Opening directories.

use std::{
    env, fs,
    io::{ErrorKind, Write},
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use logboom_disk::{
    Backend, BackendChoice, DirectChoice, DiskOptions, Mode, OpenError, Owner, Sync, open, open_read_only,
};

use crate::{assert_filled, dir, filled, options_with, prepared, read, real};

#[test]
fn one_disk_at_a_time_has_a_directory() {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        let Some(disk) = real(dir.path(), choice) else { continue };
        let error = open(dir.path(), &impatient()).unwrap_err();
        assert!(matches!(&error, OpenError::Locked { owner: Some(Owner::This), .. }), "{error}");
        assert!(error.to_string().contains("in use by this process"), "{error}");
        drop(disk);
        open(dir.path(), &impatient()).unwrap();
    }
}

#[test]
fn whatever_may_still_write_keeps_the_directory_locked() {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        let Some(disk) = real(dir.path(), choice) else { continue };
        let file = prepared(&disk, "a", 1);
        let reader = disk.open("a", Mode::Read).unwrap();
        let queue = disk.queue().unwrap();
        drop(disk);
        assert!(matches!(open(dir.path(), &impatient()), Err(OpenError::Locked { .. })), "the queue and a file");
        drop(file);
        assert!(matches!(open(dir.path(), &impatient()), Err(OpenError::Locked { .. })), "the queue");
        drop(queue);
        open(dir.path(), &impatient()).unwrap();
        drop(reader);
    }
}

#[test]
fn opening_waits_for_the_lock() {
    let dir = dir();
    let disk = open(dir.path(), &DiskOptions::default()).unwrap();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(disk);
    });
    open(dir.path(), &DiskOptions::default()).unwrap();
    thread.join().unwrap();
}

#[test]
fn waiting_for_the_lock_has_an_end() {
    let dir = dir();
    let _disk = open(dir.path(), &DiskOptions::default()).unwrap();
    let began = Instant::now();
    let mut options = DiskOptions::default();
    options.lock_wait = Duration::from_millis(40);
    assert!(matches!(open(dir.path(), &options), Err(OpenError::Locked { .. })));
    assert!(began.elapsed() >= Duration::from_millis(40));
}

#[test]
fn a_patience_without_end_is_no_overflow() {
    let dir = dir();
    drop(open(dir.path(), &options_with(|it| it.lock_wait = Duration::MAX)).unwrap());
}

#[test]
fn a_missing_directory_is_created_only_if_wanted() {
    let parent = dir();
    let path = parent.path().join("log");
    let mut options = DiskOptions::default();
    options.create = false;
    assert!(matches!(open(&path, &options), Err(OpenError::NotFound { .. })));
    assert!(matches!(open_read_only(&path, &DiskOptions::default()), Err(OpenError::NotFound { .. })));
    assert!(!path.exists());
    assert!(matches!(open(&path.join("deeper"), &DiskOptions::default()), Err(OpenError::NotFound { .. })));
    open(&path, &DiskOptions::default()).unwrap();
    assert!(path.is_dir());
}

#[test]
fn a_file_is_no_directory() {
    let parent = dir();
    let path = parent.path().join("file");
    fs::write(&path, "").unwrap();
    assert!(matches!(open(&path, &DiskOptions::default()), Err(OpenError::NotADirectory { .. })));
    assert!(matches!(open_read_only(&path, &DiskOptions::default()), Err(OpenError::NotADirectory { .. })));
}

#[test]
fn a_second_process_may_read() {
    for choice in [BackendChoice::Ring, BackendChoice::Blocking] {
        let dir = dir();
        let Some(disk) = real(dir.path(), choice) else { continue };
        let unit = disk.facts().pad_unit;
        prepared(&disk, "a", 4).write_at(&[filled(1, 4 * unit)], 0, Sync::Data).unwrap();

        let mut options = DiskOptions::default();
        options.backend = choice;
        let reading = open_read_only(dir.path(), &options).unwrap();
        let file = reading.open("a", Mode::Read).unwrap();
        assert_filled(&read(&file, unit, unit), 1);
        assert!(reading.list().unwrap().contains(&"a".to_owned()));
        assert!(reading.queue().is_ok());
        for denied in [
            reading.open("a", Mode::Write).map(drop),
            reading.open("b", Mode::Create).map(drop),
            reading.rename("a", "b"),
            reading.remove("a"),
            reading.sync_dir(),
        ] {
            assert_eq!(denied.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
        }
    }
}

#[test]
fn a_lock_that_points_elsewhere_is_not_followed() {
    let dir = dir();
    let target = dir.path().join("precious");
    fs::write(&target, "content").unwrap();
    symlink(&target, dir.path().join("LOCK")).unwrap();
    assert!(matches!(open(dir.path(), &impatient()), Err(OpenError::Io { .. })));
    assert_eq!(fs::read(&target).unwrap(), b"content");
}

#[test]
fn reading_leaves_no_trace_and_needs_no_permission_to_write() {
    let dir = dir();
    fs::write(dir.path().join("a"), vec![3; 8192]).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let disk = open_read_only(dir.path(), &DiskOptions::default()).unwrap();
    assert_filled(&read(&disk.open("a", Mode::Read).unwrap(), 0, 8192), 3);
    assert_eq!(disk.list().unwrap(), ["a"]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Opening a pipe would wait for a writer, and `/dev/zero` has no end.
#[test]
fn what_is_no_regular_file_is_not_opened() {
    let dir = dir();
    let here = dir.path();
    fs::create_dir(here.join("folder")).unwrap();
    symlink("/dev/zero", here.join("endless")).unwrap();
    assert!(Command::new("mkfifo").arg(here.join("pipe")).status().unwrap().success());
    fs::write(here.join("file"), vec![3; 8192]).unwrap();
    symlink("file", here.join("link")).unwrap();
    let disk = open(here, &DiskOptions::default()).unwrap();
    for name in ["folder", "endless", "pipe"] {
        for mode in [Mode::Read, Mode::Write] {
            let error = disk.open(name, mode).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(name), "{name}: {error}");
        }
        assert_eq!(disk.open(name, Mode::Create).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    assert_filled(&read(&disk.open("link", Mode::Read).unwrap(), 0, 8192), 3);
}

#[test]
fn only_regular_files_of_the_directory_itself_are_in_it() {
    let dir = dir();
    let disk = open(dir.path(), &DiskOptions::default()).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    assert_eq!(disk.list().unwrap(), ["LOCK"]);
    for name in ["", ".", "..", "folder/a", "../a", "a\0b"] {
        for mode in [Mode::Create, Mode::Read] {
            assert_eq!(disk.open(name, mode).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
        assert_eq!(disk.remove(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}

#[test]
fn the_report_says_what_was_decided() {
    let dir = dir();
    let disk = open(dir.path(), &DiskOptions::default()).unwrap();
    let facts = disk.facts();
    eprintln!("{facts}");
    assert!(facts.pad_unit.is_power_of_two() && facts.pad_unit >= 512);
    assert!(4096 % facts.memory_align == 0);
    assert_ne!(facts.backend, Backend::Simulated);
    let report = facts.to_string();
    for word in [facts.backend.to_string(), facts.sync_method.to_string(), facts.file_system.clone()] {
        assert!(report.contains(&word), "{word} is missing in\n{report}");
    }
}

#[test]
fn demands_are_met_or_refused() {
    let dir = dir();
    let mut options = DiskOptions::default();
    options.direct = DirectChoice::Off;
    options.pad_unit = Some(16384);
    let disk = open(dir.path(), &options).unwrap();
    assert!(!disk.facts().direct);
    assert_eq!(disk.facts().pad_unit, 16384);
    let file = prepared(&disk, "a", 1);
    file.write_at(&[filled(1, 128).slice(3..100)], 7, Sync::Data).unwrap();
    let mut region = logboom_disk::Pool::new(0).region(64);
    file.read_at(&mut region, 7).unwrap();
    assert_filled(&region, 1);
    drop((disk, file));

    let refused = |options: DiskOptions, field: &str| match open(dir.path(), &options) {
        Err(OpenError::Backend { what, .. }) => assert!(what.contains(field), "{what}"),
        other => panic!("{other:?}"),
    };
    for unit in [0, 1000, 1 << 20] {
        refused(options_with(|it| it.pad_unit = Some(unit)), "pad_unit");
    }
    for queue_depth in [0, 4097, u32::MAX] {
        refused(options_with(|it| it.queue_depth = queue_depth), "queue_depth");
    }
    drop(open(dir.path(), &options_with(|it| it.queue_depth = 4096)).unwrap());
    let mut lowered = DiskOptions::default();
    lowered.pad_unit = Some(512);
    let needed = open(dir.path(), &DiskOptions::default()).unwrap().facts().pad_unit;
    assert_eq!(open(dir.path(), &lowered).unwrap().facts().pad_unit, needed);
}

/// The environment decides over the options. It is that of the whole process, so each demand is made in a child.
#[test]
fn the_environment_forces_a_backend() {
    for (demand, reported) in [("blocking", "blocking demanded by LOGBOOM_BACKEND"), ("rign", "\"rign\": it must be")] {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "opening::forced", "--nocapture"])
            .env("LOGBOOM_BACKEND", demand)
            .env(FORCED, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains(reported), "{demand}: {child:?}");
    }
}

/// Not a test of its own: what runs in the child.
#[test]
fn forced() {
    if env::var_os(FORCED).is_none() {
        return;
    }
    let (dir, mut out) = (dir(), std::io::stdout());
    match open(dir.path(), &options_with(|it| it.backend = BackendChoice::Ring)) {
        Ok(disk) => writeln!(out, "{} {}", disk.facts().backend, disk.facts().backend_reason).unwrap(),
        Err(error) => writeln!(out, "{error}").unwrap(),
    }
}

const FORCED: &str = "LOGBOOM_TEST_FORCED";

#[test]
fn a_file_system_in_memory_is_not_trusted_with_direct_io() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: no /dev/shm");
        return;
    };
    let disk = open(dir.path(), &DiskOptions::default()).unwrap();
    if disk.facts().file_system == "tmpfs" {
        assert!(!disk.facts().direct);
        assert!(disk.facts().direct_reason.contains("tmpfs"));
    }
    let unit = disk.facts().pad_unit;
    let file = prepared(&disk, "a", 2);
    file.write_at(&[filled(1, unit)], unit as u64, Sync::Data).unwrap();
    assert_filled(&read(&file, unit, unit), 1);
}

fn impatient() -> DiskOptions {
    options_with(|it| it.lock_wait = Duration::ZERO)
}
