//! `SaveJob`: saves a machine's snapshot, on any thread.

use std::{
    fmt,
    io::{self, BufReader, Write},
    sync::Arc,
};

use bytes::Bytes;
use logboom::{
    Engine, EntryId, ShardId, Snapshots,
    snapshot::{Builder, Built, Codec, Progress, Spec, Stop},
};

use crate::{
    error::{Error, Failure, Result},
    files::Files,
    machine::{OnDisk, PrepareSnapshot, SaveSnapshot, SnapshotView, StateMachine},
    machine_cell::{MachineCell, MachineState},
    policy::Trigger,
    reader::{ADDED, STATE},
};

/// Bytes of an added file that are read at once.
const COPY_BYTES: usize = 256 << 10;

/// A snapshot to be saved: call [`SaveJob::run`] on any thread, and pass the result to
/// [`Driver::finish`](crate::Driver::finish).
///
/// Dropping it withdraws the request.
#[must_use = "a snapshot is saved by running its job"]
pub struct SaveJob<M> {
    snapshots: Snapshots,
    shard: ShardId,
    codec: Codec,
    subject: Subject<M>,
    trigger: Trigger,
    stop: Stop,
    alive: Arc<()>,
}

/// The result of a [`SaveJob`].
#[must_use = "a snapshot is the shard's when its driver has it"]
#[derive(Debug)]
pub struct Saved {
    pub(crate) outcome: Result<Built>,
    pub(crate) alive: Arc<()>,
}

/// How the driver saves its machine.
pub(crate) enum Saving<M> {
    Blocking(WriteBlocking<M>),
    Prepared(fn(&M) -> Result<WriteState, Failure>),
}

/// How a machine that keeps its own state is opened and synced.
pub(crate) struct Keeping<M> {
    pub(crate) open: fn(&mut M) -> Result<Option<u64>, Failure>,
    pub(crate) sync: fn(&M) -> Result<(), Failure>,
}

type WriteBlocking<M> = fn(&M, &mut dyn Write, &mut Files, &Stop) -> Result<(), Failure>;
type WriteState = Box<dyn FnOnce(&mut dyn Write, &mut Files, &Stop) -> Result<(), Failure> + Send>;

/// The source of a job's state.
enum Subject<M> {
    /// The machine, as it is when the job runs.
    Blocking(Arc<MachineCell<M>>, WriteBlocking<M>),
    Prepared(Label, WriteState),
}

/// Index, term and membership of a saved state.
struct Label {
    applied: (u64, u64),
    membership: Bytes,
}

impl<M: SaveSnapshot> Saving<M> {
    pub(crate) fn blocking() -> Self {
        Self::Blocking(M::save_snapshot)
    }
}

impl<M: PrepareSnapshot> Saving<M> {
    pub(crate) fn prepared() -> Self {
        Self::Prepared(|machine| {
            let view = machine.prepare_snapshot()?;
            Ok(Box::new(|to: &mut dyn Write, files: &mut Files, stop: &Stop| view.save(to, files, stop)))
        })
    }
}

impl<M: OnDisk> Keeping<M> {
    pub(crate) fn new() -> Self {
        Self { open: M::open, sync: M::sync }
    }
}

impl<M: StateMachine> SaveJob<M> {
    /// Prepares to save the machine as it is; `None` if nothing was applied.
    pub(crate) fn new(
        engine: &Engine,
        shard: ShardId,
        codec: Codec,
        cell: &Arc<MachineCell<M>>,
        saving: &Saving<M>,
        trigger: Trigger,
    ) -> Result<Option<Self>> {
        let subject = match saving {
            Saving::Blocking(write) => Subject::Blocking(Arc::clone(cell), *write),
            Saving::Prepared(prepare) => {
                let locked = cell.read();
                let current = locked.get()?;
                let Some(label) = Label::of(current) else { return Ok(None) };
                let view = prepare(&current.machine).map_err(|failure| Error::machine("prepare_snapshot", failure))?;
                Subject::Prepared(label, view)
            }
        };
        let (stop, alive) = (Stop::new(), Arc::new(()));
        Ok(Some(Self { snapshots: engine.snapshots(), shard, codec, subject, trigger, stop, alive }))
    }

    /// Why the snapshot is saved.
    pub fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// The signal that ends the job early, leaving no snapshot.
    pub fn stop_signal(&self) -> Stop {
        self.stop.clone()
    }

    /// Saves the snapshot durably, without registering it. Updates of the machine wait meanwhile if it is a
    /// [`SaveSnapshot`].
    pub fn run(self) -> Saved {
        self.run_watched(drop)
    }

    /// [`SaveJob::run`] that passes a handle to its progress, usable from any thread, to `watch` once the snapshot has
    /// begun.
    pub fn run_watched(self, watch: impl FnOnce(Progress)) -> Saved {
        let Self { snapshots, shard, codec, subject, stop, alive, .. } = self;
        let begin = |label: Label| {
            let builder = snapshots.build(label.spec(shard, codec), &stop)?;
            watch(builder.progress());
            Ok(builder)
        };
        let outcome = build(subject, begin, &stop);
        Saved { outcome, alive }
    }

    pub(crate) fn alive(&self) -> &Arc<()> {
        &self.alive
    }
}

impl Label {
    fn of<M>(current: &MachineState<M>) -> Option<Self> {
        Some(Self { applied: current.applied?, membership: current.membership.clone() })
    }

    fn spec(self, shard: ShardId, codec: Codec) -> Spec {
        let (index, term) = self.applied;
        let mut spec = Spec::new(shard.0, EntryId { index, term });
        spec.membership = self.membership.to_vec();
        spec.codec = codec;
        spec
    }
}

impl<M> fmt::Debug for SaveJob<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveJob").field("shard", &self.shard).field("trigger", &self.trigger).finish_non_exhaustive()
    }
}

fn build<M>(subject: Subject<M>, begin: impl FnOnce(Label) -> Result<Builder>, stop: &Stop) -> Result<Built> {
    let mut files = Files::default();
    let mut builder = match subject {
        Subject::Prepared(label, write) => {
            let mut builder = begin(label)?;
            write_state(&mut builder, |to| write(to, &mut files, stop))?;
            builder
        }
        Subject::Blocking(cell, write) => cell.read_blocking(|current| {
            let mut builder = begin(Label::of(current).ok_or(Error::Closed)?)?;
            write_state(&mut builder, |to| write(&current.machine, to, &mut files, stop))?;
            Ok(builder)
        })?,
    };
    for (name, contents) in files.into_inner() {
        let mut file = builder.file(&format!("{ADDED}{name}"))?;
        io::copy(&mut BufReader::with_capacity(COPY_BYTES, contents), &mut file).map_err(Error::io)?;
    }
    Ok(builder.finish()?)
}

fn write_state(builder: &mut Builder, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<()> {
    let mut state = builder.file(STATE)?;
    write(&mut state).map_err(|failure| Error::streaming("save_snapshot", failure))
}
