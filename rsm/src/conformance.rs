//! A test suite for implementations of a state machine, to be run in their own tests.
//!
//! Each function takes a [`Subject`], which makes machines and entries, runs random histories on two machines or in two
//! ways, compares them, and names the [`Rule`] that was broken. A seed repeats a run.
//!
//! # Example
//! ```
//! use std::io::{Read, Write};
//!
//! use logboom::{EntryBatch, snapshot::Stop};
//! use logboom_rsm::{Failure, Files, SaveSnapshot, SnapshotReader, StateMachine, conformance};
//!
//! /// Keeps the bytes of all entries.
//! #[derive(Default)]
//! struct Journal(Vec<u8>);
//!
//! impl StateMachine for Journal {
//!     type Output = usize;
//!     type Query = usize;
//!     type Answer = Option<u8>;
//!
//!     fn update(&mut self, entries: &EntryBatch) -> Result<Vec<usize>, Failure> {
//!         let mut outputs = Vec::with_capacity(entries.len());
//!         for entry in entries {
//!             self.0.extend_from_slice(entry.payload);
//!             outputs.push(self.0.len());
//!         }
//!         Ok(outputs)
//!     }
//!
//!     fn lookup(&self, at: &usize) -> Result<Option<u8>, Failure> {
//!         Ok(self.0.get(*at).copied())
//!     }
//!
//!     fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
//!         self.0.clear();
//!         from.read_to_end(&mut self.0)?;
//!         Ok(())
//!     }
//! }
//!
//! impl SaveSnapshot for Journal {
//!     fn save_snapshot(&self, to: &mut dyn Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
//!         Ok(to.write_all(&self.0)?)
//!     }
//! }
//!
//! struct Subject;
//!
//! impl conformance::Subject for Subject {
//!     type Machine = Journal;
//!
//!     fn machine(&self) -> Journal {
//!         Journal::default()
//!     }
//!
//!     fn payload(&self, random: u64) -> Vec<u8> {
//!         random.to_string().into_bytes()
//!     }
//!
//!     fn query(&self, random: u64) -> Box<usize> {
//!         Box::new(random as usize % 1000)
//!     }
//!
//!     fn state(&self, machine: &Journal) -> Vec<u8> {
//!         machine.0.clone()
//!     }
//! }
//!
//! conformance::blocking(&Subject, 7)?;
//! # Ok::<(), conformance::Violation>(())
//! ```

use std::fmt::Debug;

use crate::{
    machine::{OnDisk, PrepareSnapshot, SaveSnapshot, StateMachine},
    objects::ObjectSnapshots,
    pre_commit::PreCommit,
};

mod basics;
mod bench;
mod disk;
mod log;
pub mod log_store;
mod memory;
mod objects;
mod pre_commit;
mod saving;

use bench::Bench;
use saving::Saver;

/// The implementation under test: makes, feeds and compares machines.
pub trait Subject {
    /// The machine.
    type Machine: StateMachine<Output: Debug, Answer: Debug>;

    /// A new, empty machine, independent of all others; one that keeps its own state is not [opened](OnDisk::open) yet.
    fn machine(&self) -> Self::Machine;

    /// The payload of an entry, derived from `random` only. Entries should conflict: write the same keys, and fail at
    /// times. The suite adds entries without payload, as raft cores write them.
    fn payload(&self, random: u64) -> Vec<u8>;

    /// A query, derived from `random` only.
    fn query(&self, random: u64) -> Box<<Self::Machine as StateMachine>::Query>;

    /// The whole state as bytes: equal for two machines exactly if no call could tell them apart.
    fn state(&self, machine: &Self::Machine) -> Vec<u8>;
}

/// A [`Subject`] whose machine keeps its own state.
pub trait OnDiskSubject: Subject {
    /// Ends a machine as a power cut does, and returns a machine on the state that is left, not opened yet.
    fn crash(&self, machine: Self::Machine) -> Self::Machine;
}

