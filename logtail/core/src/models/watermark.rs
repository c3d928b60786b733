//! The watermark: threads raise it to their commits while one publishes changes.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::model;
use crate::{state::Watermark, timestamp::Timestamp};

/// A tail as the watermark knows it: a lock under which timestamps are given, and changes that readers look for.
struct Tail {
    watermark: Watermark,
    /// What the writer's lock is around.
    writer: Mutex<Writer>,
    /// Whether the change of a timestamp is published: what its publishing made.
    published: [AtomicBool; 4],
}

#[derive(Default)]
struct Writer {
    last: i64,
    /// Changes that are placed and not published.
    changes: Vec<i64>,
}

fn at(timestamp: i64) -> Timestamp {
    Timestamp::from_i64(timestamp).unwrap()
}

impl Tail {
    fn new() -> Arc<Self> {
        let published = std::array::from_fn(|_| AtomicBool::new(false));
        Arc::new(Self { watermark: Watermark::new(), writer: Mutex::default(), published })
    }

    /// Places a transaction, or a change. Returns its timestamp.
    fn place(&self, is_change: bool) -> i64 {
        let mut writer = self.writer.lock().unwrap();
        writer.last += 1;
        let timestamp = writer.last;
        if is_change {
            writer.changes.push(timestamp);
            self.watermark.hold(writer.changes.first().copied().map(at));
        }
        timestamp
    }

    /// What was placed up to this timestamp is committed: the applier publishes it.
    fn publish(&self, timestamp: i64) {
        let mut writer = self.writer.lock().unwrap();
        self.watermark.publish(at(timestamp), || {
            for change in writer.changes.extract_if(.., |change| *change <= timestamp) {
                self.published[usize::try_from(change).unwrap()].store(true, Ordering::Relaxed);
            }
            writer.changes.first().copied().map(at)
        });
    }

    /// Commits: the record is durable, and so are those before it. The thread that finds this raises the watermark
    /// without the lock, if it may.
    fn commit(&self) {
        let timestamp = self.place(false);
        if !self.watermark.raise(at(timestamp)) {
            self.publish(timestamp);
        }
        assert!(self.watermark.get() >= at(timestamp), "who commits sees it");
    }

    /// Reads: all changes up to the watermark are there. Returns the watermark.
    fn read(&self, changes: &[i64]) -> Timestamp {
        let watermark = self.watermark.get();
        for change in changes.iter().filter(|change| at(**change) <= watermark) {
            let is_published = self.published[usize::try_from(*change).unwrap()].load(Ordering::Relaxed);
            assert!(is_published, "the change at {change} is there at {watermark}");
        }
        watermark
    }
}

/// A change is placed first; then it is published, while others commit behind it.
#[test]
fn no_reader_sees_a_commit_and_not_the_change_before_it() {
    model(3, || {
        let tail = Tail::new();
        let change = tail.place(true);
        let committer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.commit())
        };
        let publisher = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.publish(change))
        };
        let before = tail.read(&[change]);
        assert!(before <= tail.read(&[change]));
        committer.join().unwrap();
        publisher.join().unwrap();
        assert_eq!(tail.read(&[change]), at(2));
    });
}

/// Changes are placed between commits, whose threads raise the watermark up to them and no further.
#[test]
fn commits_and_changes_get_their_places_in_any_order() {
    model(2, || {
        let tail = Tail::new();
        let committer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || {
                tail.commit();
                tail.commit();
            })
        };
        let change = tail.place(true);
        tail.publish(change);
        assert!(tail.read(&[change]) >= at(change), "who publishes sees it");
        committer.join().unwrap();
        assert_eq!(tail.read(&[change]), at(3));
    });
}

#[test]
fn the_watermark_never_goes_back() {
    model(3, || {
        let tail = Tail::new();
        let committers = [(); 2].map(|()| {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.commit())
        });
        let before = tail.read(&[]);
        assert!(before <= tail.read(&[]));
        committers.into_iter().for_each(|committer| committer.join().unwrap());
        assert_eq!(tail.read(&[]), at(2));
    });
}
