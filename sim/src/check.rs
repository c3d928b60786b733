//! The invariants by name, and the comparison of an engine with the model.

use std::fmt;

use logboom::{Bounds, Engine, EntryBatch, Quarantine, ReadError, Shard, ShardId, TryRead};
use logboom_wal::marks;

use crate::{
    choices::Choices,
    model::{Model, Models},
};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The invariant's name: of a [`Check`], or of what another simulator checks.
    pub check: String,
    /// The observation.
    pub what: String,
    /// The disk's trace, if it is known.
    pub trace: Vec<String>,
}

/// The invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A batch that fits is accepted, and one that does not is refused without a trace.
    Accepted,
    /// What was submitted is readable, as it was written, in its order.
    Readable,
    /// A ticket completes only when all before it have; none fails except after a failure of the device.
    AckedInOrder,
    /// Nothing is acknowledged after the log was poisoned, and nothing is accepted.
    FailStop,
    /// A log opens after any crash.
    Opens,
    /// After a crash a prefix of the submitted batches is there, each whole, with all that were acknowledged.
    Prefix,
    /// What recovery found, it finds again.
    Stable,
    /// `verify` finds a log intact that nothing but crashes has touched.
    Verifies,
    /// What is compacted gives its space back.
    SpaceReturns,
    /// The log takes no more space than it may.
    Bounded,
    /// Of a damaged log, what is served is right, and what is not served is said to be corrupted.
    DamageShows,
    /// No file of another log is used, and a damaged identity costs no data.
    Identity,
    /// A registered or leased snapshot can be read as it was built, and no other file is left.
    Snapshots,
    /// A copy is the log as it was when the copy was begun.
    Copies,
    /// Callbacks and wakers that panic or use the engine have no other effect, and what they write is kept.
    Foreign,
    /// The engine comes to rest.
    Rests,
    /// Nothing panics.
    Panics,
    /// The same decisions make the same history.
    Repeats,
}

