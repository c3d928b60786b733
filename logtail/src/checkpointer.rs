//! Writes a checkpoint from its begin to its end.

use std::sync::Arc;

use logboom_logtail_core::{
    log::Refusal,
    store::Urgency,
    writer::{CheckpointKind, CheckpointStep, Checkpointing, FlushError},
};

use crate::{
    checkpoint_object,
    error::{Error, Result},
    put::Put,
    shared::Shared,
};

/// Writes a checkpoint, and lets go of the log behind it. Returns whether there was something to write. `wait` is
/// called while the store puts the object, and says whether to go on.
pub(crate) fn checkpoint(shared: &Arc<Shared>, kind: CheckpointKind, wait: impl FnMut() -> bool) -> Result<bool> {
    let begun = shared.writer().begin_checkpoint(kind, shared.pinned_now());
    let Some(mut checkpoint) = begun else { return Ok(false) };
    let outcome = run(shared, &mut checkpoint, wait);
    shared.writer().end_checkpoint(checkpoint);
    match &outcome {
        Ok(()) => shared.counts.checkpoints.add(1),
        Err(_) => shared.counts.checkpoints_failed.add(1),
    }
    outcome.map(|()| true)
}

fn run(shared: &Shared, checkpoint: &mut Checkpointing, mut wait: impl FnMut() -> bool) -> Result<()> {
    loop {
        let step = checkpoint.step(&mut shared.writer(), &shared.log);
        match step {
            Ok(CheckpointStep::Encode(id, captured)) => {
                let items = captured.items().map_err(Error::Rows)?;
                let object = checkpoint_object::encode(id, &items, &shared.options.objects)?;
                checkpoint.encoded(object.meta, object.bytes);
            }
            Ok(CheckpointStep::Put { name, bytes }) => {
                let put = Put::begin(shared.store.objects(), name, bytes, Urgency::Background);
                let outcome = loop {
                    match put.outcome() {
                        Some(outcome) => break outcome,
                        None if wait() => {}
                        None => return Err(Error::Closed),
                    }
                };
                checkpoint.put_done(outcome)?;
            }
            Ok(CheckpointStep::Done(truncated)) => return truncated.wait().map_err(Error::Log),
            Ok(CheckpointStep::Wait) | Err(FlushError::Log(Refusal::Busy)) => shared.settle()?,
            Err(error) => return Err(error.into()),
        }
    }
}
