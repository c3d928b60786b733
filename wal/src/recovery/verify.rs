//! Verifies a log: every checksum of every group, in constant memory, without changing anything.

use std::{collections::BTreeMap, sync::Arc};

use logboom_disk::Disk;

use crate::{
    format::{
        group::{Life, in_segment},
        options::Options,
        record::KIND_OWN,
    },
    recovery::opening::{TornTail, open_read_only},
    scan::walk::{Group, WalkItem},
    types::{
        damage::{Damage, DamageKind, OddFile},
        error::Error,
        identity_fault::IdentityFault,
        ids::SegmentId,
    },
};

/// The result of [`verify`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The segments, groups, records and bytes of records' bodies that were read.
    pub segments: u64,
    /// See `segments`.
    pub groups: u64,
    /// See `segments`.
    pub records: u64,
    /// See `segments`.
    pub bytes: u64,
    /// Segments whose footer is missing or not intact; they were scanned instead.
    pub without_footer: Vec<SegmentId>,
    /// Checkpoint slots whose content is not intact. A crash during a write leaves one so; the other one is used.
    pub bad_checkpoints: Vec<u8>,
    /// The unpromised tail that a writable opening would cut.
    pub cut: Option<TornTail>,
    /// Files that do not belong to the log, or a damaged `LOGBOOM`.
    pub identity: Option<Arc<IdentityFault>>,
    /// Durable bytes that are not what was written, also where a group only lost its descriptors.
    pub damages: Vec<Arc<Damage>>,
    /// Files that have a wrong size, or cannot be read completely.
    pub odd_files: Vec<OddFile>,
}

/// Reads everything that recovery would accept, and reports what is wrong.
///
/// Calls `progress` with the bytes done and the approximate total. A log that a writer has open can be verified too;
/// its newest groups may then look torn.
///
/// # Errors
/// [`Error::Foreign`], [`Error::NewerFormat`], [`Error::Io`]; [`Error::Corruption`] if so much is missing that parts of
/// the log cannot be told apart; [`Error::Identity`] if no file belongs to the log that `LOGBOOM` names.
pub fn verify(
    disk: Arc<dyn Disk>,
    options: Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, Error> {
    let mut opening = open_read_only(disk, options)?;
    let seed = opening.context.medium.framing.seed;
    let replay_from = opening.replay_from();
    let total = opening.live().map(|segment| u64::from(segment.size)).sum();
    let mut check = Check {
        report: VerifyReport::default(),
        seed,
        done: 0,
        total,
        promised: BTreeMap::new(),
        bad_descriptors: Vec::new(),
        progress,
    };
    opening.replay_items(&mut |item| check.item(item))?;
    check.report.cut = opening.report().cut;
    check.report.bad_checkpoints = opening.bad_slots();
    check.report.identity.clone_from(&opening.report().identity);
    // The damages that the replay found, and the segments that it missed.
    check.report.damages.clone_from(&opening.report().damages);
    check.report.odd_files.clone_from(&opening.report().odd_files);
    for segment in opening.live() {
        check.report.segments += 1;
        if segment.id < replay_from || segment.id.is_cold() {
            opening.scan_items(segment.id, &mut |item| check.item(item))?;
            if opening.read_footer(segment.id)?.is_none() {
                check.report.without_footer.push(segment.id);
            }
        }
    }
    Ok(check.finish())
}

/// A verification in progress.
struct Check<'p> {
    report: VerifyReport,
    seed: u32,
    done: u64,
    total: u64,
    /// The highest promise of each epoch. A promise binds within its epoch; a later epoch has accepted what a crash
    /// left. Each cold segment has a scope of its own.
    promised: BTreeMap<(u64, SegmentId), u64>,
    /// Groups with intact records and damaged descriptors, each with the scope in which a promise binds.
    bad_descriptors: Vec<((u64, SegmentId), u64, Damage)>,
    progress: &'p mut dyn FnMut(u64, u64),
}

impl Check<'_> {
    fn item(&mut self, item: WalkItem) -> Result<(), Error> {
        for record in item.records().filter(|record| record.kind() < KIND_OWN) {
            self.report.records += 1;
            self.report.bytes += record.body().len() as u64;
        }
        match item {
            WalkItem::Group(group) => self.group(&group),
            WalkItem::Salvage(salvage) => self.report.damages.push(salvage.damage),
        }
        Ok(())
    }

    fn group(&mut self, group: &Group) {
        self.report.groups += 1;
        let Life { epoch, segment, .. } = group.header.life;
        let scope = (epoch, if segment.is_cold() { segment } else { SegmentId(0) });
        let promised = self.promised.entry(scope).or_default();
        *promised = group.header.durable.max(*promised);
        if !group.descriptors_are_intact(self.seed) {
            self.bad_descriptors.push((scope, group.header.sequence, bad_descriptors(group)));
        }
        self.done += group.header.shape.len() as u64;
        (self.progress)(self.done.min(self.total), self.total);
    }

    /// Below a promise such a group was damaged later; without a promise it may be a torn write.
    fn finish(mut self) -> VerifyReport {
        let promised = self.promised;
        let is_promised = |scope, sequence| promised.get(&scope).is_some_and(|&promised| sequence <= promised);
        let changed = self.bad_descriptors.into_iter().filter(|&(scope, sequence, _)| is_promised(scope, sequence));
        self.report.damages.extend(changed.map(|(_, _, damage)| Arc::new(damage)));
        (self.progress)(self.total, self.total);
        self.report
    }
}

fn bad_descriptors(group: &Group) -> Damage {
    let place = group.records.first().map(|(_, place)| *place);
    Damage {
        kind: DamageKind::Descriptors,
        segment: group.header.life.segment,
        offset: place.map_or(0, |place| place.offset - in_segment(group.header.shape.records_at())),
        group: Some(group.header.sequence),
        what: "the second copy of descriptors is not intact; the records are".to_owned(),
        lost: Vec::new(),
        unknown: false,
    }
}
