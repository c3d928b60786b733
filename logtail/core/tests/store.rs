//! The queue of requests beside a simulated store that fails, delays, repeats and forgets.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use logboom_logtail_core::{
    ObjectId, TableId,
    store::{
        Answer, Attempt, IdInUse, Name, ObjectName, Outcome, QueueOptions, Reply, Request, RequestId, RetryPolicy,
        StoreErrorKind, StoreQueue, Urgency, conformance,
        sim::{Faults, SimClient, SimStore},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn seed() -> u64 {
    std::env::var("LOGBOOM_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number"))
}

fn object(number: u64) -> Name {
    ObjectName { table: TableId(number % 3), id: ObjectId { nonce: 7, number } }.name()
}

fn put(number: u64, bytes: &'static [u8]) -> Request {
    Request::Put { name: object(number), bytes: Bytes::from_static(bytes), urgency: Urgency::Now }
}

fn client(seed: u64, faults: Faults) -> SimClient<Rng> {
    SimClient::new(SimStore::new(Rng::with_seed(seed), faults), QueueOptions::default())
}

/// The error of an outcome.
fn kind(outcome: &Outcome) -> StoreErrorKind {
    outcome.as_ref().expect_err("a failure").kind
}

#[test]
fn a_simulated_store_conforms() {
    // Not those by which a put lands after its object was deleted, or a listing lacks names.
    let mut faults = Faults::each(8);
    (faults.late, faults.repeated, faults.short_list) = (0, 0, 0);
    let seed = seed();
    println!("LOGBOOM_SEED={seed}");
    for faults in [Faults::default(), faults] {
        let mut client = client(seed, faults);
        let (mut now, mut requests) = (Duration::ZERO, 0);
        conformance::check(&mut |request| {
            requests += 1;
            client.submit(RequestId(requests), request).unwrap();
            let (outcome, then) = client.finish(RequestId(requests), now);
            now = then;
            outcome
        });
        assert!(client.queue.is_empty() && client.queue.health().failing == 0);
    }
}

/// One attempt at a time goes through the hands of the test, in place of a driver.
struct Hands {
    queue: StoreQueue,
    now: Duration,
}

impl Hands {
    fn new(request: Request, options: QueueOptions) -> Self {
        let mut queue = StoreQueue::new(options);
        queue.submit(RequestId(1), request).expect("a new id");
        Self { queue, now: SECOND }
    }

    /// The next attempt, after any pause.
    fn attempt(&mut self) -> Attempt {
        self.now = self.queue.wake_at().map_or(self.now, |at| at.max(self.now));
        let begun = self.queue.step(self.now);
        assert_eq!(begun.len(), 1, "{begun:?}");
        begun.into_iter().next().expect("one attempt").1
    }

    fn fail(&mut self, kind: StoreErrorKind) -> Option<Outcome> {
        let answer = self.attempt().failed(kind);
        self.queue.done(RequestId(1), answer, self.now)
    }
}

#[test]
fn an_outage_is_reported_until_it_is_over() {
    let mut hands = Hands::new(put(1, b"x"), QueueOptions::default());
    for _ in 0..50 {
        assert!(hands.fail(StoreErrorKind::CredentialsExpired).is_none());
    }
    let health = hands.queue.health();
    assert_eq!((health.failing, health.open, health.since), (1, 1, Some(SECOND)));
    assert!(hands.now > 100 * SECOND, "it is tried again at the cap: {:?}", hands.now);
    let last = health.last.unwrap();
    assert_eq!(last.to_string(), format!("put {}: the credentials have expired or are unknown", object(1)));
    let Attempt::Request(Request::Put { .. }) = hands.attempt() else { panic!("it cannot have landed") };
    let outcome = hands.queue.done(RequestId(1), Answer::Reply(Reply::Put), hands.now);
    assert_eq!(outcome.unwrap().unwrap(), Reply::Put);
    assert_eq!((hands.queue.health().failing, hands.queue.health().since), (0, None));
}

#[test]
fn a_read_is_given_up_and_a_write_is_not() {
    let get = Request::Get { name: object(1), ranges: vec![0..1, 2..3] };
    let mut hands = Hands::new(get, QueueOptions::default());
    let outcome = std::iter::repeat_with(|| hands.fail(StoreErrorKind::Unavailable)).find_map(|outcome| outcome);
    assert_eq!(kind(&outcome.unwrap()), StoreErrorKind::Unavailable);
    assert_eq!(hands.now, SECOND + QueueOptions::default().reads.patience.unwrap());
    assert_eq!(hands.queue.health().failing, 0, "what was given up fails no more");

    let mut hands = Hands::new(Request::Delete { name: object(1) }, QueueOptions::default());
    assert!((0..100).all(|_| hands.fail(StoreErrorKind::Denied).is_none()));
}

