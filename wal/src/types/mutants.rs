//! Mutants: deliberate bugs that leave out one rule each. A simulation that runs with one must fail.
//!
//! Without the feature `mutants` they are not compiled; with it they do nothing until one is switched on.

#[cfg(feature = "mutants")]
use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! mutants {
    (simulated { $($name:ident: $about:literal,)+ } modelled { $($modelled:ident: $of_it:literal,)+ }) => {
        /// A rule that is left out, of the log or of the layer above.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mutant {
            /// No bug.
            None,
            $(#[doc = $about] $name,)+
            $(#[doc = $of_it] $modelled,)+
        }

        impl Mutant {
            /// Every bug that a simulation finds.
            pub const ALL: &[Mutant] = &[$(Mutant::$name),+];

            /// Every bug that needs an unlucky interleaving of threads: models find these.
            pub const MODELLED: &[Mutant] = &[$(Mutant::$modelled),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    Mutant::None => "None",
                    $(Mutant::$name => stringify!($name),)+
                    $(Mutant::$modelled => stringify!($modelled),)+
                }
            }

            /// What it does wrong.
            pub fn about(self) -> &'static str {
                match self {
                    Mutant::None => "nothing is wrong",
                    $(Mutant::$name => $about,)+
                    $(Mutant::$modelled => $of_it,)+
                }
            }
        }
    };
}

mutants! { simulated {
    SyncSkipped: "a plain write counts as durable when it completes",
    WriteNotDurable: "a lone write is submitted without asking for durability",
    SyncCoversLate: "a sync is credited with the writes that completed while it ran",
    AckOneGroupEarly: "the watermark is one group ahead of what is durable",
    AckOutOfOrder: "a durable group is acknowledged before one that precedes it",
    PromiseTooHigh: "a group promises one group more than was durable",
    RotationNotDrained: "a segment is begun while groups of the one before are in flight",
    WriteErrorIgnored: "a failed write of a group counts as done",
    SyncErrorIgnored: "a failed sync is asked for again",
    SideSyncIgnored: "a failed sync beside the log does not poison it",
    DirectoryLost: "the log goes on when its directory or the lock is gone",
    BodyChecksumIgnored: "the checksum of a record's body is not looked at",
    GroupChecksumIgnored: "records are not compared with the checksum in their group's header",
    TornGroupInPart: "the intact records of a torn group are accepted",
    StaleGroupAccepted: "a group of an earlier life of its segment is taken for the next one",
    StaleFooterAccepted: "a footer of an earlier life of its segment is taken for its own",
    OriginEndIgnored: "a segment is read beyond the end that its successor states",
    MovedNotSynced: "records count as moved before they are synced",
    ColdNotCheckpointed: "a checkpoint does not name the cold segments",
    ColdNotSyncedAgain: "copies that are found in a cold segment are not synced",
    MovedOverNewer: "a moved record takes the place of what was written over it meanwhile",
    ColdClaimsWin: "what was found in a cold segment counts for more than what was written later",
    TailNotSyncedAgain: "what was recovered is not synced again",
    EpochOnlyWhenCut: "an opening that cut nothing goes on in the old epoch",
    FreedIgnored: "records that free segments are not replayed",
    FreedReusedAtOnce: "a segment is used again before the record that frees it is durable",
    ReuseWithOneSlot: "a segment is used again when one checkpoint covers it",
    CheckpointOverNewest: "a checkpoint is written over the newest one",
    CheckpointHeaderFirst: "a checkpoint's content is not synced before its header is written",
    CheckpointEarly: "a checkpoint is written before what it reflects is durable",
    NameNotSynced: "a segment is used before its name is durable",
    FooterEarly: "a footer is written before what it lists is durable",
    RetiredEarly: "a segment is retired, and no checkpoint names it, before what freed its last entry is durable",
    ReplayedTwice: "records that the checkpoint reflects are applied again",
    DamageTakenForTorn: "what was durable and is not intact is cut, as a torn tail is",
    LostEndIgnored: "a log of which the newest segment is gone ends with the one before, without a word",
    LinksIgnored: "a record is applied that does not follow the last one known of its shard",
    DamageForgotten: "a checkpoint does not say what is missing",
    SnapshotNotSynced: "a snapshot gets its name before its file is synced",
    SnapshotNameNotSynced: "a snapshot is registered before its name is durable",
    SnapshotGoneEarly: "a snapshot's file is removed before what supersedes it is durable",
    SnapshotForgotten: "a checkpoint does not name the registered snapshots",
    LeaseIgnored: "a leased snapshot's file is removed",
    LeaseNotHeld: "the log is compacted past what a lease holds",
    LeftoverKept: "a snapshot without a registration is kept at opening",
    LeftoverRegistered: "a snapshot without a registration counts as registered at opening",
    ForeignTakenForFree: "files of another log are taken for free ones",
    CopyNotKept: "snapshots are removed while the log is copied",
    SupplyPoisonMissed: "a failed sync of a segment that is prepared does not poison the log",
} modelled {
    WakeupNotPassedOn: "a waiter that was woken to commit, and leaves, wakes no other",
    HandOverUnfenced: "who lets go of the turn looks for writers before others see that it is free",
    FreedBetweenLooks: "a checkpoint looks for segments that are being freed before it locks the live ones",
} }

/// The result of `rule`, or of `wrong` if `mutant` is switched on.
#[inline(always)]
pub fn unless<T>(mutant: Mutant, rule: impl FnOnce() -> T, wrong: impl FnOnce() -> T) -> T {
    if is_on(mutant) { wrong() } else { rule() }
}

/// Whether `mutant` is switched on.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn is_on(mutant: Mutant) -> bool {
    let _ = mutant;
    false
}

/// Whether `mutant` is switched on.
#[cfg(feature = "mutants")]
#[inline]
pub fn is_on(mutant: Mutant) -> bool {
    ON.load(Ordering::Relaxed) == mutant as u8
}

/// Switches `mutant` on, for all logs of the process, and all others off.
#[cfg(feature = "mutants")]
pub fn switch_on(mutant: Mutant) {
    ON.store(mutant as u8, Ordering::Relaxed);
}

#[cfg(feature = "mutants")]
static ON: AtomicU8 = AtomicU8::new(Mutant::None as u8);
