//! A log whose end is lost: detects that, and makes the next epoch begin above every number that the lost end may have
//! used.

use logboom_disk::Mode;

use crate::{
    format::{
        echo::Echo,
        group::{Life, Origin},
    },
    group_commit::committer::WINDOW,
    recovery::{discover::FoundFile, opening::Opening},
    scan::{
        salvage::{Salvage, unknown_loss},
        scanned::{Loss, Scanned},
        walk::WalkItem,
    },
    segments::{
        footer::{FooterSummary, Successor},
        segment::{Segment, slot_of},
        unreadable::UnreadableRanges,
    },
    types::{
        damage::DamageKind,
        error::Error,
        ids::{NUMBER_MAX, SegmentId},
        marks,
    },
};

/// An upper bound of the segments that were begun after a lost end, by as many openings. The next epoch skips their
/// numbers: 2^16 segments are 16 GiB at least and 4 TiB by default, all of them after the checkpoint. A log can lose
/// its end 2^10 times before its numbers are used up, with the largest segments of the smallest groups, and 2^17 times
/// by default.
const SEGMENTS_LOST_MAX: u64 = 1 << 16;

impl Opening {
    /// Declares, after [`Opening::replay`], that groups up to `group` were durable: the checkpoint reflects them. If
    /// the log ends earlier, its end is lost: the next epoch begins after `group`, so that every opening reports the
    /// loss and no sequence is used twice. Returns the loss.
    pub fn declare_durable(&mut self, group: u64) -> Option<Loss> {
        if group <= self.accepted.last || group >= NUMBER_MAX {
            return None;
        }
        let Salvage { damage, scanned } =
            self.lose_up_to(group, "the log ends before what its checkpoint reflects".to_owned());
        self.report.damages.push(damage);
        scanned.into_iter().find_map(|scanned| if let Scanned::Lost(loss) = scanned { Some(loss) } else { None })
    }

    /// The summary in the footer of a segment; `None` if there is no intact footer.
    pub(crate) fn footer_summary(&self, segment: &Segment) -> Result<Option<FooterSummary>, Error> {
        let summary = segment.footer_summary(&self.context.medium);
        summary.map_err(|error| Error::io(format!("reading the footer of segment {}", segment.id), error))
    }

    /// Call after the replay: reports that the end of the log is lost if something proves that the log continued: the
    /// footer of its last segment, or a file that cannot be read.
    pub(crate) fn report_lost_end(&mut self, each: &mut dyn FnMut(WalkItem) -> Result<(), Error>) -> Result<(), Error> {
        let named = self.missing_successor()?;
        let is_named = |life: &Life| named.as_ref().is_some_and(|(_, named)| named.is(life));
        let Some(why) = named.as_ref().map(|(why, _)| why.clone()).or(self.lost_end.take()) else { return Ok(()) };
        if self.context.mode == Mode::Read && self.has_continued(&is_named)? {
            return Ok(());
        }
        marks::hit("recovery: the end of the log is lost");
        let id = self.accepted.segment.0.saturating_add(SEGMENTS_LOST_MAX);
        let group = self.groups_up_to(id).max(self.accepted.last.saturating_add(1)).min(NUMBER_MAX - 1);
        let what = format!("the end of the log is lost, after group {}: {why}", self.accepted.last);
        let salvage = self.lose_up_to(group, what);
        // Each epoch begins a segment, so epochs are no higher than segments.
        self.highest.raise(SegmentId(id), id);
        self.accepted_epoch = id;
        self.report_salvage(salvage, each)
    }

    /// Whether the footer of the last segment names a missing successor. The segment was sealed when the first group of
    /// its successor was durable, so the successor held durable groups.
    fn missing_successor(&self) -> Result<Option<(String, Successor)>, Error> {
        let Some((id, last)) = self.live.range(..SegmentId::COLD).next_back() else { return Ok(None) };
        let Some(named) = self.footer_summary(last)?.and_then(|footer| footer.successor) else { return Ok(None) };
        // A covered segment may have been freed.
        let is_gone = named.id >= self.replay_from();
        let why = format!("segment {id} names segment {} as its successor, which is missing", named.id);
        Ok(is_gone.then_some((why, named)))
    }

    /// Whether a writer has begun a segment since the files were listed: one that `is_named` and has groups, or one
    /// newer than all that were there. For a reader without a lock, the log ended where it did then.
    fn has_continued(&self, is_named: &dyn Fn(&Life) -> bool) -> Result<bool, Error> {
        for name in self.context.medium.disk.list().map_err(|error| Error::io("listing the directory again", error))? {
            let Some(slot) = slot_of(&name) else { continue };
            let file = match self.context.medium.disk.open(&name, Mode::Read) {
                // The writer has removed it since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|error| Error::io(format!("opening {name} again"), error))?,
            };
            let (lives, log_match) = self.context.lives(&*file, &mut UnreadableRanges::default())?;
            let named = lives.iter().find(|life| is_named(life)).copied();
            if lives.iter().any(|life| life.begun_at() > self.highest.segment) {
                return Ok(true);
            }
            let found = FoundFile { slot, lives, log_match, unreadable: UnreadableRanges::default() };
            if named.map(|life| self.context.count_groups(&life, &found)).transpose()?.unwrap_or(0) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the next epoch begin after `group`, and returns the loss of the groups up to it.
    fn lose_up_to(&mut self, group: u64, what: String) -> Salvage {
        let Origin { segment, end, last, .. } = self.accepted;
        self.report.closed = false;
        self.accepted = Origin { crc: 0, last: group, ..self.accepted };
        self.echo = Echo::default();
        unknown_loss(DamageKind::End, (segment, end as usize), last + 1, group.saturating_add(1), what)
    }

    /// An upper bound of the groups in segments up to `segment`: each segment holds at most one group per block, and
    /// each epoch, which begins a segment, skips a window of groups.
    fn groups_up_to(&self, segment: u64) -> u64 {
        let blocks = self.context.identity.segment_bytes / self.context.identity.pad as u64;
        segment.saturating_mul(blocks + WINDOW + 1)
    }
}
