//! The contract of a state machine.

use std::io::{Read, Write};

use crate::error::Failure;

/// A deterministic machine that the entries of a group drive: its state is a function of what was applied, in order,
/// and of nothing else.
///
/// It lives in memory and starts empty. What lasts is its snapshots, which lie in the engine, and the log behind them:
/// a restart recovers the newest snapshot, and openraft applies what was committed since.
///
/// # Example
/// ```
/// use std::io::{Read, Write};
///
/// use logboom_openraft::{Data, Failure, SnapshotView, StateMachine};
///
/// /// Counts bytes.
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Data = Data;
///     type Reply = u64;
///     type View = Counter;
///
///     fn apply(&mut self, _: u64, data: Data) -> Result<u64, Failure> {
///         self.0 += data.0.len() as u64;
///         Ok(self.0)
///     }
///
///     fn view(&self) -> Result<Counter, Failure> {
///         Ok(Counter(self.0))
///     }
///
///     fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
///         let mut bytes = [0; 8];
///         from.read_exact(&mut bytes)?;
///         self.0 = u64::from_le_bytes(bytes);
///         Ok(())
///     }
/// }
///
/// impl SnapshotView for Counter {
///     fn save(self, to: &mut dyn Write) -> Result<(), Failure> {
///         Ok(to.write_all(&self.0.to_le_bytes())?)
///     }
/// }
/// ```
pub trait StateMachine: Send + Sync + 'static {
    /// What it is given: openraft's `D`.
    type Data;
    /// What it answers: openraft's `R`. Entries that are openraft's own are answered with the default of it.
    type Reply: Default;
    /// The state at one moment, being saved.
    type View: SnapshotView;

    /// Applies the data of the entry at `index`. The indexes rise; those of openraft's own entries are left out.
    ///
    /// Data that the machine refuses is no error, but a reply that says so: all replicas must agree.
    ///
    /// # Errors
    /// This replica cannot go on: openraft ends it.
    fn apply(&mut self, index: u64, data: Self::Data) -> Result<Self::Reply, Failure>;

    /// The state as it is now, which later entries leave alone: a clone of a persistent map, say. Applying waits.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn view(&self) -> Result<Self::View, Failure>;

    /// Replaces the whole state with the one that was saved, here or by another replica. Its bytes are verified; what
    /// they mean is the machine's to check.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure>;
}

/// A state at one moment.
pub trait SnapshotView: Send + 'static {
    /// Writes the state to `to`, on a thread of its own, beside whatever the machine does.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn save(self, to: &mut dyn Write) -> Result<(), Failure>;
}