/// A rule of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The same entries make the same state and the same outputs, however they are cut into updates.
    Deterministic,
    /// An update gives one output for each entry.
    OneOutputEach,
    /// No method fails without a reason.
    NoFailure,
    /// A lookup changes nothing.
    LookupChangesNothing,
    /// A save or a preparation changes nothing.
    SavingChangesNothing,
    /// A machine that recovered is the one that was saved, in everything that follows too.
    RecoveryIsWhole,
    /// A recovery leaves nothing of what the machine was before.
    RecoveryReplaces,
    /// A recovery reads what was saved to its end.
    RecoveryReadsAll,
    /// Writers and readers may take and give less than they were asked for.
    AnyChunking,
    /// What a writer fails with, the machine fails with, and soon.
    PassesWriteErrors,
    /// What a reader fails with, the machine fails with.
    PassesReadErrors,
    /// After a signal to stop nothing comes of a save, and the machine goes on as before.
    StopLeavesNothing,
    /// What was prepared is the state of that moment, whatever is applied later.
    Isolated,
    /// A machine that was opened says what its state is that of.
    OpensAtItsIndex,
    /// What was synced survives.
    SyncedSurvives,
    /// An object is the same whenever it is read.
    ObjectsRepeat,
    /// A transfer comes to an end.
    ObjectsEnd,
    /// What is received leaves the machine alone until it recovers from it.
    ReceivingChangesNothing,
    /// What was prepared for before it is committed is no part of the state.
    PreparedIsNoState,
    /// What was taken back leaves no trace.
    RollbackUndoes,
}

/// A rule was broken.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{rule:?}: {what} (seed {seed})")]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The observation that breaks it.
    pub what: String,
    /// The seed that repeats it.
    pub seed: u64,
}

/// Checks a machine with blocking snapshots, whose updates wait while it is saved.
///
/// # Errors
/// The first rule that was found broken.
pub fn blocking<S: Subject<Machine: SaveSnapshot>>(subject: &S, seed: u64) -> Result<(), Violation> {
    let mut bench = Bench::new(subject, seed)?;
    basics::check(&mut bench)?;
    let saver: Saver<S::Machine> = &|machine, to, files, stop| machine.save_snapshot(to, files, stop);
    saving::check(&mut bench, saver)
}

/// Checks a machine that is saved concurrently with updates.
///
/// # Errors
/// The first rule that was found broken.
pub fn concurrent<S: Subject<Machine: PrepareSnapshot>>(subject: &S, seed: u64) -> Result<(), Violation> {
    let mut bench = Bench::new(subject, seed)?;
    basics::check(&mut bench)?;
    saving::check(&mut bench, saving::prepared())?;
    saving::check_isolation(&mut bench)
}

/// Checks a machine that keeps its own state.
///
/// # Errors
/// The first rule that was found broken.
pub fn on_disk<S: OnDiskSubject<Machine: OnDisk>>(subject: &S, seed: u64) -> Result<(), Violation> {
    let mut bench = Bench::new_opening(subject, seed, &|machine| machine.open())?;
    basics::check(&mut bench)?;
    saving::check(&mut bench, saving::prepared())?;
    saving::check_isolation(&mut bench)?;
    disk::check(&mut bench)
}

/// Checks how a machine sends and receives logical objects. Run it in addition to one of the others.
///
/// # Errors
/// The first rule that was found broken.
pub fn objects<S: Subject<Machine: ObjectSnapshots>>(subject: &S, seed: u64) -> Result<(), Violation> {
    objects::check(&mut Bench::new(subject, seed)?)
}

/// [`objects`], for a machine that keeps its own state.
///
/// # Errors
/// The first rule that was found broken.
pub fn on_disk_objects<S>(subject: &S, seed: u64) -> Result<(), Violation>
where
    S: OnDiskSubject<Machine: OnDisk + ObjectSnapshots>,
{
    let mut bench = Bench::new_opening(subject, seed, &|machine| machine.open())?;
    objects::check(&mut bench)?;
    objects::check_on_disk(&mut bench)
}

/// Checks how a machine prepares for uncommitted entries. Run it in addition to one of the others.
///
/// # Errors
/// The first rule that was found broken.
pub fn pre_commit<S: Subject<Machine: PreCommit>>(subject: &S, seed: u64) -> Result<(), Violation> {
    pre_commit::check(&mut Bench::new(subject, seed)?)
}
