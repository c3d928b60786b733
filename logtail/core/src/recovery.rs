//! Makes the state from the records of a log.

use std::collections::BTreeSet;

use crate::{
    checkpoint::{Checkpoint, Item},
    clients::Clients,
    clock::RESERVE,
    mutants::{self, Mutant},
    object_id::ObjectId,
    record::{Deletes, Position, Record, RecordError},
    state::{Applier, ApplyError},
    tail::TailTable,
    timestamp::Timestamp,
};

/// Reads the records of a log, from the first to the last.
#[derive(Debug, Default)]
pub struct Recovery {
    recovered: Recovered,
    /// The position of the last record that counts.
    last: Option<Position>,
    /// The state is that of a checkpoint, and the first record need not be the first of its epoch.
    restored: bool,
}

/// What the records of a log come to.
#[derive(Debug, Default)]
pub struct Recovered {
    pub(crate) applier: Applier,
    /// The highest bound of a clock.
    pub(crate) bound: Timestamp,
    /// The highest epoch; 0 for a new log.
    pub(crate) epoch: u64,
    /// The log's identity; `None` for a new log.
    pub(crate) identity: Option<u64>,
    pub(crate) tail: TailTable,
    pub(crate) clients: Clients,
    /// The newest checkpoint.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Objects that an intent names and no later record.
    pub(crate) intended: BTreeSet<ObjectId>,
}

/// Why the records of a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index} of the log")]
pub struct RecoveryError {
    /// The index of the record.
    pub index: u64,
    /// What is wrong with it.
    #[source]
    pub cause: RecoveryCause,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryCause {
    /// Its bytes are no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Records are missing before it.
    #[error("the record follows record {last:?} of its epoch, and has number {found}")]
    Gap {
        /// The sequence of the last record of the epoch, if there was one.
        last: Option<u64>,
        /// The record's.
        found: u64,
    },
    /// It does not follow from the records before it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl Recovery {
    /// Begins with a checkpoint, of whose objects these are the items in their order. The records that the log has
    /// follow, those from before the checkpoint included.
    ///
    /// # Errors
    /// [`ApplyError`] where the items contradict each other.
    pub fn restore(checkpoint: Checkpoint, items: Vec<Item>) -> Result<Self, ApplyError> {
        let (bound, identity) = (checkpoint.bound, Some(checkpoint.identity));
        let mut recovered = Recovered { bound, identity, ..Recovered::default() };
        for item in &items {
            if let Item::Clients(clients) = item {
                clients.iter().for_each(|(id, at)| recovered.clients.insert(*id, *at));
            }
        }
        recovered.applier.restore(&checkpoint, items)?;
        recovered.intended = checkpoint.intended.iter().copied().collect();
        recovered.checkpoint = Some(checkpoint);
        Ok(Self { recovered, last: None, restored: true })
    }

    /// Takes the next record, which has this index in the log. Records of epochs below one that has begun are ignored:
    /// a writer that had been replaced proposed them.
    ///
    /// # Errors
    /// [`RecoveryError`]; the recovery is of no more use then.
    pub fn record(&mut self, index: u64, bytes: &[u8]) -> Result<(), RecoveryError> {
        self.read(index, bytes).map_err(|cause| RecoveryError { index, cause })
    }

    /// The log's identity, once a record has told it.
    pub fn identity(&self) -> Option<u64> {
        self.recovered.identity
    }

    /// What the records come to, when all have been taken. All of them are committed.
    pub fn finish(mut self) -> Recovered {
        let last = self.recovered.applier.last();
        if mutants::is_on(Mutant::WatermarkTooHigh) {
            self.recovered.applier.publish(self.recovered.bound.saturating_add(RESERVE));
        } else if !mutants::is_on(Mutant::WatermarkForgotten) {
            self.recovered.applier.publish(last);
        }
        self.recovered.applier.prune();
        self.recovered
    }

    fn read(&mut self, index: u64, bytes: &[u8]) -> Result<(), RecoveryCause> {
        let (position, record) = Record::decode(bytes)?;
        if position.epoch < self.recovered.epoch {
            return Ok(());
        }
        self.follow(position, &record)?;
        match record {
            Record::Epoch { identity, .. } => self.recovered.identity = Some(identity),
            Record::Intent(intent) => {
                let end = intent.objects.iter().map(|object| object.number.saturating_add(1)).max();
                self.recovered.applier.use_numbers(end.unwrap_or(0));
                self.recovered.intended.extend(intent.objects);
            }
            Record::Checkpoint(checkpoint) => {
                self.recovered.bound = self.recovered.bound.max(checkpoint.bound);
                self.recovered.applier.use_numbers(checkpoint.next_number);
                checkpoint.objects.iter().for_each(|object| _ = self.recovered.intended.remove(&object.id));
            }
            Record::Flushed(flushed) => {
                flushed.object_ids().for_each(|id| _ = self.recovered.intended.remove(&id));
                self.recovered.applier.place_flushed(&flushed)?;
                // The next records delete rows from its objects, and readers are not there yet.
                self.recovered.applier.publish(flushed.timestamp);
            }
            Record::Loaded(loaded) => {
                let Recovered { applier, tail, intended, .. } = &mut self.recovered;
                loaded.objects.iter().for_each(|object| _ = intended.remove(&object.id));
                applier.place_loaded(&loaded)?;
                applier.publish(loaded.timestamp);
                tail.push(loaded.timestamp, index, [loaded.table]);
            }
            Record::Bound(bound) => self.recovered.bound = self.recovered.bound.max(bound),
            Record::Commit(mut commit) => {
                if mutants::is_on(Mutant::DeletesForgotten) {
                    commit.sections.iter_mut().for_each(|section| section.deleted = Deletes::default());
                }
                let Recovered { applier, tail, clients, .. } = &mut self.recovered;
                applier.place(&commit)?;
                tail.push(commit.timestamp, index, commit.sections.iter().map(|section| section.table));
                if let Some(id) = commit.client_id
                    && !mutants::is_on(Mutant::ClientsForgotten)
                {
                    clients.insert(id, commit.timestamp);
                }
            }
        }
        Ok(())
    }

    /// Checks that no record is missing before the one at `position`.
    fn follow(&mut self, position: Position, record: &Record<'_>) -> Result<(), RecoveryCause> {
        if self.restored && self.last.is_none() {
            self.recovered.epoch = position.epoch;
            self.last = Some(position);
            return Ok(());
        }
        let last = self.last.filter(|last| last.epoch == position.epoch).map(|last| last.sequence);
        let expected = last.map_or(0, |last| last.saturating_add(1));
        let begins = matches!(record, Record::Epoch { .. }) == (expected == 0);
        if position.sequence != expected || !begins {
            return Err(RecoveryCause::Gap { last, found: position.sequence });
        }
        self.recovered.epoch = position.epoch;
        self.last = Some(position);
        Ok(())
    }
}
