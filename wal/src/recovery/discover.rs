//! Finds which segment file holds which segment: by the life that the file states, whatever its name, and by name only
//! if it states none.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use logboom_disk::{Disk, File};

use crate::{
    format::group::{Life, Origin, in_segment},
    recovery::opening::Opening,
    scan::{context::LogContext, walk::headers_in, window::Window},
    segments::{
        aside::{Aside, is_marked},
        log_match::LogMatch,
        segment::{Segment, aside_slot, slot_name, slot_of},
        slots::SegmentRow,
        supply::FreeSegment,
        unreadable::UnreadableRanges,
    },
    types::{damage::OddFile, error::Error, ids::SegmentId, marks},
};

/// A segment file and the lives that it states. Not kept open: there may be more free files than file descriptors.
pub(crate) struct FoundFile {
    pub(crate) slot: u32,
    /// The lives that its header and its first group state, newest first. The file counts as that of the first life. A
    /// group that was written to the wrong file adds its own life to that file.
    pub(crate) lives: Vec<Life>,
    pub(crate) log_match: LogMatch,
    /// The ranges near its start that could not be read.
    pub(crate) unreadable: UnreadableRanges,
}

impl FoundFile {
    /// The life that the file counts as.
    pub(crate) fn life(&self) -> Option<Life> {
        self.lives.first().copied()
    }

    fn states(&self, life: &Life) -> bool {
        self.lives.iter().any(|own| own.is(life))
    }

    pub(crate) fn open(&self, context: &LogContext) -> Result<Arc<dyn File>, Error> {
        let name = slot_name(self.slot);
        context.medium.disk.open(&name, context.mode).map_err(|error| Error::io(format!("opening {name}"), error))
    }

    /// See [`LogContext::probe`].
    pub(crate) fn probe(&mut self, context: &LogContext) -> Result<Option<Life>, Error> {
        context.probe(&*self.open(context)?, &mut self.unreadable)
    }
}

impl Opening {
    /// Lists the segment files of the directory, with the lives that they state.
    pub(crate) fn discover(&mut self) -> Result<Vec<FoundFile>, Error> {
        let disk = Arc::clone(&self.context.medium.disk);
        let mut found = Vec::new();
        let names = disk.list().map_err(|error| Error::io("listing the directory", error))?;
        let aside: BTreeSet<u32> = names.iter().filter_map(|name| aside_slot(name)).collect();
        let last = names.iter().filter_map(|name| slot_of(name)).chain(aside.last().copied()).max();
        self.next_slot = self.next_slot.max(last.map_or(0, |slot| slot + 1));
        for slot in names.iter().filter_map(|name| slot_of(name)) {
            if aside.contains(&slot) && is_marked(&*disk, slot)? {
                self.report_odd(slot, "is not part of the log, and could not be renamed".to_owned());
                self.aside.push(Aside { slot, is_empty: false });
            } else {
                found.extend(self.inspect(&*disk, slot)?);
            }
        }
        self.context.resolve_lives(&mut found, self.replay_from())?;
        Ok(found)
    }

    /// Reads the lives of a file; `None` for a file of a wrong size that is not proven to belong to this log.
    fn inspect(&mut self, disk: &dyn Disk, slot: u32) -> Result<Option<FoundFile>, Error> {
        let (name, mut unreadable) = (slot_name(slot), UnreadableRanges::default());
        let fail = |error| Error::io(format!("opening {name}"), error);
        let file = disk.open(&name, self.context.mode).map_err(fail)?;
        let (size, expected) = (file.size().map_err(fail)?, self.context.identity.segment_bytes);
        let (lives, log_match) = self.context.lives(&*file, &mut unreadable)?;
        self.context.check_device(&unreadable)?;
        for life in &lives {
            self.highest.raise(life.begun_at(), life.epoch);
        }
        if size != expected && matches!(log_match, LogMatch::Foreign(_) | LogMatch::Unverified) {
            self.unowned_files.push((name, log_match));
            return Ok(None);
        }
        if size != expected {
            // A complete file has its size before it has its name.
            marks::hit("recovery: a segment file of a wrong size");
            self.odd.insert(slot, size);
            self.report_odd(slot, format!("has {size} bytes instead of {expected}"));
        }
        self.report_unreadable(slot, &unreadable);
        Ok(Some(FoundFile { slot, lives, log_match, unreadable }))
    }

