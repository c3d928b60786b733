//! S3, by a server on loopback that fails as it is told to.

use std::{ops::Range, sync::mpsc, time::Duration};

use bytes::Bytes;
use logboom_logtail_core::store::{Name, Outcome, Reply, Request, StoreErrorKind, Urgency, conformance};
use logboom_logtail_objects::{Access, Objects, OpenError, Options};

use server::{Fault, Server};

mod server;

fn options(server: &Server) -> Options {
    let mut options = Options::default();
    let settings = [
        ("aws_endpoint", format!("http://{}", server.address)),
        ("aws_allow_http", "true".into()),
        ("aws_region", "nowhere".into()),
        ("aws_access_key_id", "id".into()),
        ("aws_secret_access_key", "secret".into()),
    ];
    options.settings = settings.map(|(key, value)| (key.to_owned(), value)).into();
    options.writes.first = Duration::from_millis(5);
    options.reads.first = Duration::from_millis(5);
    options.reads.patience = Some(Duration::from_secs(2));
    options
}

fn open(server: &Server) -> Objects {
    Objects::open("s3://bucket/logs/one", b"log", options(server)).expect("the store opens")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn put(text: &str, bytes: &[u8]) -> Request {
    Request::Put { name: name(text), bytes: Bytes::copy_from_slice(bytes), urgency: Urgency::Now }
}

fn get(text: &str, range: Range<u64>) -> Request {
    Request::Get { name: name(text), ranges: vec![range] }
}

fn submit(objects: &Objects, request: Request) -> mpsc::Receiver<Outcome> {
    let (sender, outcome) = mpsc::channel();
    objects.submit(request, move |outcome| _ = sender.send(outcome));
    outcome
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

#[test]
fn a_bucket_conforms() {
    let server = Server::start();
    let objects = open(&server);
    conformance::check(&mut |request| objects.call(request));
    let keys: Vec<_> = server.state().objects.keys().cloned().collect();
    assert_eq!(keys, ["logs/one/LOGBOOM"], "all is below the folder");
}

#[test]
fn ranges_that_lie_close_are_one_request() {
    let server = Server::start();
    let objects = open(&server);
    objects.call(put("a", &vec![7; 3 << 20])).unwrap();
    server.take_count("GET");
    let ranges = vec![0..10, 20..30, 100_000..200_000, 3_000_000..3_000_001];
    objects.call(Request::Get { name: name("a"), ranges }).unwrap();
    assert_eq!(server.take_count("GET"), 2);
}

/// Puts under one fault each: all of them land once.
#[test]
fn a_put_is_settled_whatever_its_answer_is() {
    let server = Server::start();
    let objects = open(&server);
    let refusals = [
        Fault::Refuse(409, "ConditionalRequestConflict"),
        Fault::Refuse(412, "PreconditionFailed"),
        Fault::Refuse(429, "TooManyRequests"),
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(400, "ExpiredToken"),
        Fault::Refuse(403, "AccessDenied"),
        Fault::Cut,
        Fault::CutAfter,
    ];
    for (at, fault) in refusals.into_iter().enumerate() {
        let (text, bytes) = (format!("t1/{at}"), vec![1; at * 1000]);
        server.fail("PUT", &[fault]);
        assert_eq!(objects.call(put(&text, &bytes)).unwrap(), Reply::Put, "{fault:?}");
        assert_eq!(server.state().objects[&format!("logs/one/{text}")], bytes, "{fault:?}");
        assert!(server.state().faults.is_empty(), "{fault:?}");
    }
    assert_eq!(objects.health().failing, 0);
}

#[test]
fn an_answer_that_was_lost_is_not_put_again() {
    let server = Server::start();
    let objects = open(&server);
    server.take_count("PUT");
    server.fail("PUT", &[Fault::CutAfter]);
    server.fail("GET", &[Fault::Refuse(503, "SlowDown"), Fault::CutBody]);
    assert_eq!(objects.call(put("a", b"content")).unwrap(), Reply::Put);
    assert_eq!(server.take_count("PUT"), 1);
}

#[test]
fn another_writer_is_found_behind_a_conflict() {
    let server = Server::start();
    let objects = open(&server);
    server.state().objects.insert("logs/one/a".into(), b"CONTENT".to_vec());
    server.fail("PUT", &[Fault::Refuse(409, "ConditionalRequestConflict")]);
    assert_eq!(objects.call(put("a", b"content")).unwrap_err().kind, StoreErrorKind::Foreign);
    assert_eq!(server.state().objects["logs/one/a"], b"CONTENT");
}

#[test]
fn failures_are_what_the_store_says() {
    let server = Server::start();
    let objects = open(&server);
    for (fault, kind) in [
        (Fault::Refuse(503, "SlowDown"), StoreErrorKind::Throttled),
        (Fault::Refuse(429, "TooManyRequests"), StoreErrorKind::Throttled),
        (Fault::Refuse(500, "InternalError"), StoreErrorKind::Unavailable),
        (Fault::Refuse(400, "ExpiredToken"), StoreErrorKind::CredentialsExpired),
        (Fault::Refuse(403, "ExpiredToken"), StoreErrorKind::CredentialsExpired),
        (Fault::Refuse(403, "RequestTimeTooSkewed"), StoreErrorKind::CredentialsExpired),
        (Fault::Refuse(401, "Unauthorized"), StoreErrorKind::CredentialsExpired),
        (Fault::Refuse(403, "AccessDenied"), StoreErrorKind::Denied),
        (Fault::Refuse(404, "NoSuchBucket"), StoreErrorKind::Unavailable),
        (Fault::Cut, StoreErrorKind::Unavailable),
    ] {
        // Until the health was seen.
        server.fail("PUT", &[fault; 100]);
        let waiting = submit(&objects, put(&format!("{fault:?}").replace(|c: char| !c.is_alphanumeric(), "_"), b"x"));
        let (found, text) = failure(&objects);
        assert_eq!(found, kind, "{fault:?}: {text}");
        assert!(text.starts_with("put ") && text.lines().count() == 1 && text.len() < 800, "{text}");
        server.state().faults.clear();
        assert_eq!(waiting.recv().unwrap().unwrap(), Reply::Put, "{fault:?}");
    }
    server.fail("PUT", &[Fault::Refuse(501, "NotImplemented")]);
    assert_eq!(objects.call(put("b", b"x")).unwrap_err().kind, StoreErrorKind::Unsupported);
}

#[test]
fn reads_end_and_name_what_failed() {
    let server = Server::start();
    let objects = open(&server);
    objects.call(put("a", &[7; 1000])).unwrap();
    server.fail("GET", &[Fault::CutBody, Fault::Cut, Fault::Refuse(500, "InternalError"), Fault::ShortBody]);
    assert_eq!(objects.call(get("a", 10..500)).unwrap(), Reply::Got(vec![vec![7; 490].into()]));
    server.fail("GET", &[Fault::Refuse(403, "AccessDenied")]);
    let error = objects.call(get("a", 0..1)).unwrap_err();
    assert_eq!((error.kind, error.to_string()), (StoreErrorKind::Denied, "get a: access is denied".into()));
    assert_eq!(objects.call(get("a", 0..1001)).unwrap_err().kind, StoreErrorKind::OutOfRange);
    assert_eq!(objects.call(get("a", 1000..1001)).unwrap_err().kind, StoreErrorKind::OutOfRange);
    assert_eq!(objects.call(get("b", 0..1)).unwrap_err().kind, StoreErrorKind::NotFound);
    server.fail("GET", &[Fault::Refuse(503, "SlowDown"); 10_000]);
    assert_eq!(objects.call(get("a", 0..1)).unwrap_err().kind, StoreErrorKind::Throttled, "patience has an end");
}

#[test]
fn lists_and_deletes_are_made_until_they_succeed() {
    let server = Server::start();
    let objects = open(&server);
    for at in 0..10 {
        objects.call(put(&format!("t1/{at}"), b"x")).unwrap();
    }
    server.fail("GET", &[Fault::Cut, Fault::Refuse(503, "SlowDown")]);
    server.fail("DELETE", &[Fault::CutAfter, Fault::Refuse(503, "SlowDown")]);
    assert_eq!(objects.call(Request::Delete { name: name("t1/3") }).unwrap(), Reply::Deleted);
    let list = Request::List { folder: Some(name("t1")), after: Some(name("t1/1")), max: 5 };
    let Reply::Listed(page) = objects.call(list).unwrap() else { panic!("not a listing") };
    let names: Vec<_> = page.objects.iter().map(|listed| listed.name.as_str()).collect();
    assert_eq!((names, page.more), (vec!["t1/2", "t1/4", "t1/5", "t1/6", "t1/7"], true));
}

#[test]
fn a_bucket_of_another_log_is_refused() {
    let server = Server::start();
    server.fail("GET", &[Fault::Cut, Fault::Refuse(503, "SlowDown")]);
    server.fail("PUT", &[Fault::CutAfter, Fault::Refuse(409, "ConditionalRequestConflict")]);
    drop(open(&server));
    let error = Objects::open("s3://bucket/logs/one", b"other", options(&server)).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:#}");
    drop(Objects::open("s3://bucket/logs/two", b"other", options(&server)).unwrap());
    drop(Objects::open("s3://bucket", b"a third", options(&server)).unwrap());
}

#[test]
fn a_store_that_overwrites_is_refused() {
    let server = Server::start();
    server.state().ignores_conditions = true;
    let error = Objects::open("s3://bucket", b"log", options(&server)).unwrap_err();
    assert!(matches!(error, OpenError::Overwrites { .. }), "{error:#}");
}

#[test]
fn opening_ends_where_the_store_does_not_answer() {
    let server = Server::start();
    let mut impatient = options(&server);
    impatient.open_patience = Duration::from_millis(200);
    server.fail("GET", &[Fault::Refuse(503, "SlowDown"); 1000]);
    let error = Objects::open("s3://bucket", b"log", impatient.clone()).unwrap_err();
    assert!(format!("{error:#}").starts_with("s3://bucket: the store does not open: get LOGBOOM: "), "{error:#}");
    server.state().faults.clear();

    server.fail("GET", &[Fault::Refuse(403, "AccessDenied")]);
    let error = Objects::open("s3://bucket", b"log", options(&server)).unwrap_err();
    assert!(format!("{error:#}").contains("access is denied"), "at once: {error:#}");

    impatient.settings.push(("aws_no_such_thing".into(), "1".into()));
    let error = Objects::open("s3://bucket", b"log", impatient.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Client { .. }), "{error:#}");
    impatient.settings.pop();
    impatient.settings.push(("aws_endpoint".into(), "http://127.0.0.1:1".into()));
    impatient.access = Access::Read;
    let error = Objects::open("s3://bucket", b"log", impatient).unwrap_err();
    assert!(matches!(error, OpenError::Store { .. }), "nothing listens there: {error:#}");
}

#[test]
fn an_attempt_without_an_answer_is_taken_for_lost() {
    let server = Server::start();
    let mut options = options(&server);
    options.timeout = Duration::from_millis(300);
    let objects = Objects::open("s3://bucket", b"log", options).unwrap();
    // A listener that accepts, and says nothing.
    let silent = server.state();
    let waiting = submit(&objects, put("a", b"x"));
    let (kind, text) = failure(&objects);
    assert_eq!(kind, StoreErrorKind::Unavailable, "{text}");
    drop(silent);
    assert_eq!(waiting.recv().unwrap().unwrap(), Reply::Put);
}
