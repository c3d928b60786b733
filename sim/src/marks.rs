//! The places that a run is to reach: see `logboom_wal::marks`.

use std::collections::BTreeMap;

/// Every mark that a minute of histories reaches.
pub const ALL: &[&str] = &[
    "admission: a batch waits",
    "beside the log: a sync fails",
    "checkpoint: a slot is not intact",
    "checkpoint: it waits for what it reflects",
    "closing without a checkpoint",
    "cold: a segment is begun",
    "cold: a write fails",
    "commit: a group has a table of its own",
    "commit: a group is durable before the one that precedes it",
    "commit: a group repeats the descriptors of the one before",
    "commit: a rotation waits for what precedes it",
    "commit: a sync covers several writes",
    "commit: a sync fails",
    "commit: a write completes while a sync runs",
    "commit: a write fails",
    "commit: a write holds several groups",
    "commit: in the writer's thread",
    "commit: several writes in flight",
    "compact: a segment waits for what freed it",
    "crash: in the middle of an operation",
    "crash: power cut",
    "crash: process killed",
    "crash: process killed, then power cut",
    "damage: a checkpoint slot",
    "damage: a read is stale",
    "damage: a segment",
    "damage: a shard is held back",
    "damage: a shard is in quarantine",
    "damage: a write goes elsewhere",
    "damage: a write is lost",
    "damage: all is mended",
    "damage: an opening reads what was there earlier",
    "damage: bytes rot",
    "damage: entries are healed",
    "damage: something vouches for what is hit",
    "damage: the end of the log is gone without a word",
    "damage: what is missing is found missing again",
    "read: the disk would be needed",
    "reclaim: a segment was emptied",
    "reclaim: entries were dropped while they were moved",
    "recovery: a cold segment is walked to its end",
    "recovery: a cold segment was begun and nothing is in it",
    "recovery: a first group stands for its segment's header",
    "recovery: a record frees a segment",
    "recovery: a record that the checkpoint reflects",
    "recovery: a segment is read in place of its footer",
    "recovery: a segment of the checkpoint was used again",
    "recovery: a shard whose beginning is gone was destroyed",
    "recovery: an epoch leaps over what was not accepted",
    "recovery: an unfinished segment is removed",
    "recovery: batches that nobody was told of are gone",
    "recovery: batches that nobody was told of are there",
    "recovery: crashed in the middle of an operation",
    "recovery: cut short, and begun again",
    "recovery: row b, damage",
    "recovery: row c, end after closing",
    "recovery: row d, cut in a group's records",
    "recovery: row e, cut at a group's header",
    "recovery: row f, end",
    "recovery: the log was closed",
    "seal: a footer waits for what it lists",
    "space has returned",
    "submit: the device is full",
    "supply: a freed segment waits for its record",
    "supply: a segment is given back",
    "supply: a segment is made in a hurry",
    "supply: a segment is recycled",
    "supply: the segment kept for moving is used",
    "supply: the segment kept for draining is used",
    "the device gets more room",
    "the log is poisoned",
    "tickets: answered with the failure of the log",
    "tickets: several batches are acknowledged at once",
    "watch: a lazy batch has become old",
    "watch: an idle log promises",
];

/// Marks that are reached now and then, or by scripts alone.
pub const SELDOM: &[&str] = &[
    "damage: a read finds it",
    "damage: an opening refuses what is left",
    "damage: an opening refuses what it reads",
    "read: a segment is read in place of its footer",
    "script: a chosen power cut",
];

/// Those of [`ALL`] that were not reached, and those that were reached and are in neither list.
pub fn missing_and_unknown(reached: &BTreeMap<&'static str, u64>) -> (Vec<&'static str>, Vec<&'static str>) {
    let missing = ALL.iter().copied().filter(|mark| !reached.contains_key(mark)).collect();
    let is_known = |mark: &&str| ALL.contains(mark) || SELDOM.contains(mark);
    let unknown = reached.keys().copied().filter(|mark| !is_known(mark)).collect();
    (missing, unknown)
}