    /// Reports the ranges of a segment file that could not be read. This opening does not reuse the file.
    pub(crate) fn report_unreadable(&mut self, slot: u32, unreadable: &UnreadableRanges) {
        let Some(why) = unreadable.description() else { return };
        let size = self.context.identity.segment_bytes;
        match self.odd.get(&slot) {
            None => {
                marks::hit("recovery: a segment cannot be read");
                self.report_odd(slot, why);
            }
            // Truncating the file would not make it readable.
            Some(&found) if found > size => {}
            Some(_) => return,
        }
        self.odd.insert(slot, size);
    }

    fn report_odd(&mut self, slot: u32, what: String) {
        self.report.odd_files.push(OddFile { name: slot_name(slot), what });
    }

    /// Frees a file without groups of the log. Puts it aside instead if it could not be read, or has a wrong size:
    /// `is_freed` says whether its content is known to be obsolete.
    pub(crate) fn free_file(&mut self, slot: u32, is_freed: bool) {
        match self.odd.get(&slot) {
            Some(&size) => self.aside.push(Aside { slot, is_empty: is_freed || size == 0 }),
            None => self.free.push_back(FreeSegment::new(slot)),
        }
    }

    /// Places the segments that the checkpoint names and that are below its replay position.
    pub(crate) fn place_covered(&mut self, found: &mut Vec<FoundFile>) -> Result<(), Error> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let rows = checkpoint.segments.clone();
        let last = rows.iter().map(|row| row.last).max().unwrap_or(0);
        self.accepted =
            Origin { segment: SegmentId(checkpoint.replay_from.0.saturating_sub(1)), last, ..Origin::default() };
        for row in &rows {
            let begun = if row.id.is_cold() { SegmentId(0) } else { row.id };
            self.highest.raise(begun, row.epoch);
        }
        let (mut left, mut probed) = (Vec::new(), BTreeMap::new());
        for row in &rows {
            match self.context.find_by_life(found, row, &rows)? {
                Some(at) => self.place_row(row, &found.swap_remove(at))?,
                None => left.push(row),
            }
        }
        for row in left {
            match self.context.find_by_name(found, row, &mut probed)? {
                Some(at) => self.place_row(row, &found.swap_remove(at))?,
                None => {
                    marks::hit("recovery: a segment of the checkpoint was used again");
                    // A segment that was begun and abandoned while empty is freed by no record.
                    self.missing.extend((row.first <= row.last).then_some(row.id));
                }
            }
        }
        Ok(())
    }

    fn place_row(&mut self, row: &SegmentRow, found: &FoundFile) -> Result<(), Error> {
        marks::hit_if(found.slot != row.slot, "recovery: a segment has another's name");
        let size = self.context.segment_size();
        let file = found.open(&self.context)?;
        let segment = Segment::new(row.life(), found.slot, file, size, row.end, (row.first, row.last));
        if !row.id.is_cold() {
            segment.close(self.context.identity.pad);
        }
        self.live.insert(row.id, Arc::new(segment));
        Ok(())
    }

    /// Places the segments to replay, oldest first. Frees the files without groups of the log.
    ///
    /// The newest segment is the one of the highest epoch, and each names its predecessor. Segments in between are
    /// void: late writes of a crashed process whose successor had recovered without them.
    pub(crate) fn place_replayed(&mut self, found: Vec<FoundFile>) -> Result<(), Error> {
        let from = self.replay_from();
        let (mut segments, mut cold, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for mut file in found {
            let life = match file.life().filter(|life| life.begun_at() >= from) {
                Some(life) => Some(life),
                None => file.probe(&self.context)?.filter(|life| life.begun_at() >= from),
            };
            self.context.check_device(&file.unreadable)?;
            self.report_unreadable(file.slot, &file.unreadable);
            match life {
                Some(life) if life.segment.is_cold() => cold.push((life, file)),
                Some(life) => segments.push((life, file)),
                None => rest.push(file),
            }
        }
        self.context.sort_by_age(&mut cold, &mut rest)?;
        self.place_cold(cold)?;
        self.context.sort_by_age(&mut segments, &mut rest)?;
        if self.is_segment_missing(&segments)? {
            self.search_for_missing(&mut segments, &mut rest)?;
        }
        let is_gapped = self.link_segments(segments, &mut rest)?;
        rest.sort_by_key(|file| file.slot);
        let pad = self.context.identity.pad;
        // Header and first group of a segment are one write: here neither could be read.
        let unknown = rest.iter().find(|file| file.unreadable.covers(0..2 * pad, pad)).filter(|_| !is_gapped);
        self.lost_end = unknown.map(|file| format!("{} may hold it, and cannot be read", slot_name(file.slot)));
        if self.to_replay.is_empty() && (self.checkpoint.is_some() || !self.bad_slots().is_empty()) {
            marks::hit("recovery: no segment that the checkpoint is replayed from is left");
            self.lost_end = Some("no segment that the checkpoint is replayed from is left".to_owned());
        }
        // A file that may belong to another log is never overwritten. A file that states a life is known to hold
        // nothing that counts.
        let is_ours = |file: &FoundFile| matches!(file.log_match, LogMatch::None | LogMatch::Ours);
        rest.into_iter().filter(is_ours).for_each(|file| self.free_file(file.slot, !file.lives.is_empty()));
        Ok(())
    }

    /// Whether a segment is missing between `segments`, which are sorted, or after them.
    fn is_segment_missing(&self, segments: &[(Life, FoundFile)]) -> Result<bool, Error> {
        let mut named = None;
        for (life, _) in segments.iter().rev() {
            if named.is_some_and(|named| life.segment < named) {
                return Ok(true);
            }
            if named.is_none_or(|named| life.segment == named) {
                named = Some(life.origin.segment);
            }
        }
        // The predecessor of the oldest segment is covered; the first segment of a log has none.
        if named.is_some_and(|named| named >= self.replay_from() && named > SegmentId(0)) {
            return Ok(true);
        }
        let newest = match segments.last() {
            Some((life, file)) => Some(Arc::new(self.context.segment(*life, file)?)),
            None => self.live.range(..SegmentId::COLD).next_back().map(|(_, segment)| Arc::clone(segment)),
        };
        let Some(newest) = newest else { return Ok(self.checkpoint.is_some() || !self.bad_slots().is_empty()) };
        Ok(self.footer_summary(&newest)?.is_some_and(|footer| footer.successor.is_some()))
    }

    /// Searches all of the files that seem to hold nothing of the log for a missing life: the start of a file, and much
    /// of what follows, may be damaged or overwritten by another life's group.
    fn search_for_missing(
        &mut self,
        segments: &mut Vec<(Life, FoundFile)>,
        rest: &mut Vec<FoundFile>,
    ) -> Result<(), Error> {
        let from = self.replay_from();
        for mut file in std::mem::take(rest) {
            let lives = self.context.probe_whole(&*file.open(&self.context)?, &mut file.unreadable)?;
            self.context.check_device(&file.unreadable)?;
            self.report_unreadable(file.slot, &file.unreadable);
            let is_missing = |life: &&Life| {
                let is_there = segments.iter().any(|(there, _)| there.is(life));
                life.begun_at() >= from && !life.segment.is_cold() && !is_there
            };
            match lives.iter().find(is_missing) {
                Some(life) => segments.push((*life, file)),
                None => rest.push(file),
            }
        }
        self.context.sort_by_age(segments, rest)
    }

    /// Places the segments that name each other, and adds the others to `rest`; true if one is missing in between.
    fn link_segments(&mut self, segments: Vec<(Life, FoundFile)>, rest: &mut Vec<FoundFile>) -> Result<bool, Error> {
        let mut is_gapped = false;
        for (life, file) in segments.into_iter().rev() {
            self.highest.raise(life.begun_at(), life.epoch);
            let named = self.to_replay.last().map(|newer| newer.life.origin.segment);
            if named.is_some_and(|named| life.segment > named) {
                rest.push(file);
                continue;
            }
            is_gapped |= named.is_some_and(|named| life.segment < named);
            self.to_replay.push(Arc::new(self.context.segment(life, &file)?));
        }
        self.to_replay.reverse();
        self.live.extend(self.to_replay.iter().map(|segment| (segment.id, Arc::clone(segment))));
        Ok(is_gapped)
    }

    /// Marks live segments that could not be read completely: their files are not reused. Returns the segments whose
    /// files are too short or too long.
    pub(crate) fn mark_odd(&self) -> Vec<Arc<Segment>> {
        let is_odd = |segment: &&Arc<Segment>| self.odd.contains_key(&segment.slot);
        let is_whole = |segment: &Arc<Segment>| self.odd[&segment.slot] == self.context.identity.segment_bytes;
        let (unread, wrong_size) = self.live.values().filter(is_odd).cloned().partition::<Vec<_>, _>(is_whole);
        unread.iter().for_each(|segment| segment.mark_odd());
        wrong_size
    }
}

