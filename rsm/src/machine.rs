//! The contract of a state machine and of its snapshots.

use std::io::Write;

use logboom::{EntryBatch, snapshot::Stop};

use crate::{error::Failure, files::Files, reader::SnapshotReader};

/// A deterministic state machine that applies the entries of a replicated log.
///
/// It starts empty, and its state depends on the entries that it applied, in order, and on nothing else: no clock, no
/// random number, no order of a hash map. A [`Driver`](crate::Driver) owns it, gives it each committed entry exactly
/// once, and saves and recovers it. It implements one of [`SaveSnapshot`], [`PrepareSnapshot`] and [`OnDisk`].
///
/// The receivers say which calls may run concurrently: any number with `&self`, or one with `&mut self`.
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
    /// The result of an entry, for the client that proposed it.
    type Output: Send + 'static;
    /// A query of the state.
    type Query: ?Sized;
    /// The answer.
    type Answer;

    /// Applies entries, contiguous and directly behind those of the previous call, and returns one output for each, in
    /// order.
    ///
    /// Receives every committed entry, including those that a raft core wrote for itself: their
    /// [kind](logboom::EntryRef::kind) or empty payload tells them apart. The batch shares the log's memory: copy bytes
    /// that are kept for long.
    ///
    /// # Errors
    /// A machine that rejects an entry says so in its output, not by an error, since all replicas must agree. An error
    /// stops this replica: only [`StateMachine::close`] is called after it.
    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<Self::Output>, Failure>;

    /// Answers a query from the current state, without changing it.
    ///
    /// Called from any thread, concurrently with other lookups and with the saving of a snapshot. Lookups and updates
    /// wait for each other; a machine that allows more gives out its own handle before a driver takes it.
    ///
    /// # Errors
    /// Any error of the query; the machine stays usable.
    fn lookup(&self, query: &Self::Query) -> Result<Self::Answer, Failure>;

    /// Replaces the whole state with a saved one.
    ///
    /// The snapshot may come from another replica. Its bytes are verified; the machine checks their meaning. A state on
    /// disk need not be durable before [`OnDisk::sync`] returns.
    ///
    /// # Errors
    /// The state is undefined after an error: only [`StateMachine::close`] is called.
    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, stop: &Stop) -> Result<(), Failure>;

    /// Ends the machine: the last call, if its driver is closed and not merely dropped.
    ///
    /// # Errors
    /// A failed cleanup; the machine is dropped anyway.
    fn close(self) -> Result<(), Failure>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// A machine whose updates wait while it is saved (a blocking snapshot): the simple kind, for states that are saved
/// quickly.
///
/// Updates wait until the snapshot is written; lookups do not.
pub trait SaveSnapshot: StateMachine {
    /// Writes the state to `to`, and adds to `files` the separate files that belong to the snapshot.
    ///
    /// # Errors
    /// Any failure: the snapshot is dropped, and the machine stays usable. Pass on errors of `to`, which include the
    /// stop signal.
    fn save_snapshot(&self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure>;
}

/// A machine that prepares a view of its state quickly, and applies updates while the view is written (a concurrent
/// snapshot).
pub trait PrepareSnapshot: StateMachine {
    /// The state at one moment: a clone of a persistent map, a database's snapshot, numbers of immutable files.
    /// Dropping it releases its resources.
    type View: SnapshotView;

    /// Returns a view of the current state, which later updates do not change. Updates wait for this call, so it should
    /// be as quick as one.
    ///
    /// # Errors
    /// Any failure: the snapshot is dropped, and the machine stays usable.
    fn prepare_snapshot(&self) -> Result<Self::View, Failure>;
}

/// A view of a state, to be saved.
pub trait SnapshotView: Send + 'static {
    /// [`SaveSnapshot::save_snapshot`] of this view. May run on any thread, concurrently with updates of the machine
    /// and with the saving of other views.
    ///
    /// # Errors
    /// As [`SaveSnapshot::save_snapshot`].
    fn save(self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure>;
}

/// A machine that keeps its state on disk itself, so that nothing of it is replayed.
///
/// Its snapshots serve other replicas only: they are saved on request, and the log is compacted up to the synced state.
pub trait OnDisk: PrepareSnapshot {
    /// Opens the state and returns the index of its last entry: the state has exactly the entries up to and including
    /// that one. `None` when there is no usable state. Called once, before every other method.
    ///
    /// Each update must store the index atomically with the state. Until [`OnDisk::sync`] returns, a crash may undo
    /// updates, the last ones first.
    ///
    /// # Errors
    /// The machine cannot be used.
    fn open(&mut self) -> Result<Option<u64>, Failure>;

    /// Makes everything durable that was applied and recovered before the call.
    ///
    /// # Errors
    /// The machine is not used any more: after a failed sync the state on disk is unknown.
    fn sync(&self) -> Result<(), Failure>;
}
