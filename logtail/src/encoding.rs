//! `Encoding`: a flush whose objects are being encoded.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use logboom_logtail_core::flush::EncodeJob;

use crate::{
    encode::{EncodedNext, Encoder},
    error::{Error, Result},
    shared::Shared,
};

/// Objects that are being encoded: where they are asked for, or on a thread of their own, while others are put.
#[derive(Debug)]
pub(crate) enum Encoding {
    Here(Box<Encoder>),
    Ahead(Ahead),
}

/// A thread that encodes one object before it is asked for. Dropping this ends it; but nobody waits for one that reads
/// the store, which takes as long as the store is gone.
#[derive(Debug)]
pub(crate) struct Ahead {
    encoded: Option<mpsc::Receiver<Result<EncodedNext>>>,
    thread: Option<JoinHandle<()>>,
    reads: bool,
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
        let thread = thread::Builder::new().name("logtail-encode".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self::Ahead(Ahead { encoded: Some(encoded), thread: Some(thread), reads: false }))
    }

    /// What comes next, if it is there by now.
    pub(crate) fn next(&mut self, shared: &Shared) -> Result<Option<EncodedNext>> {
        match self {
            Self::Here(encoder) => encoder.next(&shared.store, &shared.options.objects).map(Some),
            Self::Ahead(ahead) => ahead.next(),
        }
    }
}

impl Ahead {
    fn next(&mut self) -> Result<Option<EncodedNext>> {
        match self.encoded.as_ref().map(mpsc::Receiver::try_recv) {
            Some(Ok(next)) => {
                // It reads when this was taken, and not before.
                self.reads |= matches!(next, Ok(EncodedNext::Reads));
                next.map(Some)
            }
            Some(Err(mpsc::TryRecvError::Empty)) => Ok(None),
            Some(Err(mpsc::TryRecvError::Disconnected)) | None => Err(Error::Closed),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.encoded = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.reads) {
            // A panic of the thread is reported where it happens.
            _ = thread.join();
        }
    }
}
