//! The write side: rounds into batches, and what is durable back to the loop, in order.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Slot},
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use logboom::{Durability, Engine, ShardId, Ticket};

use crate::{
    error::{Error, Result},
    left_out::LeftOut,
    round::{Round, Save, Saved},
};

/// Saves the `Ready`s of the groups of one raft loop: the write side that raft-rs leaves to its user.
///
/// A loop has one, and all its groups save through it, so that what each waits for is known; a group may change its
/// loop when nothing of it is [pending](Writer::pending). The two ways to handle a `Ready` can be mixed:
///
/// | | [`Writer::write`] | [`Writer::submit`] |
/// |---|---|---|
/// | when it returns | durable | in the log and readable |
/// | then | [`advance`](raft::RawNode::advance) | [`advance_append_async`](raft::RawNode::advance_append_async) |
/// | and | the messages of [`Saved`] | [`Writer::persisted`] when notified: messages, [`on_persist_ready`] |
///
/// A `Ready` for which nothing has to be durable, [`must_sync`](raft::Ready::must_sync), waits for no sync but those
/// of earlier ones of its group.
///
/// [`on_persist_ready`]: raft::RawNode::on_persist_ready
pub struct Writer {
    engine: Engine,
    notify: Arc<dyn Fn() + Send + Sync>,
    outcomes: Arc<Outcomes>,
    /// What each durable submission has to tell, in their order.
    waiting: VecDeque<Vec<Saved>>,
    /// Of how many submissions `waiting` has let go.
    told: u64,
    /// How many `Ready`s of a shard are in `waiting`.
    pending: HashMap<ShardId, u32>,
    /// What can be told without waiting for anything.
    released: Vec<Saved>,
}

/// How the submissions have ended, in their order.
#[derive(Default)]
struct Outcomes {
    durable: AtomicU64,
    failure: OnceLock<logboom::Error>,
}

