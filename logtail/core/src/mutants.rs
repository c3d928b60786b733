//! Mutants: deliberate bugs that leave out one rule each. Simulated histories of a tail with one must fail.
//!
//! Without the feature `mutants` they are not compiled; with it they do nothing until one is switched on.

#[cfg(feature = "mutants")]
use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! mutants {
    (simulated { $($name:ident: $about:literal,)+ } modelled { $($modelled:ident: $of_it:literal,)+ }) => {
        /// A rule that is left out, of the model or of what drives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mutant {
            /// No bug.
            None,
            $(#[doc = $about] $name,)+
            $(#[doc = $of_it] $modelled,)+
        }

        impl Mutant {
            /// Every bug that simulated histories find.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Every bug that needs an unlucky interleaving of threads: models find these.
            pub const MODELLED: &[Self] = &[$(Self::$modelled),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    Self::None => "None",
                    $(Self::$name => stringify!($name),)+
                    $(Self::$modelled => stringify!($modelled),)+
                }
            }
        }
    };
}

mutants! { simulated {
    VisibleEarly: "readers see a transaction before its record is committed",
    ChangePassed: "readers see a transaction and not the change of the catalog or the flush before it",
    AcknowledgedEarly: "a commit is acknowledged before its record is durable",
    BoundNotDurable: "timestamps pass a bound of the clock before its record is committed",
    BoundForgotten: "a restart goes on above the last transaction, not above the last bound",
    EpochNotDurable: "a writer serves before the record of its epoch is durable",
    ReplacedGoesOn: "a writer appends behind the records of the one that has replaced it",
    ConflictsIgnored: "a transaction commits although another one wrote the same rows since its snapshot",
    DuplicatesIgnored: "a key is inserted that is there at the snapshot",
    SchemaNotChecked: "a transaction commits with the columns of its snapshot although they were changed since",
    WatermarkForgotten: "after a restart readers see nothing before the next transaction",
    WatermarkTooHigh: "after a restart readers get timestamps at which transactions still commit",
    DeletesForgotten: "a restart does not replay the deletes of transactions",
    ClientsForgotten: "a restart forgets what clients called their transactions",
    NumbersForgotten: "a restart gives numbers of tables again",
    DeletesNotMoved: "rows that were deleted while they were flushed come back",
    MovedDeletesForgotten: "a transaction deletes a row that another one deleted while it was flushed",
    HistoryDropped: "a flush leaves out rows that are deleted, whatever readers may still ask for",
    LoadNotChecked: "a bulk load commits although others wrote its keys since its snapshot",
    LoadDoesNotGiveWay: "a bulk load that seals its table takes keys for free that it has to look up in the store",
    LoadForgotten: "a transaction commits although a bulk load wrote its keys since its snapshot",
    DeletesLost: "deletes leave memory that are in no tombstone object",
    TombstonesDropped: "a block's tombstones replace those that it had, without having them",
    RoundBeforeDropped: "the tombstones of a second round of a flush replace those of the first, without having them",
    TombstonesUnread: "readers do not look for the tombstones of a block",
    LaterTableCaptured: "a checkpoint has a table that is created behind its time",
    CopiedInPart: "of rows that a checkpoint writes for the first time it leaves out those from before the one before",
    LogDroppedEarly: "a checkpoint drops the records of rows that are in memory alone",
} modelled {
    ChangeLetGoEarly: "a thread raises the watermark over a change that is being published",
    WatermarkSetBack: "the watermark goes back when two threads raise it at once",
} }

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

/// Switches `mutant` on, for all tails of the process, and all others off.
#[cfg(feature = "mutants")]
pub fn switch_on(mutant: Mutant) {
    ON.store(mutant as u8, Ordering::Relaxed);
}

#[cfg(feature = "mutants")]
static ON: AtomicU8 = AtomicU8::new(Mutant::None as u8);
