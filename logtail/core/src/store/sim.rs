//! A store in memory and in virtual time, which does wrong what stores do wrong.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;

use super::{
    attempt::{Answer, Attempt, Content},
    error::StoreErrorKind,
    name::Name,
    request::{Listed, Page, Reply, Request, RequestId},
};

mod client;
mod faults;

pub use client::SimClient;
pub use faults::{Choices, Faults};

use faults::Fault;

/// A simulated store. A source of decisions says what goes wrong; the same one repeats a history.
///
/// Attempts [begin](Self::begin), are carried out at some time after that, and are [answered](Self::answers). What
/// landed stays, whatever the caller was told. Times are those that the caller passes in.
#[derive(Debug)]
pub struct SimStore<C> {
    choices: C,
    faults: Faults,
    objects: BTreeMap<Name, Bytes>,
    /// What is on its way, by when it arrives; the number keeps the order of what arrives together.
    on_its_way: BTreeMap<(Duration, u64), Event>,
    events: u64,
    credentials_expired_until: Duration,
    outage_until: Duration,
}

#[derive(Debug)]
enum Event {
    /// To the store; with how long the answer takes, where there is one.
    Attempt { id: RequestId, attempt: Attempt, fault: Fault, answer: Option<Duration> },
    /// To the caller.
    Answer { id: RequestId, answer: Answer },
}

impl<C: Choices> SimStore<C> {
    /// An empty store.
    pub fn new(choices: C, faults: Faults) -> Self {
        Self {
            choices,
            faults,
            objects: BTreeMap::new(),
            on_its_way: BTreeMap::new(),
            events: 0,
            credentials_expired_until: Duration::ZERO,
            outage_until: Duration::ZERO,
        }
    }

    /// From now on, these faults.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The store takes no credentials before this time.
    pub fn expire_credentials(&mut self, until: Duration) {
        self.credentials_expired_until = until;
    }

    /// Nothing reaches the store before this time.
    pub fn cut_off(&mut self, until: Duration) {
        self.outage_until = until;
    }

    /// The objects that there are.
    pub fn objects(&self) -> &BTreeMap<Name, Bytes> {
        &self.objects
    }

    /// What another writer does: creates the object, unless the name is taken. Whether it did.
    pub fn create(&mut self, name: &Name, bytes: Bytes) -> bool {
        if self.objects.contains_key(name) {
            return false;
        }
        self.objects.insert(name.clone(), bytes);
        true
    }

    /// Flips a bit of a stored object, at rest. Whether there was one.
    pub fn rot(&mut self, name: &Name) -> bool {
        let Some(bytes) = self.objects.get_mut(name).filter(|bytes| !bytes.is_empty()) else { return false };
        let mut rotten = bytes.to_vec();
        let bit = self.choices.below(rotten.len() as u64 * 8);
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| rotten.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
        *bytes = rotten.into();
        true
    }

    /// Cuts off the end of a stored object, at rest. Whether there was one.
    pub fn truncate(&mut self, name: &Name, bytes: usize) -> bool {
        let Some(object) = self.objects.get_mut(name) else { return false };
        object.truncate(bytes);
        true
    }

    /// The caller is gone, as after a crash: it gets no more answers. What is on its way to the store arrives.
    pub fn disconnect(&mut self) {
        self.on_its_way.retain(|_, event| match event {
            Event::Attempt { answer, .. } => {
                *answer = None;
                true
            }
            Event::Answer { .. } => false,
        });
    }

    /// An attempt begins at `now`.
    pub fn begin(&mut self, id: RequestId, attempt: Attempt, now: Duration) {
        let arrival = now + self.delay();
        let answer = Some(self.delay());
        let time_out = now + self.faults.timeout;
        let fault = if now < self.outage_until { Fault::LostRequest } else { self.faults.draw(&mut self.choices) };
        let lost = attempt.failed(StoreErrorKind::Unavailable);
        match fault {
            Fault::None | Fault::Cut | Fault::ShortList => {
                self.send(arrival, Event::Attempt { id, attempt, fault, answer });
            }
            Fault::Refused => {
                let kinds = [StoreErrorKind::Throttled, StoreErrorKind::Unavailable];
                let kind = kinds[usize::from(self.choices.percent(50))];
                self.send(arrival, Event::Answer { id, answer: attempt.failed(kind) });
            }
            Fault::LostRequest => self.send(time_out, Event::Answer { id, answer: lost }),
            Fault::LostAnswer | Fault::Late => {
                let late = time_out + self.choices.duration(self.faults.late_max);
                let arrival = if fault == Fault::Late { late } else { arrival };
                self.send(arrival, Event::Attempt { id, attempt, fault, answer: None });
                self.send(time_out, Event::Answer { id, answer: lost });
            }
            Fault::Repeated => {
                let again = arrival + self.choices.duration(self.faults.late_max);
                let (first, second) = if self.choices.percent(50) { (None, answer) } else { (answer, None) };
                let again = if second.is_some() { arrival + self.delay() } else { again };
                self.send(arrival, Event::Attempt { id, attempt: attempt.clone(), fault, answer: first });
                self.send(again, Event::Attempt { id, attempt, fault, answer: second });
            }
            Fault::Conflict if matches!(attempt, Attempt::Request(Request::Put { .. })) => {
                let answer = attempt.failed(StoreErrorKind::AlreadyExists);
                self.send(arrival, Event::Answer { id, answer });
            }
            Fault::Conflict => self.send(arrival, Event::Attempt { id, attempt, fault, answer }),
        }
    }