impl Writer {
    /// A writer to `engine`. `notify` is called, on a thread of the engine or in a call of the writer, whenever
    /// [`Writer::persisted`] has more to say: it wakes the loop, and does little else.
    pub fn new(engine: &Engine, notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            engine: engine.clone(),
            notify: Arc::new(notify),
            outcomes: Arc::default(),
            waiting: VecDeque::new(),
            told: 0,
            pending: HashMap::new(),
            released: Vec::new(),
        }
    }

    /// Puts a round into the log, and empties it: on return the groups read what it holds, and nothing of it has to be
    /// durable yet. Waits while too many bytes are on their way to the disk. Gives the groups that it was saved
    /// without.
    ///
    /// # Errors
    /// [`Error::Engine`], of [`Engine::submit`]; [`Error::NoSnapshot`]. The round stays as it was: it can be submitted
    /// again when there is room, after [`logboom::Error::Full`].
    pub fn submit(&mut self, round: &mut Round<'_>) -> Result<LeftOut> {
        let ticket = round.put(|round| self.submit_batches(round))?;
        self.keep(round.take_saves(), ticket.is_some());
        if !self.released.is_empty() {
            (self.notify)();
        }
        if let Some(ticket) = ticket {
            let (outcomes, notify) = (Arc::clone(&self.outcomes), Arc::clone(&self.notify));
            ticket.on_complete(move |outcome| {
                outcomes.add(outcome);
                notify();
            });
        }
        Ok(round.take_left_out())
    }

    /// Puts a round into the log, empties it, and waits until it is durable, if anything of it has to be. Gives what it
    /// saved, whose nodes are told by [`advance`](raft::RawNode::advance), and the groups that it was saved without.
    ///
    /// What was submitted before is durable as well then. Where there is any, [`Writer::persisted`] is to be asked
    /// before the nodes advance: a snapshot may be among it, which comes before whatever `advance` has to apply.
    ///
    /// # Errors
    /// As [`Writer::submit`]; [`logboom::Error::Poisoned`] when the log has failed: nothing is known to be saved then.
    pub fn write(&mut self, round: &mut Round<'_>) -> Result<(Vec<Saved>, LeftOut)> {
        round.put(|round| self.write_batches(round))?;
        self.check()?;
        self.told += self.waiting.len() as u64;
        self.released.extend(self.waiting.drain(..).flatten());
        self.pending.clear();
        if !self.released.is_empty() {
            (self.notify)();
        }
        Ok((round.take_saves().into_iter().map(|save| save.saved).collect(), round.take_left_out()))
    }

    /// What has been saved since this was asked last, in the order of its submission.
    ///
    /// # Errors
    /// [`Error::Engine`], from when the log has failed on: nothing that was not told before will ever be.
    pub fn persisted(&mut self) -> Result<Vec<Saved>> {
        self.check()?;
        let durable = self.outcomes.durable.load(Ordering::Acquire);
        while self.told < durable
            && let Some(saved) = self.waiting.pop_front()
        {
            self.told += 1;
            for saved in &saved {
                self.settle(saved.shard);
            }
            self.released.extend(saved);
        }
        Ok(std::mem::take(&mut self.released))
    }

    /// How many `Ready`s were submitted and not told to be saved.
    pub fn pending(&self) -> usize {
        self.released.len() + self.waiting.iter().map(Vec::len).sum::<usize>()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The ticket is of the last batch, where anything has to be durable.
    fn submit_batches(&self, round: &Round<'_>) -> Result<Option<Ticket>> {
        let is_durable = round.is_durable();
        let durability = if is_durable { Durability::Durable } else { Durability::Lazy };
        let mut ticket = None;
        for batch in round.batches(&self.engine)? {
            ticket = Some(self.engine.submit(batch, durability)?);
        }
        Ok(ticket.filter(|_| is_durable))
    }

    fn write_batches(&self, round: &Round<'_>) -> Result<()> {
        let waits = round.is_durable() || !self.waiting.is_empty();
        let durability = if waits { Durability::Durable } else { Durability::Lazy };
        let mut batches = round.batches(&self.engine)?;
        let last = batches.pop();
        for batch in batches {
            drop(self.engine.submit(batch, durability)?);
        }
        match last {
            Some(batch) if waits => self.engine.write(batch)?,
            Some(batch) => drop(self.engine.submit(batch, durability)?),
            None if waits => self.engine.barrier()?.wait()?,
            None => {}
        }
        Ok(())
    }

    /// Has the saves wait for what they have to wait for: those that must be synced for this submission, the others
    /// for the last of their group that waits, if one does.
    fn keep(&mut self, saves: Vec<Save>, is_submission: bool) {
        if is_submission {
            self.waiting.push_back(Vec::new());
        }
        for Save { saved, must_sync } in saves {
            match self.waiting.back_mut() {
                Some(waiting) if must_sync || self.pending.contains_key(&saved.shard) => {
                    *self.pending.entry(saved.shard).or_default() += 1;
                    waiting.push(saved);
                }
                _ => self.released.push(saved),
            }
        }
    }

    /// One `Ready` less of the shard waits.
    fn settle(&mut self, shard: ShardId) {
        if let Slot::Occupied(mut pending) = self.pending.entry(shard) {
            match pending.get() {
                0 | 1 => drop(pending.remove()),
                _ => *pending.get_mut() -= 1,
            }
        }
    }

    fn check(&self) -> Result<()> {
        match self.outcomes.failure.get() {
            Some(failure) => Err(Error::Engine(failure.clone())),
            None => Ok(()),
        }
    }
}

impl Outcomes {
    fn add(&self, outcome: logboom::Result<()>) {
        match outcome {
            Ok(()) => drop(self.durable.fetch_add(1, Ordering::Release)),
            // Only the first counts; every later one names it.
            Err(error) => drop(self.failure.set(error)),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
