//! A log of which the end is lost: what says that it went on, and how it goes on behind what it may have come to.

use logboom_disk::Mode;

use crate::{
    format::{
        echo::Echo,
        group::{Life, Origin},
    },
    group_commit::committer::WINDOW,
    recovery::{discover::FoundFile, opening::Opening},
    scan::{
        salvage::{Salvage, unknown},
        scanned::{Loss, Scanned},
        walk::Part,
    },
    segments::{
        footer::{Stated, Successor},
        holes::Holes,
        segment::{Segment, slot_of},
    },
    types::{
        damage::DamageKind,
        error::Error,
        ids::{NUMBER_MAX, SegmentId},
        marks,
    },
};

/// So many segments may have been begun behind an end that is lost, by as many openings. The numbers of the next one
/// leap over them: 2^16 segments are 16 GiB at the least and 4 TiB by default, all of them behind the checkpoint. A
/// log can lose its end 2^10 times before its numbers are used up, with the largest segments of the smallest groups,
/// and 2^17 times by default.
const SEGMENTS_LOST_MAX: u64 = 1 << 16;

impl Opening {
    /// Says, after [`Opening::replay`], that groups up to this one were durable, as a checkpoint knows that reflects
    /// them. Where the log ends before, its end is lost; the next epoch begins behind it, so that each opening tells of
    /// it and no sequence is used twice. Returns what is lost then.
    pub fn vouch(&mut self, group: u64) -> Option<Loss> {
        if group <= self.accepted.last || group >= NUMBER_MAX {
            return None;
        }
        let Salvage { damage, scanned } =
            self.lose_until(group, "the log ends before what its checkpoint reflects".to_owned());
        self.report.damages.push(damage);
        scanned.into_iter().find_map(|scanned| if let Scanned::Lost(loss) = scanned { Some(loss) } else { None })
    }

    /// What the footer of a segment states, as far as it can be read.
    pub(crate) fn stated(&self, segment: &Segment) -> Result<Option<Stated>, Error> {
        let stated = segment.stated(&self.base.medium);
        stated.map_err(|error| Error::io(format!("reading the footer of segment {}", segment.id), error))
    }

    /// Says, when all is replayed, that the end of the log is lost, where something says that it went on: the footer of
    /// the last segment that is part of it, or a file that cannot be read.
    pub(crate) fn miss_end(&mut self, each: &mut dyn FnMut(Part) -> Result<(), Error>) -> Result<(), Error> {
        let named = self.named_and_gone()?;
        let is_named = |life: &Life| named.as_ref().is_some_and(|(_, named)| named.is(life));
        let Some(why) = named.as_ref().map(|(why, _)| why.clone()).or(self.lost_end.take()) else { return Ok(()) };
        if self.base.mode == Mode::Read && self.went_on(&is_named)? {
            return Ok(());
        }
        marks::hit("recovery: the end of the log is lost");
        let id = self.accepted.segment.0.saturating_add(SEGMENTS_LOST_MAX);
        let group = self.groups_until(id).max(self.accepted.last.saturating_add(1)).min(NUMBER_MAX - 1);
        let what = format!("the end of the log is lost, behind group {}: {why}", self.accepted.last);
        let salvage = self.lose_until(group, what);
        // An epoch begins a segment, so its number is no higher.
        self.highest = (self.highest.0.max(SegmentId(id)), self.highest.1.max(id));
        self.accepted_epoch = id;
        self.tell(salvage, each)
    }

    /// Whether the footer of the last segment names one that is not there. It was sealed when the first group of that
    /// one was durable, so this is no segment that was merely begun.
    fn named_and_gone(&self) -> Result<Option<(String, Successor)>, Error> {
        let Some((id, last)) = self.live.range(..SegmentId::COLD).next_back() else { return Ok(None) };
        let Some(named) = self.stated(last)?.and_then(|stated| stated.successor) else { return Ok(None) };
        // What the checkpoint covers may have been freed.
        let is_gone = named.id >= self.replay_from();
        let why = format!("segment {id} says that segment {} follows, of which nothing is found", named.id);
        Ok(is_gone.then_some((why, named)))
    }

    /// Whether a writer has begun a segment since the files were looked at: one that `is_named`
    /// and in which there is something, or a newer one than was there. The log then ended, for who reads it without a
    /// lock, where it did at that time.
    fn went_on(&self, is_named: &dyn Fn(&Life) -> bool) -> Result<bool, Error> {
        for name in self.base.medium.disk.list().map_err(|error| Error::io("listing the directory again", error))? {
            let Some(slot) = slot_of(&name) else { continue };
            let file = match self.base.medium.disk.open(&name, Mode::Read) {
                // The writer has removed it since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|error| Error::io(format!("opening {name} again"), error))?,
            };
            let (lives, claim) = self.base.lives(&*file, &mut Holes::default())?;
            let named = lives.iter().find(|life| is_named(life)).copied();
            if lives.iter().any(|life| life.begun() > self.highest.0) {
                return Ok(true);
            }
            let found = FoundFile { slot, lives, claim, holes: Holes::default() };
            if named.map(|life| self.base.count_groups(&life, &found)).transpose()?.unwrap_or(0) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the next epoch begin behind `group`, and says what is lost before.
    fn lose_until(&mut self, group: u64, what: String) -> Salvage {
        let Origin { segment, end, last, .. } = self.accepted;
        self.report.closed = false;
        self.accepted = Origin { crc: 0, last: group, ..self.accepted };
        self.echo = Echo::default();
        unknown(DamageKind::End, (segment, end as usize), last + 1, group.saturating_add(1), what)
    }

    /// No group in segments up to this one has a higher sequence: each segment holds at most as many as it has blocks,
    /// and each epoch, which begins one, leaps over a window of them.
    fn groups_until(&self, segment: u64) -> u64 {
        let blocks = self.base.identity.segment_bytes / self.base.identity.pad as u64;
        segment.saturating_mul(blocks + WINDOW + 1)
    }
}
