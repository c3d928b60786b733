//! Recovery of cold segments: finds them, and where each ends.

use std::sync::Arc;

use crate::{
    format::group::{Life, in_segment},
    recovery::{discover::FoundFile, opening::Opening},
    scan::walk::{Expected, Found, SegmentWalk, headers_in},
    segments::{segment::Segment, unreadable::UnreadableRanges},
    types::{error::Error, ids::SegmentId, marks},
};

impl Opening {
    /// Places the cold segments: those of the checkpoint, and `found`, those that were begun since.
    ///
    /// Every intact group in them counts, acknowledged or not: it holds copies of durable records. A cold segment that
    /// was begun earlier and is in no checkpoint was freed. If a copy was not synced, the segment with the original is
    /// still there, and wins as the newer copy. But the next checkpoint states the copy as durable, so it is synced
    /// again.
    pub(crate) fn place_cold(&mut self, found: Vec<(Life, FoundFile)>) -> Result<(), Error> {
        let (size, pad) = (self.context.segment_size(), self.context.identity.pad);
        for (life, file) in found.into_iter().rev() {
            if self.live.contains_key(&life.segment) {
                self.free_file(file.slot, false);
                continue;
            }
            let segment = Segment::new(life, file.slot, file.open(&self.context)?, size, in_segment(pad), (1, 0));
            self.live.insert(life.segment, Arc::new(segment));
        }
        let cold: Vec<_> = self.live.range(SegmentId::COLD..).map(|(_, segment)| Arc::clone(segment)).collect();
        for segment in cold {
            let last = segment.last();
            let unreadable = self.find_end(&segment)?;
            self.context.check_device(&unreadable)?;
            self.report_unreadable(segment.slot, &unreadable);
            segment.close(pad);
            if segment.last() > last {
                marks::hit("recovery: copies that no checkpoint states are found");
                self.cold_beyond_checkpoint.push(Arc::clone(&segment));
            }
            if segment.last() < segment.first_group() {
                marks::hit("recovery: a cold segment was begun and nothing is in it");
                self.live.remove(&segment.id);
                self.free_file(segment.slot, false);
            }
        }
        Ok(())
    }

    /// Finds the end of a cold segment, from the end that the checkpoint states: by its footer, or by a walk. Returns
    /// the ranges that could not be read.
    ///
    /// A group was begun only when all earlier ones were synced. So a group that is not intact is damage if another
    /// follows, and the end otherwise.
    fn find_end(&self, segment: &Segment) -> Result<UnreadableRanges, Error> {
        let adopted = segment.adopt_end(&self.context.medium);
        if adopted.map_err(|error| Error::io(format!("reading the footer of segment {}", segment.id), error))? {
            return Ok(UnreadableRanges::default());
        }
        marks::hit("recovery: a cold segment is walked to its end");
        let expected = Expected { life: segment.life, sequence: segment.last() + 1, first: false, chain: None };
        let mut walk = SegmentWalk::new(segment, &self.context.medium, expected);
        walk.at = segment.end() as usize;
        loop {
            match walk.look()? {
                Found::Group(group) => walk.accept(&group),
                // Reads of the segment report what is left of it. Where all that follows is misplaced, the walk cannot
                // resume.
                found if self.is_followed(&mut walk)? && walk.salvage(&found, None, None, None)?.is_some() => {}
                _ => return Ok(walk.window.unreadable),
            }
            segment.extend(in_segment(walk.at), walk.expected.sequence - 1);
        }
    }

    fn is_followed(&self, walk: &mut SegmentWalk<'_>) -> Result<bool, Error> {
        let size = self.context.segment_size() as usize;
        let behind = walk.at.saturating_add(walk.window.pad()).min(size);
        let until = walk.at.saturating_add(self.context.lookahead()).min(size);
        let headers = headers_in(&mut walk.window, behind..until, &walk.expected.life)?;
        Ok(headers.iter().any(|(_, header)| header.sequence > walk.expected.sequence))
    }
}
