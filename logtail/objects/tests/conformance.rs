//! Stores that need nothing but this machine, held to what a store is held to.

use logboom_logtail_core::store::conformance;
use logboom_logtail_objects::{Objects, Options};

fn check(location: &str) {
    let objects = Objects::open(location, b"log", Options::default()).expect("the store opens");
    conformance::check(&mut |request| objects.call(request));
    assert_eq!((objects.health().open, objects.health().failing), (0, 0));
}

#[test]
fn a_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    check(directory.path().to_str().unwrap());
    let nested = directory.path().join("not/there yet");
    check(&format!("file://{}", nested.to_str().unwrap().replace(' ', "%20")));
    // And once more, now that there is something.
    check(nested.to_str().unwrap());
}

#[test]
fn memory_conforms() {
    check("memory:");
}
