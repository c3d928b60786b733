//! The environment of an open log, which does not change.

use std::sync::Arc;

use logboom_disk::Process;

use crate::{
    format::{footer_bound::FooterBound, options::Options},
    runtime::worker::Clock,
    segments::{footer::footer_bytes_max, identity::Identity, medium::Medium},
    types::{
        error::Error,
        ids::GROUP_RECORDS_MAX,
        marks,
        mutants::{Mutant, unless},
    },
};

/// See the module.
pub(crate) struct Env {
    pub(crate) medium: Medium,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    /// The log is driven by hand, and has no threads.
    pub(crate) manual: bool,
    /// The process that opened the log.
    pub(crate) process: Process,
}

impl Env {
    /// Bytes that must stay free at the end of a segment whose footer lists at most `bound`.
    pub(crate) fn footer_space(&self, bound: FooterBound) -> usize {
        footer_bytes_max(self.options.footer.bytes(bound), self.medium.framing.pad)
    }

    /// The most bytes that the records of one batch may have, headers included. Framing and a footer that lists each
    /// record fit an empty segment as well: a record has at least the 64 bytes of its header, and a segment has enough
    /// pad units.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        usize::try_from(self.identity.segment_bytes / 4).unwrap_or(usize::MAX)
    }

    /// Fails if a batch exceeds the limits of one group.
    pub(crate) fn check_batch(&self, records: usize, bytes: usize) -> Result<(), Error> {
        let limit = self.batch_bytes_max();
        match () {
            () if records > GROUP_RECORDS_MAX as usize => Err(Error::TooMany { records }),
            () if bytes > limit => Err(Error::TooLarge { bytes, limit }),
            () => Ok(()),
        }
    }

    /// Checks that the directory still belongs to the log. Writes to a removed directory are lost, and one whose lock
    /// was removed may have another writer.
    ///
    /// # Errors
    /// [`Error::Io`] with the cause; the caller must poison the log.
    pub(crate) fn check_directory(&self) -> Result<(), Error> {
        let held = unless(Mutant::DirectoryLost, || self.medium.disk.still_ours(), || Ok(()));
        marks::hit_if(held.is_err(), "guard: the directory is not the log's any more");
        held.map_err(|error| Error::io("holding the directory", error))
    }

    /// Checks that this is the process that opened the log. A forked child has a copy of the memory and no threads:
    /// waiting for them would never end.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.process.is_this() { Ok(()) } else { Err(Error::Forked { owner: self.process.id() }) }
    }
}
