//! The verdict on a log and its damage, as every command prints them.

use std::ops::Range;

use logboom::{Quarantine, SegmentId};
use serde::Serialize;

use crate::{
    finding::Finding,
    output::{Exit, FIELD_WIDTH, size},
};

/// The worst of what was found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    #[default]
    Clean,
    Tail,
    Damage,
}

/// The tail that a writable open would cut.
#[derive(Debug, Serialize)]
pub(crate) struct TailCut {
    sequence: u64,
    segment: u64,
    offset: u32,
    bytes: u64,
}

/// Damage: durable bytes that differ from those that were written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Damage {
    pub(crate) finding: Finding,
    /// The file, if it exists.
    file: Option<String>,
    segment: Option<u64>,
    offset: Option<u32>,
    group: Option<u64>,
    what: String,
    lost: Vec<Lost>,
}

/// A record of a damaged group, as its surviving descriptor names it.
#[derive(Clone, Debug, Serialize)]
struct Lost {
    shard: u64,
    first: u64,
    count: u32,
    kind: u8,
    /// The kind in words.
    held: String,
}

/// A shard that lost data.
#[derive(Debug, Serialize)]
pub(crate) struct QuarantinedShard {
    pub(crate) shard: u64,
    #[serde(flatten)]
    pub(crate) lost: Missing,
}

/// The message for shards in quarantine of which nothing is known.
pub(crate) const UNKNOWN_LOSSES: &str = "every shard that nothing is known of is held back: it may have lost records";

/// The missing data of a shard.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    /// Half-open.
    entries: Vec<Range<u64>>,
    hard_state: bool,
    keys: bool,
    snapshot: bool,
    suffix: bool,
    #[serde(skip)]
    pub(crate) text: String,
}

impl Verdict {
    pub(crate) fn of(cut: bool, damage: bool) -> Self {
        match (cut, damage) {
            (_, true) => Self::Damage,
            (true, false) => Self::Tail,
            (false, false) => Self::Clean,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Tail => "a tail that a writable open would cut",
            Self::Damage => "DAMAGE",
        }
    }

    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Clean => Exit::Clean,
            Self::Tail => Exit::Pending,
            Self::Damage => Exit::Damage,
        }
    }
}

impl TailCut {
    pub(crate) fn new(cut: &logboom_wal::TornTail) -> Self {
        Self { sequence: cut.sequence, segment: cut.segment.0, offset: cut.offset, bytes: cut.bytes }
    }

    pub(crate) fn text(&self) -> String {
        let Self { sequence, segment, offset, bytes } = self;
        format!("group {sequence} on, {} from byte {offset} of segment {segment}; never promised", size(*bytes))
    }
}

impl Damage {
    /// `file` is the name of the segment's file.
    pub(crate) fn new(damage: &logboom_wal::Damage, file: Option<String>) -> Self {
        let lost = damage.lost.iter().map(Lost::new);
        Self {
            finding: damage.kind.into(),
            file,
            segment: Some(damage.segment.0),
            offset: Some(damage.offset),
            group: damage.group,
            what: damage.what.clone(),
            lost: lost.collect(),
        }
    }

    /// Damage without a single place in the log.
    pub(crate) fn unplaced(finding: Finding, what: &str) -> Self {
        Self { finding, file: None, segment: None, offset: None, group: None, what: what.to_owned(), lost: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        let part = |name: &str, number: Option<u64>| number.map(|number| format!("{name} {number}"));
        let place = [
            self.segment.map(|id| match &self.file {
                Some(file) => format!("segment {} ({file})", SegmentId(id)),
                None => format!("segment {}", SegmentId(id)),
            }),
            part("byte", self.offset.map(u64::from)),
            part("group", self.group),
        ];
        let place: Vec<String> = place.into_iter().flatten().collect();
        let colon = if place.is_empty() { "" } else { ": " };
        let mut text = format!("[{}] {}{colon}{}", self.finding.name(), place.join(", "), self.what);
        for row in &self.lost {
            text += &format!("\n{:FIELD_WIDTH$}it held {} of shard {}", "", row.held, row.shard);
        }
        text
    }
}

impl QuarantinedShard {
    pub(crate) fn text(&self) -> String {
        format!("shard {} {}", self.shard, self.lost.text)
    }
}

/// Entries, as a person counts them.
fn entries(first: u64, count: u32) -> String {
    match count {
        0 | 1 => format!("entry {first}"),
        _ => format!("entries {first} to {}", first.saturating_add(u64::from(count) - 1)),
    }
}

impl From<Quarantine> for Missing {
    fn from(quarantine: Quarantine) -> Self {
        let text = quarantine.to_string();
        let Quarantine { entries, hard_state, keys, snapshot, suffix, .. } = quarantine;
        Self { entries, hard_state, keys, snapshot, suffix, text }
    }
}

impl Lost {
    /// The kinds are those of `engine/FORMAT.md`, "Records".
    fn new(row: &logboom_wal::Descriptor) -> Self {
        let &logboom_wal::Descriptor { owner: shard, first, count, kind, .. } = row;
        let held = match kind {
            1 => entries(first, count),
            2 => format!("a truncation after {first}"),
            3 => format!("a compaction to {first}"),
            4 => "a reset".to_owned(),
            5 => "a destruction".to_owned(),
            6 => "a hard state".to_owned(),
            7 => "a commit hint".to_owned(),
            8 | 9 => "a key".to_owned(),
            10 => format!("{}, handed in again", entries(first, count)),
            11 | 12 => "the acceptance of a loss".to_owned(),
            13 => format!("the registration of the snapshot of index {first}"),
            14 => "that a snapshot is let go of".to_owned(),
            _ => format!("a record of kind {kind}"),
        };
        Self { shard, first, count, kind, held }
    }
}