#[test]
fn bytes_that_are_missing_are_asked_for_again_and_then_reported() {
    let get = Request::Get { name: object(1), ranges: vec![0..4, 2..3] };
    let mut hands = Hands::new(get, QueueOptions::default());
    let short = || Answer::Reply(Reply::Got(vec![Bytes::from_static(b"123"), Bytes::from_static(b"3")]));
    for _ in 0..2 {
        hands.attempt();
        assert!(hands.queue.done(RequestId(1), short(), hands.now).is_none());
    }
    hands.attempt();
    let outcome = hands.queue.done(RequestId(1), short(), hands.now).unwrap();
    assert_eq!(kind(&outcome), StoreErrorKind::OutOfRange);
}

#[test]
fn a_driver_that_confuses_answers_harms_nothing() {
    let mut hands = Hands::new(put(1, b"x"), QueueOptions::default());
    hands.attempt();
    assert!(hands.queue.done(RequestId(2), Answer::Reply(Reply::Put), hands.now).is_none());
    assert!(hands.queue.done(RequestId(1), Answer::Reply(Reply::Deleted), hands.now).is_none());
    assert!(hands.queue.done(RequestId(1), Answer::Reply(Reply::Put), hands.now).is_none(), "it is not in flight");
    assert!(matches!(hands.attempt(), Attempt::ReadBack { .. }), "it may have landed");
    assert_eq!(hands.queue.submit(RequestId(1), put(2, b"y")), Err(IdInUse(RequestId(1))));
    let closed = hands.queue.close();
    assert_eq!(kind(&closed[0].1), StoreErrorKind::Closed);
    assert!(hands.queue.is_empty() && hands.queue.wake_at().is_none());
}

#[test]
fn attempts_in_flight_are_bounded_and_what_pauses_is_not_among_them() {
    let options = { QueueOptions::default() };
    let mut queue = StoreQueue::new(options);
    for number in 0..100 {
        queue.submit(RequestId(number), put(number, b"x")).unwrap();
    }
    let begun = queue.step(SECOND);
    assert_eq!((begun.len(), queue.health().in_flight), (options.in_flight_max, options.in_flight_max));
    assert!(begun.iter().map(|(id, _)| id.0).eq(0..16), "in order");
    assert!(queue.step(SECOND).is_empty());
    for (id, attempt) in begun {
        queue.done(id, attempt.failed(StoreErrorKind::Throttled), SECOND);
    }
    assert!(queue.step(SECOND).iter().map(|(id, _)| id.0).eq(16..32), "those that pause hold nobody up");
    assert_eq!((queue.health().failing, queue.health().open), (16, 100));
}

#[test]
fn a_foreign_writer_is_found_and_named() {
    let mut client = client(1, Faults::default());
    assert!(client.store.create(&object(1), Bytes::from_static(b"theirs")));
    client.submit(RequestId(1), put(1, b"ours")).unwrap();
    let (outcome, _) = client.finish(RequestId(1), SECOND);
    let error = outcome.unwrap_err();
    assert_eq!((error.kind, error.name), (StoreErrorKind::Foreign, Some(object(1))));
    assert_eq!(client.store.objects()[&object(1)], "theirs");
}

#[test]
fn rot_and_truncation_are_there_to_be_found() {
    let mut client = client(1, Faults::default());
    client.store.create(&object(1), Bytes::from_static(b"content"));
    assert!(client.store.rot(&object(1)) && !client.store.rot(&object(2)));
    assert_ne!(client.store.objects()[&object(1)], "content");
    client.store.truncate(&object(1), 3);
    client.submit(RequestId(1), Request::Get { name: object(1), ranges: vec![0..1, 0..7] }).unwrap();
    assert_eq!(kind(&client.finish(RequestId(1), SECOND).0), StoreErrorKind::OutOfRange);
}