/// Restores the size of live segments' files, which are reused later. What a short file lacks was reported; beyond its
/// size a long file never held anything of the log. A file that cannot be truncated is not reused.
pub(crate) fn restore_sizes(wrong_size: &[Arc<Segment>], size: u64) -> io::Result<()> {
    for segment in wrong_size {
        let file = &segment.file;
        if file.size()? < size {
            file.allocate(size)?;
        } else {
            let cut = file.shrink(size).and_then(|()| file.size());
            if !matches!(&cut, Ok(now) if *now == size) {
                tracing::warn!(name = slot_name(segment.slot), ?cut, "a file that is too long could not be truncated");
                segment.mark_odd();
                continue;
            }
        }
        file.sync_all()?;
    }
    Ok(())
}

impl LogContext {
    /// A segment of the log, before any walk of it.
    fn segment(&self, life: Life, file: &FoundFile) -> Result<Segment, Error> {
        let (size, pad) = (self.segment_size(), in_segment(self.identity.pad));
        let groups = (life.origin.last + 1, life.origin.last);
        Ok(Segment::new(life, file.slot, file.open(self)?, size, pad, groups))
    }

    /// Decides between several lives that one file states: the newest one, unless another file holds more groups of it,
    /// or this file holds more groups of an older life that is not covered and so was never free.
    fn resolve_lives(&self, found: &mut [FoundFile], from: SegmentId) -> Result<(), Error> {
        for at in 0..found.len() {
            while let [newest, older, ..] = *found[at].lives {
                let elsewhere = self.most_groups_elsewhere(&newest, found, at)?;
                let others = match elsewhere {
                    None if older.begun_at() >= from => Some(self.count_groups(&older, &found[at])?),
                    elsewhere => elsewhere,
                };
                let gives_way = match others {
                    Some(others) => others > self.count_groups(&newest, &found[at])?,
                    None => false,
                };
                if !gives_way {
                    break;
                }
                marks::hit("recovery: a file states a life that is another's");
                found[at].lives.remove(0);
            }
        }
        Ok(())
    }

