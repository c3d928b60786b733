//! What keeps a second writer out: over removals, over forks, and over the end of the process that locked.

use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write, stdin, stdout},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Child, Command, Stdio, exit},
    sync::Arc,
    thread,
    time::Duration,
};

use fork::{Fork, fork, waitpid};
use logboom_disk::{
    BackendChoice, Completion, Disk, DiskOptions, File, Mode, Op, OpKind, OpenError, Owner, Pool, Queue, SimDisk,
    SimOptions, Sync, Wait, open, open_read_only,
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{assert_filled, dir, filled, options_with, prepared, read, real, unit};

/// How somebody takes a directory from a disk, and what the disk says to that.
type Loss = (&'static str, fn(&Path));

const BACKENDS: [BackendChoice; 2] = [BackendChoice::Ring, BackendChoice::Blocking];

#[test]
fn either_lock_keeps_others_out() {
    let dir = dir();
    drop(open(dir.path(), &impatient()).unwrap());
    for path in [dir.path().to_path_buf(), dir.path().join("LOCK")] {
        let held = fs::File::open(path).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_locked(dir.path());
        // Not only closed: a child of another test may have a copy.
        flock(&held, FlockOperation::Unlock).unwrap();
        open(dir.path(), &impatient()).unwrap();
    }
}

#[test]
fn both_locks_are_let_go_of() {
    let dir = dir();
    let disk = open(dir.path(), &impatient()).unwrap();
    let by_hand = [fs::File::open(dir.path()).unwrap(), fs::File::open(dir.path().join("LOCK")).unwrap()];
    let try_both = || by_hand.each_ref().map(|file| flock(file, FlockOperation::NonBlockingLockExclusive));
    assert_eq!(try_both(), [Err(Errno::WOULDBLOCK); 2]);
    drop(disk);
    assert_eq!(try_both(), [Ok(()); 2]);
}

#[test]
fn removing_the_lock_file_lets_nobody_in() {
    for choice in BACKENDS {
        let dir = dir();
        let Some(disk) = real(dir.path(), choice) else { continue };
        disk.still_ours().unwrap();
        fs::remove_file(dir.path().join("LOCK")).unwrap();
        assert_locked(dir.path());
        assert!(!dir.path().join("LOCK").exists(), "who is kept out leaves nothing");
        drop(disk);
        open(dir.path(), &impatient()).unwrap().still_ours().unwrap();
    }
}

#[test]
fn whoever_lost_the_directory_changes_nothing_in_it_any_more() {
    let losses: [Loss; 5] = [
        ("LOCK was removed", |dir| fs::remove_file(dir.join("LOCK")).unwrap()),
        ("LOCK in the directory was replaced", |dir| {
            fs::rename(dir.join("LOCK"), dir.join("aside")).unwrap();
            fs::write(dir.join("LOCK"), "").unwrap();
        }),
        ("the directory was removed", |dir| fs::remove_dir_all(dir).unwrap()),
        ("the directory is not at", |dir| fs::rename(dir, dir.with_extension("old")).unwrap()),
        ("another directory is at", |dir| {
            fs::rename(dir, dir.with_extension("old")).unwrap();
            fs::create_dir(dir).unwrap();
        }),
    ];
    for choice in BACKENDS {
        for (what, lose) in losses {
            let parent = dir();
            let dir = parent.path().join("log");
            let Some(disk) = real(&dir, choice) else { continue };
            let file = prepared(&disk, "a", 2);
            file.write_at(&[filled(7, unit(&disk))], 0, Sync::Data).unwrap();
            let mut queue = disk.queue().unwrap();
            disk.still_ours().unwrap();
            lose(&dir);
            let error = disk.still_ours().unwrap_err();
            assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(what), "{what}: {error}");
            for outcome in changes(&disk, &file, &mut *queue) {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotFound, "{what}");
            }
            assert_filled(&read(&file, 0, unit(&disk)), 7);
        }
    }
}

