//! `Counting`: a store in memory that counts what is read of it, and how it is put.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use logboom_logtail::{StoreChoice, StoreOptions};
use logboom_logtail_core::store::{
    Name, ObjectStore, Outcome, Reply, Request, StoreError, StoreErrorKind, StoreHealth, Urgency,
};
use logboom_logtail_objects::Objects;

/// A store in memory, with the reads that were asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    objects: Arc<Objects>,
    gets: Arc<Mutex<Vec<Get>>>,
    /// Of each put.
    urgencies: Arc<Mutex<Vec<Urgency>>>,
    /// An object, and the offset of a byte of it that is not as it was written.
    damage: Arc<Mutex<Option<(Name, u64)>>>,
    refuses_puts: Arc<AtomicBool>,
    /// Puts that are not answered, while they are not.
    held_puts: Arc<Mutex<Option<Held>>>,
    /// What happens while a read is under way.
    meanwhile: Arc<Mutex<Meanwhile>>,
    /// Reads that are not answered, while they are not.
    held: Arc<Mutex<Option<Held>>>,
}

/// What waits for answers.
#[derive(Default)]
struct Held(Vec<Box<dyn FnOnce(Outcome) + Send>>);

#[derive(Default)]
struct Meanwhile(Option<Box<dyn FnMut() + Send>>);

/// A read of an object.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) name: Name,
    pub(crate) ranges: Vec<Range<u64>>,
}

impl Counting {
    pub(crate) fn new() -> Self {
        let objects = Objects::open("memory:", b"counted", StoreOptions::default()).unwrap();
        Self {
            objects: Arc::new(objects),
            gets: Arc::default(),
            urgencies: Arc::default(),
            damage: Arc::default(),
            refuses_puts: Arc::default(),
            held_puts: Arc::default(),
            meanwhile: Arc::default(),
            held: Arc::default(),
        }
    }

    pub(crate) fn choice(&self) -> StoreChoice {
        StoreChoice::Given(Arc::new(self.clone()))
    }

    /// The reads since the last call.
    pub(crate) fn take(&self) -> Vec<Get> {
        std::mem::take(&mut self.gets.lock().unwrap())
    }
}

impl Counting {
    /// The bytes that were read since the last call.
    pub(crate) fn take_bytes(&self) -> u64 {
        self.take().iter().map(Get::bytes).sum()
    }

    /// How objects were put since the last call.
    pub(crate) fn take_urgencies(&self) -> Vec<Urgency> {
        std::mem::take(&mut self.urgencies.lock().unwrap())
    }

    /// From now on, a byte of an object is another one.
    pub(crate) fn damage(&self, name: &Name, offset: u64) {
        *self.damage.lock().unwrap() = Some((name.clone(), offset));
    }

    /// From now on, puts fail; or they succeed again.
    pub(crate) fn refuse_puts(&self, refuses: bool) {
        self.refuses_puts.store(refuses, Ordering::Relaxed);
    }

    /// From now on, this is done before a read is answered; reads that it makes itself are answered at once.
    pub(crate) fn meanwhile(&self, call: impl FnMut() + Send + 'static) {
        self.meanwhile.lock().unwrap().0 = Some(Box::new(call));
    }

    /// From now on, reads are not answered; or they are again, and those that were not have failed.
    pub(crate) fn hold_gets(&self, holds: bool) {
        *self.held.lock().unwrap() = holds.then(Held::default);
    }

    /// From now on, puts are not answered; or they are again, and those that were not have failed.
    pub(crate) fn hold_puts(&self, holds: bool) {
        *self.held_puts.lock().unwrap() = holds.then(Held::default);
    }

    /// How many reads are not answered.
    pub(crate) fn held_gets(&self) -> usize {
        self.held.lock().unwrap().as_ref().map_or(0, |held| held.0.len())
    }

    /// How many puts are not answered.
    pub(crate) fn held_puts(&self) -> usize {
        self.held_puts.lock().unwrap().as_ref().map_or(0, |held| held.0.len())
    }

    /// Nothing is damaged any more.
    pub(crate) fn heal(&self) {
        *self.damage.lock().unwrap() = None;
    }
}

impl Get {
    pub(crate) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meanwhile").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.0.len()).finish()
    }
}

impl ObjectStore for Counting {
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>) {
        if self.refuses_puts.load(Ordering::Relaxed) && matches!(request, Request::Put { .. }) {
            return done(Err(StoreError::new(&request, StoreErrorKind::Closed)));
        }
        if let Request::Put { urgency, .. } = &request {
            self.urgencies.lock().unwrap().push(*urgency);
        }
        let Request::Get { name, ranges } = request else {
            if let Some(held) = &mut *self.held_puts.lock().unwrap() {
                return held.0.push(done);
            }
            return ObjectStore::submit(self.objects.as_ref(), request, done);
        };
        if let Some(held) = &mut *self.held.lock().unwrap() {
            return held.0.push(done);
        }
        let get = Get { name: name.clone(), ranges: ranges.clone() };
        let damage = self.damage.lock().unwrap().clone().filter(|(damaged, _)| *damaged == name);
        let damaged = move |mut outcome: Outcome| {
            if let (Ok(Reply::Got(parts)), Some((_, offset))) = (&mut outcome, damage) {
                for (part, range) in parts.iter_mut().zip(&get.ranges).filter(|(_, range)| range.contains(&offset)) {
                    let mut bytes = part.to_vec();
                    bytes[usize::try_from(offset - range.start).unwrap()] ^= 1;
                    *part = bytes.into();
                }
            }
            done(outcome);
        };
        self.gets.lock().unwrap().push(Get { name: name.clone(), ranges: ranges.clone() });
        let meanwhile = self.meanwhile.lock().unwrap().0.take();
        if let Some(mut call) = meanwhile {
            call();
            self.meanwhile.lock().unwrap().0 = Some(call);
        }
        ObjectStore::submit(self.objects.as_ref(), Request::Get { name, ranges }, Box::new(damaged));
    }

    fn health(&self) -> StoreHealth {
        ObjectStore::health(self.objects.as_ref())
    }
}
