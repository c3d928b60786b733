//! The contract of a state machine.

use std::io::{Read, Write};

use crate::error::Failure;

/// A deterministic state machine that applies the entries of a group: its state depends on the applied entries, in
/// order, and on nothing else.
///
/// It lives in memory and starts empty. The engine stores its snapshots and the log behind them: a restart recovers the
/// newest snapshot, and openraft applies the entries committed since.
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
    /// The input: openraft's `D`.
    type Data;
    /// The reply: openraft's `R`. Entries of openraft's own are answered with its default.
    type Reply: Default;
    /// The state at one moment, being saved.
    type View: SnapshotView;

    /// Applies the data of the entry at `index`. The indexes rise; those of openraft's own entries are left out.
    ///
    /// Reject invalid data by a reply, not by an error: all replicas must agree.
    ///
    /// # Errors
    /// Openraft stops this replica.
    fn apply(&mut self, index: u64, data: Self::Data) -> Result<Self::Reply, Failure>;

    /// Returns a view of the current state, which later entries do not change: a clone of a persistent map, say.
    /// Applying waits.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn view(&self) -> Result<Self::View, Failure>;

    /// Replaces the whole state with one saved here or by another replica. Its bytes are verified; the machine checks
    /// their meaning.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn recover(&mut self, from: &mut dyn Read) -> Result<(), Failure>;
}

/// A state at one moment.
pub trait SnapshotView: Send + 'static {
    /// Writes the state to `to`, on a separate thread, concurrently with the machine.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn save(self, to: &mut dyn Write) -> Result<(), Failure>;
}
