//! `Encoding`: what of a flush is being encoded.

use std::sync::Arc;

use logboom_logtail_core::flush::{EncodeJob, TombstoneJob};

use crate::{
    ahead::Ahead,
    encode::{EncodedNext, Encoder},
    encode_tombstones::TombstoneEncoder,
    error::Result,
    pace::{Hurry, Pacer},
    shared::Shared,
};

/// Objects that are being encoded: where they are asked for, or on a thread of their own, while others are put.
/// Dropping this ends the thread, and waits for it, but not for one that reads the store: that takes as long as the
/// store is gone.
#[derive(Debug)]
pub(crate) struct Encoding {
    work: Work,
    reads: bool,
}

#[derive(Debug)]
enum Work {
    Here(Source),
    Ahead(Ahead<Result<EncodedNext>>),
}

#[derive(Debug)]
enum Source {
    Rows(Box<Encoder>),
    Tombstones(Box<TombstoneEncoder>),
}

impl Encoding {
    pub(crate) fn begin(shared: &Arc<Shared>, job: EncodeJob, hurry: &Hurry) -> Result<Self> {
        let rows = Source::Rows(Box::new(Encoder::new(job, shared, hurry)?));
        Ok(Self { work: Work::begin(shared, rows)?, reads: false })
    }

    pub(crate) fn begin_tombstones(shared: &Arc<Shared>, job: TombstoneJob, hurry: &Hurry) -> Result<Self> {
        let reads = job.reads();
        let pacer = Pacer::new(shared, job.table, hurry);
        let mut work = Work::begin(shared, Source::Tombstones(Box::new(TombstoneEncoder::new(job, pacer))))?;
        if let Work::Ahead(ahead) = &mut work
            && reads
        {
            ahead.leave();
        }
        Ok(Self { work, reads })
    }

    /// Whether it reads the store.
    pub(crate) fn reads(&self) -> bool {
        self.reads
    }

    /// What comes next, if it is there by now.
    pub(crate) fn next(&mut self, shared: &Shared) -> Result<Option<EncodedNext>> {
        match &mut self.work {
            Work::Here(source) => source.next(shared).map(Some),
            Work::Ahead(ahead) => ahead.next()?.transpose(),
        }
    }
}

impl Work {
    fn begin(shared: &Arc<Shared>, mut source: Source) -> Result<Self> {
        if !shared.options.threads {
            return Ok(Self::Here(source));
        }
        let shared = Arc::clone(shared);
        // Without room: what is encoded waits with the thread.
        let ahead = Ahead::spawn("logtail-encode", 0, move |sender| {
            loop {
                let next = source.next(&shared);
                let is_last = matches!(next, Ok(EncodedNext::End(_) | EncodedNext::TombstonesEnd(_)) | Err(_));
                // The flush may have been dropped, and its end of the channel with it.
                if sender.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self::Ahead(ahead?))
    }
}

impl Source {
    fn next(&mut self, shared: &Shared) -> Result<EncodedNext> {
        match self {
            Self::Rows(encoder) => encoder.next(),
            Self::Tombstones(encoder) => encoder.next(&shared.store, &shared.options.objects),
        }
    }
}
