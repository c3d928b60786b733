//! Tests that need root, another user or a file system of their own. They report a skip where these are not available.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not find is its failure")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use libtest_mimic::{Arguments, Failed, Trial};
use logboom::{Capacity, Config, Engine, EntryId, Error, ShardId};
use tempfile::TempDir;

/// Set in a child process: the directory that it is to open as another user.
const ROLE: &str = "LOGBOOM_TEST_OTHER_USER";
const NOBODY: u32 = 65_534;
type Test = fn() -> Result<(), Failed>;

const SHARD: ShardId = ShardId(1);

fn main() {
    if let Ok(dir) = std::env::var(ROLE) {
        return open_as_other_user(Path::new(&dir));
    }
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 6] = [
        ("another_user_has_no_permission", another_user_has_no_permission),
        ("a_read_only_mount_is_refused_and_can_be_viewed", a_read_only_mount),
        ("a_device_that_is_full_at_opening", a_device_that_is_full_at_opening),
        ("a_device_that_is_full_for_checkpoints", a_device_that_is_full_for_checkpoints),
        ("a_device_that_fills_up", a_device_that_fills_up),
        ("a_copy_that_shares_its_blocks_opens_on_xfs", a_copy_that_shares_its_blocks),
    ];
    let root = rustix::process::geteuid().is_root();
    let can_mount = root && Mount::new(16).is_ok();
    let can_mount_xfs = root && Mount::xfs(400).is_ok();
    let trials = tests.map(|(name, test)| {
        let possible = match name {
            _ if name.starts_with("another") => root,
            _ if name.ends_with("on_xfs") => can_mount_xfs,
            _ => can_mount,
        };
        Trial::test(name, test).with_ignored_flag(!possible)
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn config(dir: impl Into<PathBuf>) -> Config {
    let mut config = Config::new(dir);
    config.segment_bytes = 256 << 10;
    config.reserve_segments = 1;
    config
}

fn temp_dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn write(engine: &Engine, index: u64, bytes: usize) -> Result<(), Error> {
    let mut batch = engine.batch();
    batch.append_payload(SHARD, EntryId { index, term: 1 }, Bytes::from(vec![1; bytes])).unwrap();
    engine.write(batch)
}

fn another_user_has_no_permission() -> Result<(), Failed> {
    let dir = TempDir::new()?;
    let log = dir.path().join("log");
    Engine::open(config(&log))?.close()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&log, fs::Permissions::from_mode(0o700))?;
    // The build directory may be closed to others: the child runs from a copy.
    let copy = dir.path().join("child");
    fs::copy(std::env::current_exe()?, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let output = Command::new(&copy).env(ROLE, &log).uid(NOBODY).gid(NOBODY).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.trim() != "permission" {
        return Err(format!("{said:?} {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Engine::open(config(&log))?.close()?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn open_as_other_user(dir: &Path) {
    match Engine::open(config(dir)) {
        Err(Error::Permission { .. }) => println!("permission"),
        other => println!("{other:?}"),
    }
}

fn a_read_only_mount() -> Result<(), Failed> {
    let mount = Mount::new(64)?;
    let log = mount.path().join("log");
    let engine = Engine::open(config(&log))?;
    write(&engine, 1, 100)?;
    engine.close()?;
    mount.remount("ro")?;
    match Engine::open(config(&log)) {
        Err(Error::ReadOnly { .. }) => {}
        other => return Err(format!("{other:?}").into()),
    }
    let view = Engine::open_read_only(config(&log))?;
    assert_eq!(view.shard(SHARD).entries(1..2, 0)?.len(), 1);
    drop(view);
    mount.remount("rw")?;
    Engine::open(config(&log))?.close()?;
    Ok(())
}

fn a_device_that_is_full_at_opening() -> Result<(), Failed> {
    let mount = Mount::new(16)?;
    let log = mount.path().join("log");
    let filler = mount.fill()?;
    match Engine::open(config(&log)) {
        Err(Error::Full { .. }) => {}
        other => return Err(format!("a new log: {other:?}").into()),
    }
    fs::remove_file(&filler)?;
    let engine = Engine::open(config(&log))?;
    write(&engine, 1, 100)?;
    // An existing log keeps a segment back for this, once it had the time to prepare one.
    until("a segment is prepared", || engine.metrics().log.prepared_segments > 0)?;
    engine.close()?;
    let filler = mount.fill()?;
    let engine = Engine::open(config(&log))?;
    assert_eq!(engine.shard(SHARD).last(), Some(1));
    match engine.close() {
        // Without room for a checkpoint the next opening takes longer, and that is all.
        Ok(()) | Err(Error::Full { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    fs::remove_file(filler)?;
    let engine = Engine::open(config(&log))?;
    assert_eq!(engine.shard(SHARD).last(), Some(1));
    engine.close()?;
    Ok(())
}

fn a_device_that_fills_up() -> Result<(), Failed> {
    let mount = Mount::new(24)?;
    let engine = Engine::open(config(mount.path().join("log")))?;
    let mut next = 1;
    let full = loop {
        match write(&engine, next, 30_000) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full { capacity: Capacity::Device, .. }), "{full:?}");
    assert!(next > 100, "{next} entries fitted");
    assert!(engine.health().poisoned().is_none(), "a full device is not poison");
    assert_eq!(engine.shard(SHARD).entries(1..next, 40_000)?.len(), 1);

    // Compacting drains it.
    let mut batch = engine.batch();
    batch.compact_through(SHARD, next - 2)?;
    engine.write(batch)?;
    let begun = std::time::Instant::now();
    while let Err(error) = write(&engine, next, 30_000) {
        assert!(matches!(error, Error::Full { capacity: Capacity::Device, .. }), "{error:?}");
        assert!(begun.elapsed().as_secs() < 20, "space does not come back: {:?}", engine.metrics());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    engine.close()?;
    let engine = Engine::open(config(mount.path().join("log")))?;
    assert_eq!((engine.shard(SHARD).first(), engine.shard(SHARD).last()), (Some(next - 1), Some(next)));
    engine.close()?;
    Ok(())
}

/// Neither a checkpoint nor a new segment has room: nothing is reclaimed, which is shown, until there is some again.
fn a_device_that_is_full_for_checkpoints() -> Result<(), Failed> {
    let mount = Mount::new(24)?;
    let engine = Engine::open(config(mount.path().join("log")))?;
    write(&engine, 1, 100)?;
    until("segments are prepared", || engine.metrics().log.prepared_segments > 0)?;
    let filler = mount.fill()?;
    // More than the slots were made for: the next checkpoint has to make one larger.
    for key in 0..3 {
        let mut batch = engine.batch();
        batch.put(SHARD, &[key], &[key; 40_000])?;
        engine.write(batch)?;
    }
    let mut next = 2;
    let mut append = || {
        let mut batch = engine.batch();
        batch
            .append_payload(SHARD, EntryId { index: next, term: 1 }, Bytes::from(vec![7; 20_000]))?
            .compact_through(SHARD, next - 1)?;
        engine.write(batch).inspect(|()| next += 1)
    };
    let full = loop {
        if let Err(error) = append() {
            break error;
        }
    };
    assert!(matches!(full, Error::Full { capacity: Capacity::Device, .. }), "{full:?}");
    until("the failure is shown", || engine.health().is_degraded() && engine.health().serves())?;
    assert!(engine.health().poisoned().is_none(), "a full device is not poison");

    fs::remove_file(filler)?;
    until("it goes on", || append().is_ok())?;
    for _ in 0..50 {
        append()?;
    }
    until("space comes back", || engine.health().is_good() && engine.segments().len() < 6)?;
    let last = next - 1;
    engine.close()?;
    let engine = Engine::open(config(mount.path().join("log")))?;
    let shard = engine.shard(SHARD);
    assert_eq!((shard.last(), shard.scan(..)?.len()), (Some(last), 3));
    drop(shard);
    engine.close()?;
    Ok(())
}

fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Failed> {
    let begun = std::time::Instant::now();
    while !condition() {
        if begun.elapsed().as_secs() > 20 {
            return Err(format!("waited in vain: {what}").into());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

/// Files that share blocks with others (`cp --reflink`) need a coarser alignment for direct IO than those that a log is
/// written to.
fn a_copy_that_shares_its_blocks() -> Result<(), Failed> {
    let mount = Mount::xfs(400)?;
    let (log, copy) = (mount.path().join("log"), mount.path().join("copy"));
    let engine = Engine::open(config(&log))?;
    for index in 1..60 {
        write(&engine, index, 10_000)?;
    }
    engine.close()?;
    run(Command::new("cp").args(["-r", "--reflink=always"]).arg(&log).arg(&copy))?;

    let view = Engine::open_read_only(config(&copy))?;
    assert_eq!(view.shard(SHARD).entries(1..60, u64::MAX)?.len(), 59);
    let disk = logboom::disk::open_read_only(&copy, &logboom::DiskOptions::default())?;
    let report = logboom_wal::verify(disk, logboom_wal::Options::default(), &mut |_, _| ())?;
    assert!(report.damages.is_empty() && report.records > 50, "{report:?}");
    drop(view);

    for index in 60..120 {
        let engine = Engine::open(config(&copy))?;
        write(&engine, index, 10_000)?;
        assert_eq!(engine.shard(SHARD).entries(1..index + 1, u64::MAX)?.len() as u64, index);
        engine.close()?;
    }
    assert_eq!(Engine::open(config(&log))?.shard(SHARD).last(), Some(59), "the original is what it was");
    Ok(())
}

/// A small file system in a file: ext4, unless it says otherwise.
struct Mount {
    dir: TempDir,
}

impl Mount {
    fn new(mib: u64) -> Result<Self, Failed> {
        Self::made_by(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^has_journal"]), mib)
    }

    fn xfs(mib: u64) -> Result<Self, Failed> {
        Self::made_by(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]), mib)
    }

    fn made_by(make: &mut Command, mib: u64) -> Result<Self, Failed> {
        let dir = temp_dir();
        let image = dir.path().join("image");
        fs::File::create(&image)?.set_len(mib << 20)?;
        run(make.arg(&image))?;
        let mount = Self { dir };
        fs::create_dir(mount.path())?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(mount.path()))?;
        Ok(mount)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn remount(&self, how: &str) -> Result<(), Failed> {
        retried(Command::new("mount").arg("-o").arg(format!("remount,{how}")).arg(self.path()))
    }

    /// Takes all the space there is.
    fn fill(&self) -> Result<PathBuf, Failed> {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path)?;
        for block in [1 << 20, 1 << 12] {
            while std::io::Write::write_all(&mut file, &vec![1; block]).is_ok() {}
        }
        drop(file.sync_all());
        Ok(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(retried(Command::new("umount").arg(self.path())));
    }
}

/// Runs a command until it succeeds: the kernel lets go of a ring's files a little after the ring was closed.
fn retried(command: &mut Command) -> Result<(), Failed> {
    let begun = std::time::Instant::now();
    loop {
        match run(command) {
            Err(_) if begun.elapsed().as_secs() < 5 => std::thread::sleep(std::time::Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

fn run(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