#[test]
fn a_disk_for_reading_has_nothing_to_lose() {
    let dir = dir();
    drop(open(dir.path(), &impatient()).unwrap());
    let reading = open_read_only(dir.path(), &impatient()).unwrap();
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    reading.still_ours().unwrap();
}

/// What is in flight of a process that was killed goes on, and a ring keeps open what is registered with it.
#[test]
fn a_ring_holds_both_locks() {
    let dir = dir();
    let Some(disk) = real(dir.path(), BackendChoice::Ring) else { return };
    let _queue = disk.queue().unwrap();
    // `proc_pid_fdinfo(5)`: a ring lists its files, "0: /path".
    let rings = || {
        let infos = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        infos.filter_map(|info| fs::read_to_string(info.path()).ok()).filter(|info| info.contains("UserFiles:"))
    };
    if rings().count() == 0 {
        eprintln!("skipped: this kernel does not tell what is registered with a ring");
        return;
    }
    let path = dir.path().canonicalize().unwrap();
    let held = [path.join("LOCK"), path].map(|path| format!(": {}", path.display()));
    let holds_both = |ring: String| held.iter().all(|file| ring.lines().any(|line| line.ends_with(file)));
    // A ring that is in use just then lists nothing.
    assert!((0..1000).any(|_| rings().any(holds_both)), "{:?}", rings().collect::<Vec<_>>());
}

