//! Recovery: rebuilds the shards from the checkpoint, the records behind it, and footers.
//!
//! The checkpoint has each shard as of one of its records, and replay applies the later ones. Footers tell which older
//! segments, and which cold ones, hold the entries that no replayed record holds. A replayed record that the shard's
//! row reflects already only tells where its entries lie. A loss puts the shards that it hits in quarantine, and no
//! others: see `shard_recovery`.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use logboom_wal::{
    Error as WalError, Loss, Opening, Place, Record, Scanned, SegmentId, SegmentInfo, Sequence, marks,
    mutants::{self, Mutant},
};

use crate::{
    checkpoint::body::Checkpoint,
    encoding::operation::{Change, LostChange, accepts_unknown_losses},
    index::{
        claims::{Claim, Recency},
        footer::{FooterRebuilder, Head},
        usage::UsageTable,
    },
    recovery::shard_recovery::{Segments, ShardRecovery},
    shard_state::shard_map::ShardMap,
    types::{
        error::{Error, Result},
        ids::ShardId,
    },
};

/// The number of footer heads that are read at once.
const HEADS_AT_ONCE: usize = 32;

/// The recovered shards.
pub(crate) struct Recovered {
    pub(crate) shards: ShardMap,
    pub(crate) usage: UsageTable,
    /// The size of the checkpoint in bytes, 0 for none.
    pub(crate) checkpoint_bytes: u64,
    /// Segments whose footers may list records that recovery dropped because earlier ones are lost.
    pub(crate) outdated: Vec<SegmentId>,
    /// See [`Segments::suspects`].
    pub(crate) suspects: BTreeSet<SegmentId>,
}

/// Recovers the shards. The caller starts the log, or makes a reader of it.
pub(crate) fn recover(opening: &mut Opening) -> Result<Recovered> {
    let _span = tracing::info_span!("index", recovering = opening.segments().len()).entered();
    let mut recovery = Recovery::new();
    let checkpoint = opening.checkpoint().unwrap_or_default();
    let checkpoint_bytes = checkpoint.len() as u64;
    if !checkpoint.is_empty() {
        recovery.take_checkpoint(checkpoint)?;
    }
    recovery.replay(opening)?;
    if let Some(loss) = opening.declare_durable(recovery.reflected.group()) {
        recovery.pass(Scanned::Lost(loss))?;
    }
    recovery.take_segments(opening)?;
    if let Some(cut) = opening.report().cut {
        tracing::warn!(%cut, "an unpromised tail was cut");
    }
    let outdated = std::mem::take(&mut recovery.outdated);
    let (shards, usage, suspects) = recovery.finish();
    for (shard, quarantine) in shards.quarantined() {
        tracing::error!(shard = shard.0, %quarantine, "a shard is in quarantine");
    }
    Ok(Recovered { shards, usage, checkpoint_bytes, outdated, suspects })
}

/// A recovery in progress.
struct Recovery {
    shards: HashMap<ShardId, ShardRecovery>,
    segments: Segments,
    /// Records before this may be lost without a descriptor, and none from here on.
    proven_from: Sequence,
    /// Lost records may belong to shards without any known record.
    unknown_losses: bool,
    /// The last record that the checkpoint reflects.
    reflected: Sequence,
    /// See [`Recovered::outdated`].
    outdated: Vec<SegmentId>,
}

impl Recovery {
    fn new() -> Self {
        Self {
            shards: HashMap::new(),
            segments: Segments::default(),
            proven_from: Sequence::NONE,
            unknown_losses: false,
            reflected: Sequence::NONE,
            outdated: Vec::new(),
        }
    }