impl Failure {
    /// A failure of `check`, whose name is what [`Debug`](fmt::Debug) says.
    pub fn new(check: impl fmt::Debug, what: impl Into<String>) -> Self {
        Self { check: format!("{check:?}"), what: what.into(), trace: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// How missing entries are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    /// All must be there.
    Whole,
    /// The log was damaged: what the engine says is missing may be missing.
    Damaged,
}

/// A difference between the engine's shards and the models; `None` if they agree.
pub(crate) fn differences(engine: &Engine, models: &Models, shards: u64, entries: Entries) -> Option<String> {
    let vacant = Model::default();
    let model = |id| models.get(&id).map_or(&vacant, |model| &**model);
    // States first: they are cheap to look at.
    (0..shards)
        .find_map(|id| state_difference(&engine.shard(ShardId(id)), model(id), entries))
        .or_else(|| (0..shards).find_map(|id| snapshots_difference(engine, ShardId(id), model(id), entries)))
        .or_else(|| (0..shards).find_map(|id| entries_difference(&engine.shard(ShardId(id)), model(id), entries)))
}

/// A difference in anything but entries.
pub(crate) fn state_difference(shard: &Shard, model: &Model, judged: Entries) -> Option<String> {
    let missing = shard.quarantine();
    match &missing {
        Some(missing) if judged == Entries::Whole => return Some(format!("{:?}: {missing}", shard.id())),
        Some(missing) if missing.suffix => {
            // It is as of an earlier time, and reads of state that must not go back report that.
            marks::hit("damage: a shard is held back");
            return shard.hard_state().is_ok().then(|| format!("{:?} serves a hard state of some time", shard.id()));
        }
        Some(_) => marks::hit("damage: a shard is in quarantine"),
        None => {}
    }
    let Quarantine { hard_state, keys: keys_are_lost, .. } = missing.unwrap_or_default();
    let differ = |what: &str, theirs: String, ours: String| {
        (theirs != ours).then(|| format!("{:?}: {what}: {theirs} instead of {ours}", shard.id()))
    };
    let bounds = |first, last, boundary| format!("{first:?} to {last:?} behind {boundary:?}");
    let first = (!model.entries.is_empty()).then_some(model.first);
    let Bounds { first: their_first, last, boundary, .. } = shard.bounds();
    let keys: Option<Vec<(Vec<u8>, Vec<u8>)>> =
        (shard.scan(..).ok()).map(|keys| keys.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
    let our_keys = (!keys_are_lost).then(|| model.keys.clone().into_iter().collect());
    differ(
        "bounds",
        bounds(their_first, last, boundary),
        bounds(first, first.map(|_| model.next() - 1), model.boundary),
    )
    .or_else(|| {
        let theirs = shard.hard_state().ok().map(|state| state.map(Vec::from));
        let ours = (!hard_state).then(|| model.hard_state.clone());
        (theirs != ours).then(|| differ("hard state", format!("{theirs:?}"), format!("{ours:?}")))?
    })
    .or_else(|| {
        let theirs = shard.commit_hint().unwrap_or_default().map(Vec::from);
        // It is but a hint, and may be lost without a trace, or be there after an opening that did not see it.
        let is_lost = judged == Entries::Damaged && (theirs.is_none() || model.commit_hint.is_none());
        (theirs != model.commit_hint && !is_lost)
            .then(|| differ("commit hint", format!("{theirs:?}"), format!("{:?}", model.commit_hint)))?
    })
    .or_else(|| (keys != our_keys).then(|| differ("keys", format!("{keys:?}"), format!("{our_keys:?}")))?)
}

/// A difference in the list of snapshots.
fn snapshots_difference(engine: &Engine, id: ShardId, model: &Model, judged: Entries) -> Option<String> {
    let ours: Vec<_> = model.snapshots.iter().map(|one| (one.order, one.id, one.file)).collect();
    let theirs = engine.snapshots().list(id);
    let theirs: Vec<_> = theirs.iter().map(|one| ((one.index, one.term), one.id, one.file)).collect();
    if theirs == ours || judged == Entries::Damaged && may_lack_snapshots(engine, id) {
        return None;
    }
    // Of a registration that is lost nothing is missed once there is a newer one.
    let is_newest = theirs.last() == ours.last() && theirs.iter().all(|one| ours.contains(one));
    let differs = judged == Entries::Whole || !is_newest;
    differs.then(|| format!("{id:?}: snapshots: {theirs:x?} instead of {ours:x?}"))
}

/// Whether the shard says that a registration may be lost.
pub(crate) fn may_lack_snapshots(engine: &Engine, id: ShardId) -> bool {
    engine.shard(id).quarantine().is_some_and(|missing| missing.snapshot || missing.suffix)
}

fn entries_difference(shard: &Shard, model: &Model, judged: Entries) -> Option<String> {
    if shard.quarantine().is_some_and(|missing| missing.suffix) {
        return None;
    }
    let mut next = model.first;
    while next < model.next() {
        let entries = match shard.entries(next..model.next(), 8000) {
            Ok(entries) if !entries.is_empty() => entries,
            Err(ReadError::Corrupted { .. }) if judged == Entries::Damaged => {
                // Of a range that is corrupted in part, the rest is read entry by entry.
                if let Some(difference) = damaged_entry(shard, model, next) {
                    return Some(difference);
                }
                next += 1;
                continue;
            }
            Ok(_) => return Some(format!("{:?}: no entries from {next} on", shard.id())),
            Err(error) => return Some(format!("{:?}: entries from {next} on: {error:#}", shard.id())),
        };
        for entry in &entries {
            let expected = model.entry(next)?;
            if entry.index != next || !expected.is(&entry) || shard.term(next).ok() != Some(expected.term) {
                return Some(format!("{:?}: entry {next} is {entry:?} instead of {expected:?}", shard.id()));
            }
            next += 1;
        }
    }
    None
}

fn damaged_entry(shard: &Shard, model: &Model, index: u64) -> Option<String> {
    match shard.entries(index..index + 1, u64::MAX) {
        Ok(entries) => {
            let right =
                entries.get(index).is_some_and(|entry| model.entry(index).is_some_and(|model| model.is(&entry)));
            (!right).then(|| format!("{:?}: entry {index} of a damaged log is wrong", shard.id()))
        }
        Err(ReadError::Corrupted { .. }) => None,
        Err(error) => Some(format!("{:?}: entry {index} of a damaged log: {error:#}", shard.id())),
    }
}

/// Reads some entries, by one of the possible calls, and compares them.
pub(crate) fn read_some(
    engine: &Engine,
    models: &Models,
    shards: u64,
    choices: &mut Choices,
    judged: Entries,
) -> Option<String> {
    let id = choices.below(shards);
    let shard = engine.shard(ShardId(id));
    let vacant = Model::default();
    let model = models.get(&id).map_or(&vacant, |model| &**model);
    // Beyond both ends, too.
    let from = choices.range(model.first.saturating_sub(2)..model.next() + 2);
    let to = choices.range(from..model.next() + 3);
    let max_bytes = choices.pick(&[0, 100, 5000, u64::MAX]);
    let (theirs, batch) = if choices.percent(50) {
        try_read(shard.try_entries(from..to, max_bytes))?
    } else {
        read(shard.entries(from..to, max_bytes))
    };
    let ours = answer(model, from, to);
    if theirs == Answer::Corrupted && judged == Entries::Damaged {
        marks::hit("damage: a read finds it");
        return None;
    }
    if theirs != ours {
        return Some(format!("{:?}: {from}..{to}: {theirs:?} instead of {ours:?}", shard.id()));
    }
    let right = |(index, entry): (u64, logboom::EntryRef<'_>)| {
        entry.index == index && model.entry(index).is_some_and(|expected| expected.is(&entry))
    };
    let missing = theirs == Answer::Entries && from < to && batch.is_empty();
    let right = (from..).zip(&batch).all(right) && !missing;
    (!right).then(|| format!("{:?}: {from}..{to}: wrong entries: {batch:?}", shard.id()))
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Entries,
    Compacted(u64),
    Unavailable(Option<u64>),
    Corrupted,
    Failed(String),
}

/// `None` when the disk is needed: this reader does not wait.
fn try_read(tried: TryRead) -> Option<(Answer, EntryBatch)> {
    Some(match tried {
        TryRead::Ready(batch) => (Answer::Entries, batch),
        TryRead::WouldBlock(_) => {
            marks::hit("read: the disk would be needed");
            return None;
        }
        TryRead::Failed(error) => read(Err(error)),
    })
}

fn read(read: Result<EntryBatch, ReadError>) -> (Answer, EntryBatch) {
    let answer = match read {
        Ok(batch) => return (Answer::Entries, batch),
        Err(ReadError::Compacted { first, .. }) => Answer::Compacted(first),
        Err(ReadError::Unavailable { last, .. }) => Answer::Unavailable(last),
        Err(ReadError::Corrupted { .. }) => Answer::Corrupted,
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    (answer, EntryBatch::default())
}

fn answer(model: &Model, from: u64, to: u64) -> Answer {
    match () {
        () if from >= to => Answer::Entries,
        () if from < model.first && !model.is_vacant() => Answer::Compacted(model.first),
        () if to > model.next() || model.is_vacant() => {
            Answer::Unavailable((!model.entries.is_empty()).then(|| model.next() - 1))
        }
        () => Answer::Entries,
    }
}
