//! Starting a recovered log: makes the recovered records durable, and begins an epoch after them.

use crate::{
    format::group::Life,
    group_commit::committer::WINDOW,
    recovery::{discover::restore_sizes, opening::Opening},
    segments::{
        aside::put_aside,
        supply::{PreparedSegment, prefill_name, prepare_now},
    },
    start::Start,
    types::{
        error::Error,
        ids::NUMBER_MAX,
        mutants::{Mutant, unless},
    },
    wal::Wal,
};
use logboom_disk::Mode;

impl Opening {
    /// Begins an epoch after the accepted end. On return the replayed records and the epoch survive power loss.
    ///
    /// # Errors
    /// Those of [`Opening::replay`] if it was not called before; [`Error::Full`], [`Error::Io`].
    pub fn start(self) -> Result<Wal, Error> {
        let wal = self.begin()?;
        wal.prepare_ahead();
        Ok(wal)
    }

    /// [`Opening::start`] for a layer that frees segments before more are prepared: it calls [`Wal::prepare_ahead`]
    /// when it has done so.
    ///
    /// # Errors
    /// As [`Opening::start`].
    pub fn begin(mut self) -> Result<Wal, Error> {
        if self.context.mode != Mode::Write {
            return Err(Error::Misuse { what: "the log was opened for reading".to_owned() });
        }
        if !self.replayed {
            self.replay(&mut |_| Ok(()))?;
        }
        let again = unless(Mutant::TailNotSyncedAgain, || self.sync_again(), || Ok(()));
        again.and_then(|()| self.slots.sync()).map_err(|error| Error::io("syncing what was recovered", error))?;
        let prepared = self.take_prepared()?;
        self.slots
            .prepare(&*self.context.medium.disk)
            .map_err(|failure| failure.into_error())
            .map_err(opening_failure)?;
        let (segment, epoch) = (self.highest.segment.next(), self.highest.epoch + 1);
        let begun = || (epoch, self.context.clock.nonce());
        let (epoch, nonce) = unless(Mutant::EpochOnlyWhenCut, begun, || {
            let last = self.to_replay.last().filter(|_| self.report.cut.is_none());
            last.map_or_else(begun, |last| (last.life.epoch, last.life.nonce))
        });
        let life = Life { segment, epoch, nonce, origin: self.accepted };
        // Skips the numbers of groups that void epochs may have submitted after the accepted end.
        let leap = (WINDOW + 1).saturating_mul(epoch - self.accepted_epoch);
        let first_group = if epoch == 1 { 1 } else { self.accepted.last.saturating_add(leap) };
        if segment.0.max(epoch).max(first_group) >= NUMBER_MAX {
            return Err(Error::Exhausted);
        }
        let (aside, wrong_size) = (std::mem::take(&mut self.aside), self.mark_odd());
        let size = self.context.identity.segment_bytes;
        let wal = Wal::start(Start {
            context: self.context,
            life,
            prepared,
            first_group,
            echo: self.echo,
            slots: self.slots,
            live: self.live,
            free: self.free,
            next_slot: self.next_slot,
        })?;
        self.found_identity.complete(&*wal.disk())?;
        // Only the size of the file distinguishes an end that was cut off from one that was never written. So the size
        // is restored only now that a durable record says what these files held.
        restore_sizes(&wrong_size, size).map_err(opening_failure)?;
        if let Err(failure) = put_aside(&*wal.shared.env.medium.disk, &aside) {
            let error = wal.shared.side_failure("putting a file aside", failure);
            tracing::warn!(%error, "a file could not be put aside, the next opening reports it again");
        }
        Ok(wal)
    }

    /// Makes the recovered records durable: the process that wrote them may have died before its sync, and a caller
    /// takes a recovered record for durable.
    fn sync_again(&self) -> std::io::Result<()> {
        let cold_beyond_checkpoint = unless(Mutant::ColdNotSyncedAgain, || &*self.cold_beyond_checkpoint, || &[]);
        for segment in self.to_replay.iter().chain(cold_beyond_checkpoint) {
            segment.file.sync_all()?;
        }
        self.context.medium.disk.sync_dir()
    }

    fn take_prepared(&mut self) -> Result<PreparedSegment, Error> {
        if let Some(free) = self.free.pop_front() {
            return free.open(&*self.context.medium.disk).map_err(|error| Error::io("opening a free segment", error));
        }
        let slot = self.next_slot;
        self.next_slot += 1;
        let size = self.context.identity.segment_bytes;
        prepare_now(&*self.context.medium.disk, &self.context.medium.pool, slot, size).map_err(|error| {
            // If this fails, the next opening removes the file.
            drop(self.context.medium.disk.remove(&prefill_name(slot)));
            opening_failure(error)
        })
    }
}

/// The error of an opening that found the log in order and then failed.
fn opening_failure(error: std::io::Error) -> Error {
    Error::full_or_io("preparing the directory", error)
}