    /// Sorts by age and keeps one file per life, the one with the most groups of it. Moves the others to `rest`.
    fn sort_by_age(&self, segments: &mut Vec<(Life, FoundFile)>, rest: &mut Vec<FoundFile>) -> Result<(), Error> {
        let mut sorted: Vec<(Life, FoundFile)> = Vec::with_capacity(segments.len());
        segments.sort_by_key(|(life, file)| (life.epoch, life.segment, file.slot));
        for (life, file) in segments.drain(..) {
            let is_one_life =
                |last: &&mut (Life, FoundFile)| (last.0.epoch, last.0.segment) == (life.epoch, life.segment);
            match sorted.last_mut().filter(is_one_life) {
                None => sorted.push((life, file)),
                Some(last) if self.count_groups(&last.0, &last.1)? > self.count_groups(&life, &file)? => {
                    rest.push(file)
                }
                Some(last) => rest.push(std::mem::replace(last, (life, file)).1),
            }
        }
        *segments = sorted;
        Ok(())
    }

    /// Finds the file that states the life of a segment of the checkpoint. If a group of it was written to the wrong
    /// file, that file states it too: the file with most of its groups counts.
    fn find_by_life(&self, found: &[FoundFile], row: &SegmentRow, rows: &[SegmentRow]) -> Result<Option<usize>, Error> {
        let states = |file: &FoundFile| file.life().is_some_and(|life| life.is(&row.life()));
        let is_of_none =
            |file: &FoundFile| !rows.iter().any(|row| file.life().is_some_and(|life| life.is(&row.life())));
        let mut those: Vec<usize> = (0..found.len()).filter(|&at| states(&found[at])).collect();
        let own = found.iter().position(|file| file.slot == row.slot);
        let is_own = |at: &usize| Some(*at) == own;
        if !those.is_empty()
            && !those.iter().any(is_own)
            && let Some(own) = own.filter(|&own| is_of_none(&found[own]))
            && self.may_still_hold(&found[own], row)?
        {
            those.push(own);
        }
        if those.len() < 2 {
            return Ok(those.pop());
        }
        let mut most = None;
        for at in those {
            let groups = self.count_groups(&row.life(), &found[at])?;
            most = most.max(Some((groups, is_own(&at), at)));
        }
        Ok(most.map(|(.., at)| at))
    }