/// Somebody waits for the lock file, and gets the lock of one that has no name any more.
#[test]
fn a_lock_on_a_file_that_was_replaced_counts_for_nothing() {
    let dir = dir();
    drop(open(dir.path(), &impatient()).unwrap());
    let path = dir.path().join("LOCK");
    let old = fs::File::open(&path).unwrap();
    flock(&old, FlockOperation::LockExclusive).unwrap();
    thread::scope(|scope| {
        let opened = scope.spawn(|| open(dir.path(), &DiskOptions::default()).unwrap());
        thread::sleep(Duration::from_millis(100));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(old);
        let disk = opened.join().unwrap();
        let by_hand = fs::File::open(&path).unwrap();
        assert_eq!(flock(&by_hand, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
        disk.still_ours().unwrap();
    });
}

#[test]
fn a_forked_child_neither_unlocks_nor_writes() {
    for choice in BACKENDS {
        let dir = dir();
        let Some(disk) = real(dir.path(), choice) else { continue };
        let file = prepared(&disk, "a", 2);
        file.write_at(&[filled(7, unit(&disk))], 0, Sync::Data).unwrap();
        let mut queue = disk.queue().unwrap();
        in_a_child(|| {
            assert_eq!(disk.still_ours().unwrap_err().kind(), ErrorKind::PermissionDenied);
            for outcome in changes(&disk, &file, &mut *queue) {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
            assert_filled(&read(&file, 0, unit(&disk)), 7);
            let reads = (0..4).map(|_| (Arc::clone(&file), Pool::new(0).region(unit(&disk)), 0)).collect();
            for (region, outcome) in disk.read_many(reads) {
                outcome.unwrap();
                assert_filled(&region, 7);
            }
            let error = open(dir.path(), &impatient()).unwrap_err();
            let parent = std::os::unix::process::parent_id();
            assert!(matches!(error, OpenError::Locked { owner: Some(Owner::Process(id)), .. } if id == parent));
        });
        let mut all = Some((queue, file, disk));
        in_a_child(|| drop(all.take()));
        assert_locked(dir.path());
        drop(all);
        open(dir.path(), &impatient()).unwrap();
    }
}

/// What a child drops is its copy: what is in flight is its parent's, and completes there.
type MakeQueue = fn(&Arc<dyn Disk>) -> Box<dyn Queue>;

#[test]
fn what_is_in_flight_is_not_the_childs() {
    let queues: [MakeQueue; 2] = [|disk| disk.queue().unwrap(), |disk| disk.movable_queue().unwrap()];
    for choice in BACKENDS {
        for queue in queues {
            let dir = dir();
            let Some(disk) = real(dir.path(), choice) else { continue };
            let file = prepared(&disk, "a", WRITES);
            let queue = queue(&disk);
            fork_in_flight(disk, &file, queue);
            assert_locked(dir.path());
            drop(file);
            open(dir.path(), &impatient()).unwrap();
        }
    }
}

fn fork_in_flight(disk: Arc<dyn Disk>, file: &Arc<dyn File>, mut queue: Box<dyn Queue>) {
    for at in 0..WRITES {
        let slices = vec![filled(7, unit(&disk))];
        let kind = OpKind::Write { slices, offset: at * unit(&disk) as u64, sync: Sync::Data };
        queue.submit(Op { token: at, file: Arc::clone(file), kind });
    }
    let mut completions = Vec::new();
    queue.reap(Wait::No, &mut completions);
    let mut copy = Some((queue, disk));
    in_a_child(|| {
        let (mut queue, disk) = copy.take().unwrap();
        // Until the device has answered, most probably; it is the parent that is answered.
        thread::sleep(Duration::from_millis(100));
        let mut completions = Vec::new();
        queue.reap(Wait::Forever, &mut completions);
        assert!(completions.iter().all(|completion| completion.result.is_err()));
        assert_eq!(queue.in_flight(), 0);
        drop((queue, disk));
    });
    let (mut queue, disk) = copy.take().unwrap();
    while queue.in_flight() > 0 {
        queue.reap(Wait::Forever, &mut completions);
    }
    assert!(completions.len() as u64 == WRITES && completions.iter().all(|one| one.result.is_ok()));
    disk.still_ours().unwrap();
}

const WRITES: u64 = 16;

/// A child that goes on has its parent's open files, and so the locks, when the parent is killed.
#[test]
fn a_child_that_outlives_its_parent_keeps_the_directory_locked() {
    for choice in BACKENDS {
        let dir = dir();
        if real(dir.path(), choice).is_none() {
            continue;
        }
        let mut parent = spawn("forks", dir.path(), choice);
        // Waiting would close it.
        let input = parent.stdin.take();
        parent.kill().unwrap();
        parent.wait().unwrap();
        let error = open(dir.path(), &impatient()).unwrap_err();
        let is_named = matches!(error, OpenError::Locked { owner: Some(Owner::Unseen(id)), .. } if id == parent.id());
        assert!(is_named && error.to_string().contains("a process that it forked"), "{error}");
        // The child ends when its input does.
        drop(input);
        open(dir.path(), &options_with(|it| it.lock_wait = Duration::from_secs(60))).unwrap();
    }
}

/// A process that closes in good order unlocks for all, and a program that was started has no descriptor of ours.
#[test]
fn a_child_is_in_nobodys_way_after_closing_or_executing() {
    for choice in BACKENDS {
        for role in ["forks and closes", "executes"] {
            let dir = dir();
            if real(dir.path(), choice).is_none() {
                continue;
            }
            let mut parent = spawn(role, dir.path(), choice);
            let input = parent.stdin.take();
            if role == "executes" {
                parent.kill().unwrap();
            }
            parent.wait().unwrap();
            open(dir.path(), &DiskOptions::default()).unwrap_or_else(|error| panic!("{role}: {error}"));
            drop(input);
        }
    }
}

/// Not a test of its own: what a process does that is then killed, and the children that it has.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let wait_for_the_end_of_the_input = || drop(stdin().read_to_end(&mut Vec::new()));
    let say = |what: &str| writeln!(stdout(), "{what}").unwrap();
    if role == "waits" {
        wait_for_the_end_of_the_input();
        exit(0);
    }
    let backend = if env::var(BACKEND).unwrap() == "Ring" { BackendChoice::Ring } else { BackendChoice::Blocking };
    let disk = open(Path::new(&env::var(DIR).unwrap()), &options_with(|it| it.backend = backend)).unwrap();
    let queue = disk.queue().unwrap();
    if role == "executes" {
        let mut child = started("waits").spawn().unwrap();
        say(READY);
        child.wait().unwrap();
    } else if let Fork::Child = fork().unwrap() {
        wait_for_the_end_of_the_input();
        exit(0);
    }
    if role == "forks and closes" {
        drop((queue, disk));
        say(READY);
        exit(0);
    }
    say(READY);
    wait_for_the_end_of_the_input();
}

#[test]
fn a_simulated_disk_can_lose_its_lock() {
    let disk = SimDisk::new(1, SimOptions::default());
    assert!(matches!(disk.open_beside(), Err(OpenError::Locked { .. })));
    disk.still_ours().unwrap();
    let file = prepared(&(Arc::clone(&disk) as Arc<dyn Disk>), "a", 1);
    disk.lose_lock();
    let other = disk.open_beside().unwrap();
    assert!(matches!(disk.open_beside(), Err(OpenError::Locked { .. })));
    // Until it looks, it knows nothing.
    file.write_at(&[filled(7, 4096)], 0, Sync::Data).unwrap();
    assert_filled(&read(&other.open("a", Mode::Read).unwrap(), 0, 4096), 7);
    assert_eq!(disk.still_ours().unwrap_err().kind(), ErrorKind::NotFound);
    let disk: Arc<dyn Disk> = disk;
    for outcome in changes(&disk, &file, &mut *disk.queue().unwrap()) {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotFound);
    }
    other.still_ours().unwrap();
    other.open("a", Mode::Write).unwrap().write_at(&[filled(8, 4096)], 0, Sync::Data).unwrap();
    let next = other.process_crash();
    next.still_ours().unwrap();
    assert_filled(&read(&next.open("a", Mode::Read).unwrap(), 0, 4096), 8);
}

/// Tries everything that changes the directory or its file `a`.
fn changes(disk: &Arc<dyn Disk>, file: &Arc<dyn File>, queue: &mut dyn Queue) -> Vec<std::io::Result<()>> {
    let unit = unit(disk);
    let kind = OpKind::Write { slices: vec![filled(1, unit)], offset: 0, sync: Sync::None };
    queue.submit(Op { token: 1, file: Arc::clone(file), kind });
    let mut completions: Vec<Completion> = Vec::new();
    while queue.in_flight() > 0 {
        queue.reap(Wait::Forever, &mut completions);
    }
    let mut outcomes = vec![
        disk.open("a", Mode::Write).map(drop),
        disk.open("b", Mode::Create).map(drop),
        disk.rename("a", "b"),
        disk.remove("a"),
        disk.sync_dir(),
        file.write_at(&[filled(1, unit)], 0, Sync::Data),
        file.allocate(4 * unit as u64),
    ];
    outcomes.extend(completions.into_iter().map(|completion| completion.result));
    outcomes
}

/// Runs `act` in a child that is forked, and sees to it that it ends well.
fn in_a_child(act: impl FnOnce()) {
    match fork().unwrap() {
        Fork::Child => exit(i32::from(catch_unwind(AssertUnwindSafe(act)).is_err())),
        Fork::Parent(child) => assert_eq!(waitpid(child).unwrap(), 0, "the child has failed"),
    }
}

fn assert_locked(dir: &Path) {
    let error = open(dir, &impatient()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

fn impatient() -> DiskOptions {
    options_with(|it| it.lock_wait = Duration::ZERO)
}

const ROLE: &str = "LOGBOOM_TEST_LOCKS_ROLE";
const DIR: &str = "LOGBOOM_TEST_LOCKS_DIR";
const BACKEND: &str = "LOGBOOM_TEST_LOCKS_BACKEND";
const READY: &str = "it is done";

/// This binary, to be started in a role.
fn started(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "locks::role", "--nocapture"]).env(ROLE, role);
    command
}

/// Starts a process in a role, and waits until it says that it is ready.
fn spawn(role: &str, dir: &Path, choice: BackendChoice) -> Child {
    let mut child = started(role)
        .envs([(DIR, dir.to_str().unwrap()), (BACKEND, &format!("{choice:?}"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(READY)), "the process ended by itself");
    child
}
