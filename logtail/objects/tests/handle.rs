//! The handle: callbacks, closing, what opening refuses.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use logboom_logtail_core::store::{Name, Outcome, Reply, Request, StoreErrorKind, Urgency};
use logboom_logtail_objects::{Access, Objects, OpenError, Options};

fn open(location: &str) -> Objects {
    Objects::open(location, b"log", Options::default()).expect("the store opens")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn put(text: &str) -> Request {
    Request::Put { name: name(text), bytes: Bytes::copy_from_slice(text.as_bytes()), urgency: Urgency::Now }
}

fn get(text: &str) -> Request {
    Request::Get { name: name(text), ranges: vec![0..1, 1..2] }
}

fn kind(outcome: &Outcome) -> StoreErrorKind {
    outcome.as_ref().expect_err("a failure").kind
}

/// A directory store that has no marker for now: puts stay open, as the directory may be mounted again.
fn unmounted() -> (tempfile::TempDir, Objects) {
    let directory = tempfile::tempdir().expect("a directory");
    let objects = open(directory.path().to_str().expect("a path in UTF-8"));
    std::fs::rename(directory.path().join("LOGBOOM"), directory.path().join("aside")).expect("the marker is there");
    (directory, objects)
}

#[test]
fn each_request_is_answered_once_from_many_threads() {
    let objects = open("memory:");
    let (sender, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (objects, sender) = (&objects, sender.clone());
            scope.spawn(move || {
                for number in 0..100 {
                    let (sender, text) = (sender.clone(), format!("t{thread}/{number}"));
                    objects.submit(put(&text), move |outcome| sender.send((thread, number, outcome)).unwrap());
                }
            });
        }
    });
    drop(sender);
    let mut answered: Vec<_> = outcomes.iter().map(|(thread, number, put)| (thread, number, put.unwrap())).collect();
    answered.sort_by_key(|(thread, number, _)| (*thread, *number));
    assert!(answered.iter().map(|(thread, number, _)| thread * 100 + number).eq(0..800));
    assert!(answered.iter().all(|(_, _, reply)| *reply == Reply::Put));
}

#[test]
fn a_drop_answers_what_is_open_before_it_returns() {
    let (_directory, objects) = unmounted();
    let (sender, outcomes) = mpsc::channel();
    for number in 0..20 {
        let sender = sender.clone();
        objects.submit(put(&format!("t1/{number}")), move |outcome| sender.send(kind(&outcome)).unwrap());
    }
    assert!(outcomes.try_recv().is_err(), "they wait for the directory");
    drop(objects);
    let kinds: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(kinds, [StoreErrorKind::Closed; 20]);
}

#[test]
fn the_last_handle_can_go_in_a_callback() {
    let objects = Arc::new(open("memory:"));
    let (sender, outcomes) = mpsc::channel();
    let (inner, again) = (Arc::clone(&objects), sender.clone());
    let (go, gone) = mpsc::channel::<()>();
    objects.submit(put("a"), move |outcome| {
        sender.send(outcome.is_ok()).unwrap();
        // Submitting from a callback is fine, and so is dropping.
        inner.submit(put("b"), move |outcome| again.send(outcome.is_ok()).unwrap());
        gone.recv().unwrap();
        drop(inner);
    });
    drop(objects);
    go.send(()).unwrap();
    assert!(outcomes.recv().unwrap());
    assert!(!outcomes.recv().unwrap(), "the store was closed before the second");
}

#[test]
fn a_callback_that_panics_harms_no_other() {
    let objects = open("memory:");
    objects.submit(put("a"), |_| panic!("a bug of the caller"));
    assert_eq!(objects.call(put("b")).unwrap(), Reply::Put);
    assert_eq!(objects.call(get("a")).unwrap_err().kind, StoreErrorKind::OutOfRange, "of one byte");
}

#[test]
fn a_caller_can_have_a_runtime_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let objects = open("memory:");
        assert_eq!(objects.call(put("a")).unwrap(), Reply::Put);
        drop(objects);
    });
}

#[test]
fn health_says_since_when_and_why() {
    let (directory, objects) = unmounted();
    let (sender, outcomes) = mpsc::channel();
    let before = objects.now();
    objects.submit(put("t1/a"), move |outcome| sender.send(outcome).unwrap());
    let health = loop {
        let health = objects.health();
        if health.failing > 0 {
            break health;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!((before..=objects.now()).contains(&health.since.unwrap()));
    let last = health.last.unwrap();
    assert_eq!(last.to_string(), "put t1/a: the store is not available");
    assert!(format!("{last:#}").ends_with("the directory has no marker any more: is it mounted?"), "{last:#}");
    std::fs::rename(directory.path().join("aside"), directory.path().join("LOGBOOM")).unwrap();
    assert_eq!(outcomes.recv().unwrap().unwrap(), Reply::Put, "nothing is lost");
    assert_eq!((objects.health().failing, objects.health().since), (0, None));
}

#[test]
fn a_location_that_is_none_is_refused() {
    let refused = |location: &str| Objects::open(location, b"log", Options::default()).unwrap_err();
    assert!(matches!(refused("ftp://host/folder"), OpenError::Location { .. }));
    assert!(matches!(refused("/proc/none/of/this"), OpenError::Directory { .. }));
    assert!(matches!(Objects::open("memory:", b"", Options::default()), Err(OpenError::Marker { .. })));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = refused(file.path().to_str().unwrap());
    assert!(matches!(error, OpenError::Directory { .. }), "{error:#}");
}

#[cfg(not(feature = "gcs"))]
#[test]
fn a_cloud_that_was_not_built_is_named() {
    let error = Objects::open("gs://bucket/folder", b"log", Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "gs://bucket/folder: this build lacks the feature gcs");
}

#[test]
fn a_reader_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let location = directory.path().to_str().unwrap();
    let mut options = Options::default();
    options.access = Access::Read;
    let error = Objects::open(location, b"log", options.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Absent { .. }), "{error:#}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was created");

    let writer = open(location);
    writer.call(put("t1/ab")).unwrap();
    let reader = Objects::open(location, b"log", options.clone()).unwrap();
    assert_eq!(reader.call(get("t1/ab")).unwrap(), Reply::Got(vec!["t".into(), "1".into()]));
    assert_eq!(kind(&reader.call(put("t1/c"))), StoreErrorKind::ReadOnly);
    assert_eq!(kind(&reader.call(Request::Delete { name: name("t1/ab") })), StoreErrorKind::ReadOnly);
    let error = Objects::open(location, b"other", options).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:#}");
}