    /// Finds the file of a segment of the checkpoint whose life no file states at its start: the file of its name if
    /// that can still hold it, or a file that states the life only further on. `probed` caches such lives by slot.
    fn find_by_name(
        &self,
        found: &mut [FoundFile],
        row: &SegmentRow,
        probed: &mut BTreeMap<u32, Option<Life>>,
    ) -> Result<Option<usize>, Error> {
        if let Some(own) = found.iter().position(|file| file.slot == row.slot)
            && (self.may_still_hold(&found[own], row)? || self.is_overwritten(found, own, row)?)
        {
            return Ok(Some(own));
        }
        for (at, file) in found.iter_mut().enumerate().filter(|(_, file)| file.lives.is_empty()) {
            let life = match probed.get(&file.slot) {
                Some(life) => *life,
                None => *probed.entry(file.slot).or_insert(file.probe(self)?),
            };
            if life.is_some_and(|life| life.is(&row.life())) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether the file of the segment's name can still hold it. A reused file states a later life. A file that states
    /// an earlier one has lost only the start of the segment.
    fn may_still_hold(&self, file: &FoundFile, row: &SegmentRow) -> Result<bool, Error> {
        let Some(life) = file.life() else { return Ok(true) };
        if life.segment == row.id || !row.id.is_cold() && life.begun_at() < row.id {
            return Ok(true);
        }
        Ok(self.probe(&*file.open(self)?, &mut UnreadableRanges::default())?.is_some_and(|life| life.segment == row.id))
    }

    /// Whether a group of another segment overwrote the start of this file: another file holds more of the stated life,
    /// and this one has groups of the row's further on.
    fn is_overwritten(&self, found: &[FoundFile], own: usize, row: &SegmentRow) -> Result<bool, Error> {
        let Some(life) = found[own].life() else { return Ok(false) };
        let Some(elsewhere) = self.most_groups_elsewhere(&life, found, own)? else { return Ok(false) };
        Ok(elsewhere > self.count_groups(&life, &found[own])? && self.count_groups(&row.life(), &found[own])? > 0)
    }

    /// The most groups of a life in any file but `own`, for which those files are read completely; `None` if no other
    /// file states the life, at no cost.
    fn most_groups_elsewhere(&self, life: &Life, found: &[FoundFile], own: usize) -> Result<Option<usize>, Error> {
        let mut most = None;
        for (_, other) in found.iter().enumerate().filter(|(at, file)| *at != own && file.states(life)) {
            most = most.max(Some(self.count_groups(life, other)?));
        }
        Ok(most)
    }

    pub(crate) fn count_groups(&self, life: &Life, found: &FoundFile) -> Result<usize, Error> {
        let size = self.segment_size();
        let segment = Segment::new(*life, 0, found.open(self)?, size, 0, (0, 0));
        let all = 0..size as usize;
        Ok(headers_in(&mut Window::new(&segment, &self.medium), all, life)?.len())
    }
}
