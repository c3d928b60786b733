//! `Encoding`: a flush whose objects are being encoded.

use std::sync::Arc;

use logboom_logtail_core::flush::EncodeJob;

use crate::{
    ahead::Ahead,
    encode::{EncodedNext, Encoder},
    error::Result,
    pace::Hurry,
    shared::Shared,
};

/// Objects that are being encoded: where they are asked for, or on a thread of their own, while others are put.
/// Dropping this ends the thread, and waits for it, but not for one that reads the store: that takes as long as the
/// store is gone.
#[derive(Debug)]
pub(crate) enum Encoding {
    Here(Box<Encoder>),
    Ahead(Ahead<Result<EncodedNext>>),
}

impl Encoding {
    pub(crate) fn begin(shared: &Arc<Shared>, job: EncodeJob, hurry: &Hurry) -> Result<Self> {
        let mut encoder = Encoder::new(job, shared, hurry)?;
        if !shared.options.threads {
            return Ok(Self::Here(Box::new(encoder)));
        }
        let shared = Arc::clone(shared);
        // Without room: what is encoded waits with the thread.
        let ahead = Ahead::spawn("logtail-encode", 0, move |sender| {
            loop {
                let next = encoder.next(&shared.store, &shared.options.objects);
                let is_last = matches!(next, Ok(EncodedNext::End(_)) | Err(_));
                // The flush may have been dropped, and its end of the channel with it.
                if sender.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self::Ahead(ahead?))
    }

    /// What comes next, if it is there by now.
    pub(crate) fn next(&mut self, shared: &Shared) -> Result<Option<EncodedNext>> {
        match self {
            Self::Here(encoder) => encoder.next(&shared.store, &shared.options.objects).map(Some),
            Self::Ahead(ahead) => {
                let next = ahead.next()?.transpose()?;
                // It reads when this was taken, and not before.
                if matches!(next, Some(EncodedNext::Reads)) {
                    ahead.leave();
                }
                Ok(next)
            }
        }
    }
}