    fn take_checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        let unknown_losses = Checkpoint::decode(bytes, |shard| {
            self.reflected = self.reflected.max(shard.view.sequence);
            self.shards.insert(shard.id, ShardRecovery::in_checkpoint(shard));
        })?;
        if let Some(unknown_losses) = unknown_losses {
            self.unknown_losses = true;
            self.shards.extend(
                unknown_losses.empty.into_iter().map(|shard| (shard, ShardRecovery::empty(unknown_losses.upto))),
            );
        }
        Ok(())
    }

    /// Collects the claims of the segments that are not replayed. After the replay: segments that were freed meanwhile
    /// make no claims.
    fn take_segments(&mut self, opening: &Opening) -> Result<()> {
        let replay_from = opening.replay_from();
        let segments = opening.segments();
        let damages = opening.report().damages.iter().map(|damage| damage.segment);
        let lost_from = damages.filter(|id| !id.is_cold() && *id >= replay_from).min();
        for infos in segments.chunks(HEADS_AT_ONCE) {
            let ids: Vec<SegmentId> = infos.iter().map(|info| info.id).collect();
            for (info, bytes) in infos.iter().zip(opening.read_heads(&ids)?) {
                let head = bytes?.and_then(|bytes| Head::decode(&bytes).ok());
                let is_replayed = !info.id.is_cold() && info.id >= replay_from;
                // The footer lists what was live before the loss; the replay knows what is live now.
                let is_outdated = is_replayed && lost_from.is_some_and(|lost| info.id >= lost);
                if head.is_some() && is_outdated {
                    marks::hit("recovery: a footer behind damage is not believed");
                    self.outdated.push(info.id);
                } else if head.is_some() {
                    opening.accept_footer(info.id);
                    self.segments.sealed.insert(info.id);
                }
                match head {
                    _ if is_replayed => {}
                    Some(head) => self.take_head(info, &head),
                    None if info.id.is_cold() => self.scan_cold(opening, info.id)?,
                    None => self.scan(opening, info)?,
                }
            }
        }
        self.segments.live = segments.iter().map(|info| info.id).collect();
        Ok(())
    }

    fn take_head(&mut self, info: &SegmentInfo, head: &Head) {
        let recency = head.recency(last_group(info));
        head.claims(info.id).for_each(|(shard, claim)| self.add_claim(shard, recency, claim));
    }

    /// Reads a segment without a usable footer, for its claims.
    fn scan(&mut self, opening: &Opening, info: &SegmentInfo) -> Result<()> {
        marks::hit("recovery: a segment is read in place of its footer");
        let (mut rebuilder, mut is_damaged) = (FooterRebuilder::default(), false);
        opening.scan(info.id, &mut |scanned| {
            is_damaged |= matches!(scanned, Scanned::Lost(_));
            if self.has_past(&scanned) {
                rebuilder.add(&scanned);
            }
            Ok(())
        })?;
        self.segments.suspects.extend(is_damaged.then_some(info.id));
        let recency = Recency::of_segment(last_group(info));
        for (shard, claims) in rebuilder.into_claims() {
            claims.into_vec().into_iter().for_each(|claim| self.add_claim(shard, recency, claim));
        }
        Ok(())
    }

    /// Whether a record of a segment that is not replayed was part of its shard when the checkpoint was made.
    fn has_past(&self, scanned: &Scanned) -> bool {
        let (owner, sequence) = match scanned {
            Scanned::Record(record, _) => (record.owner(), record.sequence()),
            Scanned::Lost(Loss::Record { descriptor, sequence, .. }) => (descriptor.owner, *sequence),
            Scanned::Lost(Loss::Moved { .. } | Loss::Unknown { .. }) => return true,
        };
        self.shards.get(&ShardId(owner)).is_some_and(|found| found.has_past(sequence))
    }

    /// Reads a cold segment without a usable footer, for its claims. It is unknown when its records were live, so each
    /// claim is as recent as its own record. A lost record still outranks older ones; if its sequence is lost too, it
    /// may be newer than all records that are not replayed.
    fn scan_cold(&mut self, opening: &Opening, segment: SegmentId) -> Result<()> {
        Ok(opening.scan(segment, &mut |scanned| {
            let (record, place) = match scanned {
                Scanned::Record(record, place) => (record, place),
                Scanned::Lost(loss) => {
                    self.segments.suspects.insert(segment);
                    self.claim_lost(&loss);
                    return Ok(());
                }
            };
            if let Some(Change::Append { first, count, .. } | Change::Heal { first, count, .. }) =
                Change::decode(&record)
            {
                let wins = mutants::is_on(Mutant::ColdClaimsWin);
                let recency = if wins { Recency::before(u64::MAX >> 17) } else { Recency::of(record.sequence()) };
                self.add_claim(ShardId(record.owner()), recency, Claim::of_record(first, count, place));
            }
            Ok(())
        })?)
    }

    /// Claims the entries of a lost record of a cold segment as lost.
    fn claim_lost(&mut self, loss: &Loss) {
        let (descriptor, recency) = match loss {
            Loss::Record { sequence, descriptor, .. } => (descriptor, Recency::of(*sequence)),
            Loss::Moved { descriptor, .. } => (descriptor, Recency::NEWEST),
            Loss::Unknown { .. } => return,
        };
        if let LostChange::Entries { first, count, .. } = LostChange::of(descriptor) {
            marks::hit("recovery: what is lost of a cold segment is not taken for older entries");
            self.add_claim(ShardId(descriptor.owner), recency, Claim::lost(first, first.saturating_add(count)));
        }
    }

    fn add_claim(&mut self, shard: ShardId, recency: Recency, claim: Claim) {
        if let Some(found) = self.shards.get_mut(&shard) {
            found.add_older_claim(recency, claim);
        }
    }

    fn replay(&mut self, opening: &mut Opening) -> Result<()> {
        let mut failure = None;
        let replayed = opening.replay(&mut |scanned| {
            self.pass(scanned).map_err(|error| {
                failure = Some(error);
                WalError::Closed
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(replayed?),
        }
    }

    /// Applies the next record of the log, or the next loss.
    fn pass(&mut self, scanned: Scanned) -> Result<()> {
        match scanned {
            Scanned::Record(record, place) => return self.replay_record(&record, place),
            Scanned::Lost(Loss::Record { sequence, descriptor, .. }) => {
                let found = self.shards.entry(ShardId(descriptor.owner)).or_default();
                found.lose(&LostChange::of(&descriptor), sequence, self.proven_from);
            }
            // Only cold segments have these.
            Scanned::Lost(Loss::Moved { .. }) => {}
            Scanned::Lost(Loss::Unknown { until, .. }) => {
                self.proven_from = self.proven_from.max(until);
                self.unknown_losses = true;
            }
        }
        Ok(())
    }

    fn replay_record(&mut self, record: &Record, place: Place) -> Result<()> {
        if accepts_unknown_losses(record) {
            self.unknown_losses = false;
            return Ok(());
        }
        let shard = ShardId(record.owner());
        let Some(change) = Change::decode(record) else {
            return Err(Error::corruption(shard, format_args!("record {} is of no known form", record.sequence())));
        };
        self.shards.entry(shard).or_default().replay(&change, record.sequence(), record.prev(), place);
        Ok(())
    }

    fn finish(mut self) -> (ShardMap, UsageTable, BTreeSet<SegmentId>) {
        let (shards, usage) = (ShardMap::default(), UsageTable::default());
        if self.unknown_losses {
            shards.hold_back_unknown();
        }
        for (shard, mut found) in self.shards {
            let proven = found.prove(self.proven_from);
            // A shard that is known to be empty needs a cell while unknown shards are held back.
            if found.is_something() || (proven && self.unknown_losses) {
                shards.insert(found.finish(shard, &mut self.segments, &usage));
            }
        }
        (shards, usage, self.segments.suspects)
    }
}

fn last_group(info: &SegmentInfo) -> u64 {
    info.limit.group().saturating_sub(1)
}

#[cfg(test)]
mod tests;
