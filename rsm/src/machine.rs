//! The contract of a state machine, and the ways in which one can be saved.

use std::io::Write;

use logboom::{EntryBatch, snapshot::Stop};

use crate::{error::Failure, files::Files, reader::SnapshotReader};

/// A deterministic machine that entries of a replicated log drive.
///
/// It starts empty, and its state is a function of the entries that it was given, in order, and of nothing else: no
/// clock, no chance, no order of a hash map. A [`Driver`](crate::Driver) owns it, gives it each committed entry
/// exactly once in its life, and saves and recovers it. How it can be saved is said by one of [`SaveSnapshot`],
/// [`PrepareSnapshot`] and [`OnDisk`].
///
/// What may run at the same time is what the receivers say: any number of calls with `&self`, or one with `&mut self`.
///
/// # Example
/// ```
/// use logboom::EntryBatch;
/// use logboom::snapshot::Stop;
/// use logboom_rsm::{Failure, SnapshotReader, StateMachine};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Output = u64;
///     type Query = ();
///     type Answer = u64;
///
///     fn update(&mut self, entries: &EntryBatch) -> Result<Vec<u64>, Failure> {
///         let mut outputs = Vec::with_capacity(entries.len());
///         for entry in entries {
///             self.0 += entry.payload.len() as u64;
///             outputs.push(self.0);
///         }
///         Ok(outputs)
///     }
///
///     fn lookup(&self, (): &()) -> Result<u64, Failure> {
///         Ok(self.0)
///     }
///
///     fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
///         let mut bytes = [0; 8];
///         std::io::Read::read_exact(from, &mut bytes)?;
///         self.0 = u64::from_le_bytes(bytes);
///         Ok(())
///     }
/// }
/// ```
pub trait StateMachine: Send + Sync + 'static {
    /// What an entry gives whoever proposed it.
    type Output: Send + 'static;
    /// What the state can be asked.
    type Query: ?Sized;
    /// The answer.
    type Answer;

    /// Applies entries, contiguous and behind those of the call before, and gives one output for each, in order.
    ///
    /// Everything that was committed comes here, what a raft core wrote for itself included: its
    /// [kind](logboom::EntryRef::kind) or its empty payload tells. The batch shares the log's memory: bytes that are
    /// to be kept for long are copied.
    ///
    /// # Errors
    /// An entry that the machine refuses is no error, but an output that says so, since all replicas must agree. An
    /// error means that this replica cannot go on: nothing is called any more but [`StateMachine::close`].
    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<Self::Output>, Failure>;

    /// Answers from the state as it is, and changes nothing.
    ///
    /// Called from any thread, beside other lookups and the saving of a snapshot. It waits for an update, and an
    /// update for it; a machine that can do better hands out a handle of its own before a driver takes it.
    ///
    /// # Errors
    /// What a query deserves; the machine goes on.
    fn lookup(&self, query: &Self::Query) -> Result<Self::Answer, Failure>;

    /// Replaces the whole state with the one that was saved, and forgets what it was.
    ///
    /// The snapshot may come from another replica. Its bytes are verified; what they mean is the machine's to check.
    /// A state that is not in memory must be durable only when [`OnDisk::sync`] returns.
    ///
    /// # Errors
    /// The state may be anything then: nothing is called any more but [`StateMachine::close`].
    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, stop: &Stop) -> Result<(), Failure>;

    /// Ends the machine: the last call, if its driver is closed and not merely dropped.
    ///
    /// # Errors
    /// What could not be cleaned up; it is gone all the same.
    fn close(self) -> Result<(), Failure>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// A machine that is saved while it stands still: the simple kind, for states that are saved soon.
///
/// Updates wait until the snapshot is written, lookups do not.
pub trait SaveSnapshot: StateMachine {
    /// Writes the state to `to`, and names the files outside of it that belong to the snapshot.
    ///
    /// # Errors
    /// Whatever keeps it from being written whole: the snapshot comes to nothing, and the machine goes on. What `to`
    /// fails with is best passed on, the signal to stop included.
    fn save_snapshot(&self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure>;
}

/// A machine that can say in a moment what is to be saved, and be updated while that is written.
pub trait PrepareSnapshot: StateMachine {
    /// The state at one moment: a clone of a persistent map, a database's snapshot, numbers of immutable files.
    /// Dropping it lets go of what it keeps.
    type View: SnapshotView;

    /// The state as it is now, which later updates leave alone. Updates wait: this should take no longer than one.
    ///
    /// # Errors
    /// Whatever keeps it from being saved now: the snapshot comes to nothing, and the machine goes on.
    fn prepare_snapshot(&self) -> Result<Self::View, Failure>;
}

/// A state that was prepared to be saved.
pub trait SnapshotView: Send + 'static {
    /// [`SaveSnapshot::save_snapshot`] of this state, on a thread of its own perhaps, beside updates of the machine
    /// and the saving of other views.
    ///
    /// # Errors
    /// As [`SaveSnapshot::save_snapshot`].
    fn save(self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure>;
}

/// A machine that keeps its state on disk itself, and needs no replay of what it has there.
///
/// Snapshots of it are for other replicas: they are saved when one is needed, and the log is compacted behind what was
/// synced.
pub trait OnDisk: PrepareSnapshot {
    /// Opens what is there, and gives the index of the last entry that is part of it: exactly the entries up to that
    /// one, none missing and none more. `None` when there is nothing, or nothing that could be relied on. The first
    /// call of all, once.
    ///
    /// The index is stored atomically with the state that it describes, in each update. Until [`OnDisk::sync`] returns
    /// a crash may take updates back, the last ones first.
    ///
    /// # Errors
    /// The machine cannot be used.
    fn open(&mut self) -> Result<Option<u64>, Failure>;

    /// Makes durable what was applied and recovered before the call.
    ///
    /// # Errors
    /// The machine is not used any more: after a failed sync nobody knows what is on disk.
    fn sync(&self) -> Result<(), Failure>;
}