#[test]
fn a_seed_repeats_a_history() {
    let run = |seed| {
        let mut client = client(seed, Faults::each(10));
        for number in 0..50 {
            client.submit(RequestId(number), put(number, b"x")).unwrap();
        }
        let mut trace = Vec::new();
        let mut now = Duration::ZERO;
        while let Some(next) = client.wake_at().or((!client.queue.is_empty()).then_some(now)) {
            now = next.max(now);
            trace.extend(client.step(now).into_iter().map(|(id, _)| (id, now)));
        }
        trace
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// What a history has of one object.
#[derive(Clone, Debug)]
struct Object {
    name: Name,
    bytes: Bytes,
    /// Whether another writer was first.
    is_foreign: bool,
    is_deleted: bool,
}

/// Puts, reads and deletes under all faults, outages, expired credentials and restarts: an outcome says what is there,
/// each request has one, and all puts come to an end.
#[test]
fn outcomes_say_what_is_there() {
    let seed = seed();
    println!("LOGBOOM_SEED={seed}");
    let mut ended = [0; 4];
    for round in 0..60 {
        let outcomes = history(seed.wrapping_add(round));
        ended = std::array::from_fn(|at| ended[at] + outcomes[at]);
    }
    assert!(ended.iter().all(|count| *count > 50), "puts, gets, deletes, foreign objects: {ended:?}");
}

fn history(seed: u64) -> [u32; 4] {
    let mut rng = Rng::with_seed(seed);
    let mut client = client(seed, Faults::each(rng.u64(0..=12)));
    let (mut now, mut next_id) = (Duration::ZERO, 0);
    let mut open: BTreeMap<RequestId, (Request, Object)> = BTreeMap::new();
    let mut there: Vec<Object> = Vec::new();
    let mut ended = [0; 4];
    for step in 0..400 {
        match rng.u32(0..100) {
            0..25 => {
                let mut bytes = vec![0; rng.usize(0..64)];
                rng.fill(&mut bytes);
                let bytes = Bytes::from(bytes);
                let is_foreign = rng.u32(0..10) == 0;
                let object = Object { name: object(next_id), bytes, is_foreign, is_deleted: false };
                if is_foreign {
                    client.store.create(&object.name, Bytes::from_static(&[0; 64]));
                }
                let request =
                    Request::Put { name: object.name.clone(), bytes: object.bytes.clone(), urgency: Urgency::Now };
                open.insert(RequestId(next_id), (request, object));
            }
            25..40 if !there.is_empty() => {
                let object = there[rng.usize(..there.len())].clone();
                let size = object.bytes.len() as u64;
                let ranges = (0..rng.usize(0..4)).map(|_| {
                    let start = rng.u64(0..=size);
                    start..rng.u64(start..=size)
                });
                let request = Request::Get { name: object.name.clone(), ranges: ranges.collect() };
                open.insert(RequestId(next_id), (request, object));
            }
            40..45 if !there.is_empty() => {
                let mut object = there.swap_remove(rng.usize(..there.len()));
                object.is_deleted = true;
                open.insert(RequestId(next_id), (Request::Delete { name: object.name.clone() }, object));
            }
            45 => client.store.cut_off(now + SECOND * rng.u32(0..120)),
            46 => client.store.expire_credentials(now + SECOND * rng.u32(0..120)),
            47 if step > 200 => {
                client.restart(QueueOptions::default());
                open.clear();
            }
            _ => now = client.wake_at().unwrap_or(now).max(now),
        }
        if let Some((request, _)) = open.get(&RequestId(next_id)) {
            client.submit(RequestId(next_id), request.clone()).expect("a new id");
            next_id += 1;
        }
        settle(&mut client, now, &mut open, &mut there, &mut ended);
    }
    while !client.queue.is_empty() {
        now = client.wake_at().expect("what is open is on its way, or pauses").max(now);
        settle(&mut client, now, &mut open, &mut there, &mut ended);
    }
    assert!(open.is_empty(), "seed {seed}: without an outcome: {open:?}");
    assert_eq!(client.queue.health().failing, 0, "seed {seed}");
    for object in there {
        assert_eq!(client.store.objects().get(&object.name), Some(&object.bytes), "seed {seed}: {}", object.name);
    }
    ended
}

/// Takes the outcomes at `now`, each against what the store has.
fn settle(
    client: &mut SimClient<Rng>,
    now: Duration,
    open: &mut BTreeMap<RequestId, (Request, Object)>,
    there: &mut Vec<Object>,
    ended: &mut [u32; 4],
) {
    for (id, outcome) in client.step(now) {
        let (request, object) = open.remove(&id).expect("one outcome for each request");
        match (&request, &outcome) {
            (Request::Put { name, bytes, .. }, Ok(Reply::Put)) => {
                assert_eq!(client.store.objects().get(name), Some(bytes), "{request:?}");
                assert!(!object.is_foreign, "{request:?}: over another one's");
                there.push(object);
                ended[0] += 1;
            }
            (Request::Put { .. }, Err(error)) => {
                assert!(object.is_foreign && error.kind == StoreErrorKind::Foreign, "{error:#}");
                ended[3] += 1;
            }
            (Request::Get { ranges, .. }, Ok(Reply::Got(got))) => {
                let at = |offset| usize::try_from(offset).expect("an offset in a few bytes");
                let is_right = |(range, part): (&std::ops::Range<u64>, &Bytes)| {
                    object.bytes.slice(at(range.start)..at(range.end)) == part
                };
                assert!(ranges.len() == got.len() && ranges.iter().zip(got).all(is_right), "{request:?}: {got:?}");
                ended[1] += 1;
            }
            // It was deleted meanwhile, was cut three times in a row, or patience was at its end.
            (Request::Get { .. }, Err(error)) => {
                assert_ne!(error.kind, StoreErrorKind::Foreign);
            }
            (Request::Delete { .. }, Ok(Reply::Deleted)) => ended[2] += 1,
            _ => panic!("{request:?}: {outcome:?}"),
        }
    }
}

#[test]
fn policies_are_what_the_caller_sets() {
    let mut options = QueueOptions::default();
    let mut policy = RetryPolicy::default();
    policy.patience = Some(Duration::ZERO);
    options.writes = policy;
    let mut hands = Hands::new(put(1, b"x"), options);
    assert_eq!(kind(&hands.fail(StoreErrorKind::Unavailable).unwrap()), StoreErrorKind::Unavailable);
}
