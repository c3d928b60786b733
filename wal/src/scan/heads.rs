//! Reading the heads of many footers in parallel.

use std::sync::Arc;

use logboom_disk::Slice;

use crate::{
    scan::context::LogContext,
    segments::{footer::FOOTER_READ_BYTES, segment::Segment},
    types::error::Error,
};

/// The heads of the footers of `segments`, in their order; `None` if there is none, or it is not intact. Reads the ends
/// of all segments in parallel, and the rest of a long head separately.
pub(crate) fn read_heads<'b>(
    context: &'b LogContext,
    segments: Vec<Arc<Segment>>,
) -> impl Iterator<Item = Result<Option<Slice>, Error>> + use<'b> {
    let read = |segment: &Arc<Segment>| {
        let len = FOOTER_READ_BYTES.min(segment.size as usize);
        (Arc::clone(&segment.file), context.medium.pool.region(len), (segment.size as usize - len) as u64)
    };
    let tails = context.medium.disk.read_many(segments.iter().map(read).collect());
    segments.into_iter().zip(tails).map(|(segment, (region, result))| {
        let head = result.and_then(|()| segment.head(&context.medium, region.freeze()));
        head.map_err(|error| Error::io(format!("reading the footer of segment {}", segment.id), error))
    })
}
