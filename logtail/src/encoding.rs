//! `Encoding`: a flush whose objects are being encoded.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use logboom_logtail_core::flush::EncodeJob;

use crate::{
    encode::{EncodedNext, Encoder},
    error::{Error, Result},
    shared::Shared,
};

/// Objects that are being encoded: where they are asked for, or on a thread of their own, while others are put. The
/// thread encodes one object before it is asked for, and ends when nobody can ask any more. It may have to read the
/// store, which takes as long as the store is gone: nobody waits for its end.
#[derive(Debug)]
pub(crate) enum Encoding {
    Here(Box<Encoder>),
    Ahead(mpsc::Receiver<Result<EncodedNext>>),
}

impl Encoding {
    pub(crate) fn begin(shared: &Arc<Shared>, job: EncodeJob) -> Result<Self> {
        let mut encoder = Encoder::new(job, shared)?;
        if !shared.options.threads {
            return Ok(Self::Here(Box::new(encoder)));
        }
        // Without room: what is encoded waits with the thread.
        let (sender, encoded) = mpsc::sync_channel(0);
        let shared = Arc::clone(shared);
        let work = move || {
            loop {
                let next = encoder.next(&shared.store, &shared.options.objects);
                let is_last = matches!(next, Ok(EncodedNext::End(_)) | Err(_));
                // The flush may have been dropped, and its end of the channel with it.
                if sender.send(next).is_err() || is_last {
                    return;
                }
            }
        };
        thread::Builder::new().name("logtail-encode".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self::Ahead(encoded))
    }

    /// What comes next, if it is there by now.
    pub(crate) fn next(&mut self, shared: &Shared) -> Result<Option<EncodedNext>> {
        match self {
            Self::Here(encoder) => encoder.next(&shared.store, &shared.options.objects).map(Some),
            Self::Ahead(encoded) => match encoded.try_recv() {
                Ok(next) => next.map(Some),
                Err(mpsc::TryRecvError::Empty) => Ok(None),
                Err(mpsc::TryRecvError::Disconnected) => Err(Error::Closed),
            },
        }
    }
}
