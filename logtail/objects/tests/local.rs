//! A local directory: whose it is, crashes, power cuts, rights, and a disk that is full.

use std::{
    fs,
    ops::Range,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use bytes::Bytes;
use logboom_logtail_core::{
    ObjectId, TableId,
    store::{Name, ObjectName, Outcome, Page, Reply, Request, StoreErrorKind, Urgency},
};
use logboom_logtail_objects::{Objects, OpenError, Options};

fn open(directory: &Path) -> Objects {
    try_open(directory, b"log").expect("the store opens")
}

fn try_open(directory: &Path, identity: &[u8]) -> Result<Objects, OpenError> {
    Objects::open(directory.to_str().expect("a path in UTF-8"), identity, Options::default())
}

fn object(number: u64) -> Name {
    ObjectName { table: TableId(1), id: ObjectId { nonce: 7, number } }.name()
}

/// Every other one in the background.
fn put(number: u64, bytes: &[u8]) -> Request {
    let urgency = if number.is_multiple_of(2) { Urgency::Background } else { Urgency::Now };
    Request::Put { name: object(number), bytes: Bytes::copy_from_slice(bytes), urgency }
}

fn get(name: &Name, range: Range<u64>) -> Request {
    Request::Get { name: name.clone(), ranges: vec![range] }
}

fn list(objects: &Objects) -> Page {
    match objects.call(Request::List { folder: Some(ObjectName::folder(TableId(1))), after: None, max: 1_000_000 }) {
        Ok(Reply::Listed(page)) => page,
        outcome => panic!("{outcome:?}"),
    }
}

fn read(objects: &Objects, name: &Name, bytes: u64) -> Bytes {
    match objects.call(get(name, 0..bytes)) {
        Ok(Reply::Got(mut parts)) => parts.remove(0),
        outcome => panic!("{name}: {outcome:?}"),
    }
}

/// Waits until something fails; the text of that.
fn failure(objects: &Objects) -> (StoreErrorKind, String) {
    loop {
        if let Some(last) = objects.health().last {
            return (last.kind, format!("{last:#}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Submits, for an outcome that comes when the test has changed something.
fn submit(objects: &Objects, request: Request) -> mpsc::Receiver<Outcome> {
    let (sender, outcome) = mpsc::channel();
    objects.submit(request, move |outcome| _ = sender.send(outcome));
    outcome
}

#[test]
fn objects_of_several_pieces_are_put_whole() {
    let directory = tempfile::tempdir().unwrap();
    let objects = open(directory.path());
    // A piece and a byte, and several pieces, each in the background and not.
    let lens = [128 << 10 | 1, 128 << 10 | 1, 1 << 20 | 1, 1 << 20 | 1, 3 << 20, 3 << 20];
    for (number, len) in (0..).zip(lens) {
        let bytes: Vec<u8> = (number..).map(|at: u64| (at / 1000).to_le_bytes()[0]).take(len).collect();
        objects.call(put(number, &bytes)).unwrap();
        assert!(read(&objects, &object(number), bytes.len() as u64) == bytes, "object {number}");
    }
}

#[test]
fn a_directory_is_one_logs() {
    let directory = tempfile::tempdir().unwrap();
    let objects = open(directory.path());
    objects.call(put(1, b"x")).unwrap();
    match try_open(directory.path(), &[0xab, 0xcd]).unwrap_err() {
        OpenError::Foreign { found, expected, .. } => assert_eq!((&*found, &*expected), ("6c6f67", "abcd")),
        error => panic!("{error:#}"),
    }
    drop(objects);
    assert_eq!(list(&open(directory.path())).objects.len(), 1, "its own log opens it again");
    assert_eq!(fs::read(directory.path().join("LOGBOOM")).unwrap(), b"logboom objects 1\n6c6f67\n");

    fs::write(directory.path().join("LOGBOOM"), "logboom objects 2\n6c6f67\n").unwrap();
    let error = try_open(directory.path(), b"log").unwrap_err();
    assert!(format!("{error:#}").ends_with("the store has format version 2, this version reads up to 1"), "{error:#}");
    fs::write(directory.path().join("LOGBOOM"), vec![b'l'; 1 << 20]).unwrap();
    assert!(matches!(try_open(directory.path(), b"log").unwrap_err(), OpenError::Marker { .. }));
}

#[test]
fn new_directories_are_for_the_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a/b");
    let objects = open(&root);
    objects.call(put(1, b"x")).unwrap();
    for folder in [directory.path().join("a"), root.clone(), root.join("t1")] {
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

#[test]
fn a_file_that_was_being_written_is_no_object() {
    let directory = tempfile::tempdir().unwrap();
    let objects = open(directory.path());
    objects.call(put(1, b"whole")).unwrap();
    let staged = directory.path().join(format!("{}#1", object(2)));
    let kept = directory.path().join("t1/notes.txt#x");
    fs::write(&staged, b"half of i").unwrap();
    fs::write(&kept, b"").unwrap();
    assert!(list(&objects).objects.iter().map(|listed| &listed.name).eq([&object(1)]));
    assert_eq!(objects.call(get(&object(2), 0..4)).unwrap_err().kind, StoreErrorKind::NotFound);
    objects.call(put(2, b"half of it, and the rest")).unwrap();
    assert_eq!(read(&objects, &object(2), 10), "half of it");
    drop(objects);

    fs::write(&staged, b"half of i").unwrap();
    let objects = open(directory.path());
    assert_eq!(list(&objects).objects.len(), 2);
    assert!(!staged.exists() && kept.exists(), "it is removed before anything else is done, and no other file is");
}

/// Set in the process that [`child`] is for: the directory.
const CHILD: &str = "LOGBOOM_OBJECTS_CHILD";

/// This process again, which runs [`child`] alone.
fn start_child(directory: &Path, through: &[&str]) -> Child {
    let own = std::env::current_exe().expect("a path");
    let own = own.to_str().expect("a path in UTF-8");
    let mut words = through.iter().copied().chain([own, "--exact", "child", "--nocapture"]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env(CHILD, directory).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// The size of an object of the child, and its bytes.
const CHILD_BYTES: usize = 3 << 20;

fn child_content(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap_or_default(); CHILD_BYTES]
}

/// Puts objects until it is killed, or one where that is asked for; of use to other tests alone.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let directory = Path::new(&directory);
    let objects = open(directory);
    let first = list(&objects).objects.len() as u64;
    let is_one = directory.join("one").exists();
    for number in first..if is_one { first + 1 } else { u64::MAX } {
        objects.call(put(number, &child_content(number))).unwrap();
        fs::write(directory.join("done"), number.to_string()).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_whole_objects() {
    let directory = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::new();
    for _ in 0..5 {
        let before = open(directory.path());
        let count = list(&before).objects.len();
        drop(before);
        let mut child = start_child(directory.path(), &[]);
        let folder = directory.path().join("t1");
        // At any point of a put: files come and go while it is made.
        while fs::read_dir(&folder).into_iter().flatten().count() < count + 2 {
            std::thread::sleep(Duration::from_micros(rng.u64(0..3000)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let objects = open(directory.path());
        let page = list(&objects);
        for (number, listed) in page.objects.iter().enumerate() {
            assert_eq!((&listed.name, listed.bytes), (&object(number as u64), CHILD_BYTES as u64));
        }
        if let Some(last) = page.objects.last() {
            let content = child_content(page.objects.len() as u64 - 1);
            assert!(read(&objects, &last.name, CHILD_BYTES as u64) == content, "{}", last.name);
        }
        let done: u64 = fs::read_to_string(directory.path().join("done")).map_or(0, |text| text.parse().unwrap_or(0));
        assert!(page.objects.len() as u64 > done, "an object that was answered for is gone");
    }
}

/// What a power cut would take away is not asked of this machine; that each step is synced before the next one is.
#[test]
fn a_put_syncs_file_and_folders_before_it_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("new");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("one"), "").unwrap();
    let trace = directory.path().join("trace");
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: no strace");
        return;
    }
    let calls = "trace=fsync,fdatasync,link,linkat,mkdir,mkdirat,write,pwrite64";
    let strace = ["strace", "-f", "-y", "-e", calls, "-o", trace.to_str().unwrap()];
    if !start_child(&root, &strace).wait().unwrap().success() {
        eprintln!("skipped: strace cannot trace here");
        return;
    }
    let trace = fs::read_to_string(&trace).unwrap();
    let (name, root) = (object(0), root.canonicalize().unwrap().display().to_string());
    let staged = format!("<{root}/{name}#1>");
    let at = |call: &str, what: &str| {
        let line = trace.lines().position(|line| line.contains(call) && line.contains(what));
        line.unwrap_or_else(|| panic!("no {call} of {what} in\n{trace}"))
    };
    let last = |call: &str, what: &str| {
        let line = trace.lines().collect::<Vec<_>>();
        line.iter().rposition(|line| line.contains(call) && line.contains(what)).unwrap_or_default()
    };
    let folder_created = at("mkdir", &format!("\"{root}/t1\""));
    let folder_synced = trace
        .lines()
        .skip(folder_created)
        .position(|line| line.contains("fsync(") && line.contains(&format!("<{root}>")));
    let folder_synced = folder_created + folder_synced.expect("the folder's entry is synced");
    let written = last("write", &staged);
    let synced = at("fsync(", &staged);
    let linked = at("link", &format!("\"{root}/{name}\""));
    let entry_synced = last("fsync(", &format!("<{root}/t1>"));
    let told = at("write(", "/done>");
    let order = [folder_created, folder_synced, written, synced, linked, entry_synced, told];
    assert!(order.is_sorted_by(|one, next| one < next), "{order:?} in\n{trace}");
}

#[test]
fn two_writers_with_the_same_names_find_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    assert_eq!(one.call(put(1, b"content")).unwrap(), Reply::Put);
    assert_eq!(other.call(put(1, b"content")).unwrap(), Reply::Put, "the same content: it may be a retry");
    let error = other.call(put(1, b"Content")).unwrap_err();
    assert_eq!(error.to_string(), format!("put {}: another writer has created it with other content", object(1)));
    assert_eq!(read(&one, &object(1), 7), "content");
}

#[test]
fn an_unmounted_directory_is_not_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let (root, aside) = (directory.path().join("mount"), directory.path().join("aside"));
    let mut options = Options::default();
    options.reads.patience = Some(Duration::ZERO);
    options.writes.patience = Some(Duration::ZERO);
    let objects = Objects::open(root.to_str().unwrap(), b"log", options).unwrap();
    objects.call(put(1, b"x")).unwrap();
    fs::rename(&root, &aside).unwrap();
    for what in ["no directory", "an empty one"] {
        let list = Request::List { folder: None, after: None, max: 10 };
        for request in [get(&object(1), 0..1), list, put(2, b"y"), Request::Delete { name: object(1) }] {
            let text = format!("{what}: {request:?}");
            assert_eq!(objects.call(request).expect_err(&text).kind, StoreErrorKind::Unavailable, "{text}");
        }
        fs::create_dir_all(&root).unwrap();
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "nothing is written below a mount point");
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    assert_eq!(read(&objects, &object(1), 1), "x");
}

/// The store runs on the threads of a user without rights, which only root can make.
#[test]
fn a_right_that_is_missing_is_named_and_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = directory.path().join("objects");
    fs::create_dir(&root).unwrap();
    if chown(&root, Some(65534), None).is_err() {
        eprintln!("skipped: only root can make the threads of another user");
        return;
    }
    let (sealed, location) = (directory.path().join("sealed"), root.to_str().unwrap().to_owned());
    fs::create_dir(&sealed).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o700)).unwrap();
    let other = std::thread::spawn(move || {
        // Of this thread and those that it starts.
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        let error = Objects::open(sealed.to_str().unwrap(), b"log", Options::default()).unwrap_err();
        assert!(format!("{error:#}").contains("Permission denied"), "{error:#}");
        Objects::open(&location, b"log", Options::default()).unwrap()
    });
    let objects = other.join().unwrap();
    objects.call(put(1, b"x")).unwrap();
    let (folder, file) = (root.join("t1"), root.join(object(1).as_str()));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let waiting = submit(&objects, put(2, b"y"));
    let (kind, text) = failure(&objects);
    assert_eq!(kind, StoreErrorKind::Denied, "{text}");
    assert!(text.starts_with(&format!("put {}: access is denied: ", object(2))), "{text}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let error = objects.call(get(&object(1), 0..1)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "a reader is told at once: {error:#}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(waiting.recv().unwrap().unwrap(), Reply::Put);
    assert_eq!(objects.health().failing, 0);
}

/// A file system of one megabyte, until this is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(at).stderr(Stdio::null()).status();
        mount.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let objects = open(disk.0);
    objects.call(put(1, &[1; 600_000])).unwrap();
    let waiting = submit(&objects, put(2, &[2; 600_000]));
    let (kind, text) = failure(&objects);
    assert_eq!(kind, StoreErrorKind::Io);
    assert!(text.contains("No space left on device"), "{text}");
    assert_eq!(list(&objects).objects.len(), 1, "nothing of the second has a name");
    assert!(waiting.try_recv().is_err());
    objects.call(Request::Delete { name: object(1) }).unwrap();
    assert_eq!(waiting.recv().unwrap().unwrap(), Reply::Put);
    assert_eq!(read(&objects, &object(2), 600_000), [2; 600_000][..]);
    assert_eq!(fs::read_dir(disk.0.join("t1")).unwrap().count(), 1, "no file is left that was being written");
    drop(objects);
}