    /// The answers that have arrived by `now`.
    pub fn answers(&mut self, now: Duration) -> Vec<(RequestId, Answer)> {
        let mut answers = Vec::new();
        while self.wake_at().is_some_and(|at| at <= now) {
            let Some(((at, _), event)) = self.on_its_way.pop_first() else { break };
            match event {
                Event::Answer { id, answer } => answers.push((id, answer)),
                Event::Attempt { id, attempt, fault, answer: back } => {
                    let answer = self.carry_out(&attempt, fault, at);
                    if let Some(back) = back {
                        self.send(at + back, Event::Answer { id, answer });
                    }
                }
            }
        }
        answers
    }

    /// When something arrives, at the store or from it. `None` where nothing is on its way.
    pub fn wake_at(&self) -> Option<Duration> {
        self.on_its_way.first_key_value().map(|((at, _), _)| *at)
    }

    fn delay(&mut self) -> Duration {
        self.choices.duration(self.faults.delay_max)
    }

    fn send(&mut self, at: Duration, event: Event) {
        self.events += 1;
        self.on_its_way.insert((at, self.events), event);
    }

    fn carry_out(&mut self, attempt: &Attempt, fault: Fault, now: Duration) -> Answer {
        if now < self.credentials_expired_until {
            return attempt.failed(StoreErrorKind::CredentialsExpired);
        }
        let request = match attempt {
            Attempt::Request(request) => request,
            Attempt::ReadBack { name, bytes } => {
                return Answer::ReadBack(Content::of(bytes, self.objects.get(name).map(|found| &**found)));
            }
        };
        let reply = match request {
            Request::Put { name, bytes, .. } => {
                if self.create(name, bytes.clone()) {
                    Ok(Reply::Put)
                } else {
                    Err(StoreErrorKind::AlreadyExists)
                }
            }
            Request::Get { name, ranges } => self.get(name, ranges, fault == Fault::Cut).map(Reply::Got),
            Request::List { folder, after, max } => {
                let is_short = fault == Fault::ShortList;
                Ok(Reply::Listed(self.list(folder.as_ref(), after.as_ref(), *max, is_short)))
            }
            Request::Delete { name } => {
                self.objects.remove(name).map(|_| Reply::Deleted).ok_or(StoreErrorKind::NotFound)
            }
        };
        reply.map_or_else(|kind| attempt.failed(kind), Answer::Reply)
    }

    /// Cut, the last byte of one of the ranges is missing, which no store should do: the queue is to find it.
    fn get(&mut self, name: &Name, ranges: &[Range<u64>], is_cut: bool) -> Result<Vec<Bytes>, StoreErrorKind> {
        let object = self.objects.get(name).ok_or(StoreErrorKind::NotFound)?;
        let part = |range: &Range<u64>| {
            let at = |offset| usize::try_from(offset).ok().filter(|at| *at <= object.len());
            let (start, end) = at(range.start).zip(at(range.end)).filter(|(start, end)| start <= end)?;
            Some(object.slice(start..end))
        };
        let mut parts = ranges.iter().map(part).collect::<Option<Vec<_>>>().ok_or(StoreErrorKind::OutOfRange)?;
        let cut = usize::try_from(self.choices.below(parts.len() as u64)).unwrap_or_default();
        if let Some(part) = parts.get_mut(cut).filter(|_| is_cut) {
            part.truncate(part.len().saturating_sub(1));
        }
        Ok(parts)
    }

    fn list(&mut self, folder: Option<&Name>, after: Option<&Name>, max: usize, is_short: bool) -> Page {
        let is_wanted =
            |name: &Name| folder.is_none_or(|folder| name.is_in(folder)) && after.is_none_or(|after| name > after);
        let wanted = self.objects.iter().filter(|(name, _)| is_wanted(name));
        let all = wanted.map(|(name, bytes)| Listed { name: name.clone(), bytes: bytes.len() as u64 });
        let mut objects: Vec<Listed> = all.take(max.max(1).saturating_add(1)).collect();
        let more = objects.len() > max.max(1);
        objects.truncate(max.max(1));
        if is_short {
            objects.retain(|_| self.choices.percent(50));
        }
        Page { objects, more }
    }
}
