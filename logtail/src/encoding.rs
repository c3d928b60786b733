//! `Encoding`: a flush whose objects are being encoded on a thread of their own.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use logboom_logtail_core::flush::{EncodeJob, Encoded};

use crate::{
    encode::encode,
    error::{Error, Result},
    shared::Shared,
};

/// Objects that are being encoded: for a job that reads the store, which may take as long as the store is gone. The
/// thread that began it goes on with others, and does not wait for it when it ends.
#[derive(Debug)]
pub(crate) struct Encoding {
    outcome: mpsc::Receiver<Result<Encoded>>,
}

impl Encoding {
    pub(crate) fn begin(shared: &Arc<Shared>, job: EncodeJob) -> Result<Self> {
        let (sender, outcome) = mpsc::channel();
        let shared = Arc::clone(shared);
        // The flush may have been dropped, and its end of the channel with it.
        let work = move || _ = sender.send(encode(job, &shared.store, &shared.options.objects));
        thread::Builder::new().name("logtail-encode".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self { outcome })
    }

    /// Its outcome, if there is one by now.
    pub(crate) fn outcome(&self) -> Option<Result<Encoded>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(Error::Closed)),
        }
    }
}
