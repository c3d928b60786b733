//! The plan of a repair: computed once, shown, confirmed, and then done as shown.

use std::fmt;

use logboom::{Batch, Engine, EntryId, Quarantine, Shard, ShardId};

use crate::output::hex;

/// The steps of a repair, done all or not at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    UnknownLosses,
    Shard(ShardId, Vec<Step>),
}

/// One operation of a repair, with the text that the user confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Truncate {
        keep: u64,
        last: u64,
    },
    /// Neither an entry nor a boundary precedes the first lost entry.
    Empty,
    Reset(EntryId),
    Destroy,
    HardState(Vec<u8>),
    KeepHardState(Option<Vec<u8>>),
    KeepKeys,
    KeepSnapshots,
    AcceptLoss,
}

/// Actions that end a quarantine by giving up data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Without the entries from the first lost one on.
    Cut,
    /// Empty behind this entry.
    Reset(EntryId),
    /// Nothing.
    Destroy,
}

/// The choice for a lost hard state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HardState {
    Set(Vec<u8>),
    Keep,
    None,
}

pub(crate) fn needs_hard_state(lost: &Quarantine) -> bool {
    lost.hard_state || lost.suffix
}

impl Step {
    /// Drops the entries from the first lost one on, if any is lost.
    pub(crate) fn cut(shard: &Shard, lost: &Quarantine) -> Option<Self> {
        let first = lost.entries.first()?.start;
        let bounds = shard.bounds();
        let is_all = bounds.first == Some(first) && bounds.boundary.is_none();
        match (first.checked_sub(1), bounds.last) {
            (Some(keep), Some(last)) if !is_all => Some(Self::Truncate { keep, last }),
            _ => Some(Self::Empty),
        }
    }

    fn hard_state(shard: &Shard, lost: &Quarantine, chosen: Option<&HardState>) -> Result<Option<Self>, String> {
        let known = shard.last_known_hard_state().map(|bytes| bytes.to_vec());
        match chosen {
            None if !needs_hard_state(lost) => Ok(None),
            None => Err(format!(
                "the hard state of {} is lost or may be, the last one that is known is {}: say by --hard-state what \
                 the shard goes on with",
                shard.id(),
                shown(known.as_deref())
            )),
            Some(HardState::Set(bytes)) => Ok(Some(Self::HardState(bytes.clone()))),
            Some(HardState::None) if known.is_some() => Err(format!(
                "{} had the hard state {}: nothing but --destroy takes it away",
                shard.id(),
                shown(known.as_deref())
            )),
            Some(HardState::Keep | HardState::None) => Ok(Some(Self::KeepHardState(known))),
        }
    }

    fn add(&self, shard: ShardId, batch: &mut Batch<'_>) -> logboom::Result<()> {
        match self {
            Self::Truncate { keep, .. } => batch.truncate_after(shard, *keep).map(drop),
            Self::Empty => batch.reset_to(shard, None).map(drop),
            Self::Reset(boundary) => batch.reset_to(shard, Some(*boundary)).map(drop),
            Self::Destroy => batch.destroy(shard).map(drop),
            Self::HardState(bytes) => batch.hard_state(shard, bytes).map(drop),
            Self::KeepHardState(_) | Self::KeepKeys | Self::KeepSnapshots => Ok(()),
            Self::AcceptLoss => batch.accept_loss(shard).map(drop),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncate { keep, last } if keep + 1 == *last => write!(f, "drop the entry {last}"),
            Self::Truncate { keep, last } => write!(f, "drop the entries {} to {last}", keep + 1),
            Self::Empty => f.write_str("drop all entries: the log begins anew, anywhere"),
            Self::Reset(EntryId { index, term }) => {
                write!(f, "drop all entries: the log goes on behind entry {index} of term {term}")
            }
            Self::Destroy => f.write_str("forget the shard: log, hard state, commit hint and keys"),
            Self::HardState(bytes) => write!(f, "set the hard state {}", hex(bytes)),
            Self::KeepHardState(None) => f.write_str("go on without a hard state"),
            Self::KeepHardState(known) => write!(f, "go on with the hard state {}", shown(known.as_deref())),
            Self::KeepKeys => f.write_str("take keys and commit hint as they are"),
            Self::KeepSnapshots => f.write_str("go on without the snapshots from before the one that is lost"),
            Self::AcceptLoss => f.write_str("accept the loss"),
        }
    }
}

impl Plan {
    /// The plan that ends the quarantine of a shard by `action`.
    ///
    /// # Errors
    /// If the shard is not in quarantine, or a hard state must be `chosen`, or the chosen one is not possible.
    pub(crate) fn new(shard: &Shard, action: Action, chosen: Option<&HardState>) -> Result<Self, String> {
        let id = shard.id();
        let lost = shard.quarantine().ok_or_else(|| format!("{id} is not in quarantine: nothing to repair"))?;
        let mut steps = match action {
            Action::Destroy => return Ok(Self::Shard(id, vec![Step::Destroy])),
            Action::Reset(boundary) => vec![Step::Reset(boundary)],
            Action::Cut => Step::cut(shard, &lost).into_iter().collect(),
        };
        steps.extend(Step::hard_state(shard, &lost, chosen)?);
        if lost.keys || lost.suffix {
            steps.push(Step::KeepKeys);
        }
        if lost.snapshot {
            steps.push(Step::KeepSnapshots);
        }
        steps.push(Step::AcceptLoss);
        Ok(Self::Shard(id, steps))
    }

    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::UnknownLosses => vec![
                "accept unknown losses: take every shard that nothing is known of for one that never was".to_owned(),
            ],
            Self::Shard(id, steps) => steps.iter().map(|step| format!("{id}: {step}")).collect(),
        }
    }

    pub(crate) fn apply(&self, engine: &Engine) -> logboom::Result<()> {
        let Self::Shard(id, steps) = self else { return engine.accept_unknown_losses() };
        let mut batch = engine.batch();
        for step in steps {
            step.add(*id, &mut batch)?;
        }
        engine.write(batch)
    }
}

fn shown(hard_state: Option<&[u8]>) -> String {
    hard_state.map_or_else(|| "none".to_owned(), hex)
}

/// Reads an entry: `INDEX:TERM`.
pub(crate) fn boundary(text: &str) -> Result<EntryId, String> {
    let parsed = text.split_once(':').and_then(|(index, term)| Some((index.parse().ok()?, term.parse().ok()?)));
    let (index, term) = parsed.ok_or("two numbers with a colon between them, as in 5000:12")?;
    Ok(EntryId { index, term })
}

/// Reads the choice of a hard state.
pub(crate) fn hard_state(text: &str) -> Result<HardState, String> {
    match text {
        "keep" => Ok(HardState::Keep),
        "none" => Ok(HardState::None),
        _ => bytes(text).map(HardState::Set).ok_or_else(|| "keep, none, or pairs of hexadecimal digits".to_owned()),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        assert_eq!(boundary("5000:12"), Ok(EntryId { index: 5000, term: 12 }));
        for text in ["", "5000", "5000:", ":1", "a:1", "1:2:3", "-1:2"] {
            assert!(boundary(text).is_err(), "{text}");
        }
        assert_eq!(hard_state("keep"), Ok(HardState::Keep));
        assert_eq!(hard_state("none"), Ok(HardState::None));
        assert_eq!(hard_state("00fFa1"), Ok(HardState::Set(vec![0, 255, 0xa1])));
        for text in ["", "0", "000", "0x00", "gg", "keeps", "+1"] {
            assert!(hard_state(text).is_err(), "{text}");
        }
    }
}
