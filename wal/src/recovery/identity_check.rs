//! Checks that the files of a directory belong to the log that is opened.

use std::sync::Arc;

use logboom_disk::Mode;

use crate::{
    recovery::{discover::FoundFile, find_identity::IdentitySource, opening::Opening},
    segments::{log_match::LogMatch, segment::slot_name, slots::is_slot},
    types::{error::Error, identity_fault::IdentityFault, marks},
};

impl Opening {
    /// Compares all files with the identity. Runs before anything is changed.
    ///
    /// # Errors
    /// [`Error::Identity`] if the log may not be opened: for writing, if files belong to another log or `LOGBOOM` is
    /// damaged; at all, if no file belongs to the log. [`Error::Io`].
    pub(crate) fn check_identity(&mut self, found: &mut [FoundFile]) -> Result<(), Error> {
        let has_own_file = found.iter().any(|file| file.log_match == LogMatch::Ours);
        let is_unproven =
            |log_match: &LogMatch| *log_match == LogMatch::Unverified || *log_match == LogMatch::None && !has_own_file;
        for file in found.iter_mut().filter(|file| is_unproven(&file.log_match)) {
            if file.probe(&self.context)?.is_some() {
                // The start of the file is damaged, and later groups are not.
                file.log_match = LogMatch::Ours;
            }
        }
        let segments = found.iter().map(|file| (slot_name(file.slot), &file.log_match));
        let unowned = self.unowned_files.iter().map(|(name, log_match)| (name.clone(), log_match));
        let Some(fault) = self.fault(segments.chain(unowned).chain(self.slots.log_matches())) else { return Ok(()) };
        let is_refused = fault.is_total() || self.context.mode == Mode::Write && fault.forbids_writing();
        marks::hit_if(is_refused, "recovery: refused, files are not of the log");
        let fault = Arc::new(fault);
        self.report.identity = Some(Arc::clone(&fault));
        if is_refused { Err(Error::Identity(fault)) } else { Ok(()) }
    }

    fn fault<'a>(&self, files: impl Iterator<Item = (String, &'a LogMatch)>) -> Option<IdentityFault> {
        let source = &self.found_identity.source;
        let logboom = if let IdentitySource::OtherFiles(what) = source { Some(what.clone()) } else { None };
        let mut fault = IdentityFault { logboom, ..IdentityFault::default() };
        let mut files: Vec<(String, &LogMatch)> = files.collect();
        files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, log_match) in files {
            match *log_match {
                LogMatch::None => {}
                LogMatch::Ours => fault.ours.push(name),
                LogMatch::Foreign(log) => fault.foreign.push((name, log)),
                LogMatch::Unverified => fault.unverified.push(name),
            }
        }
        if !fault.is_total() {
            // A slot whose header and content are both damaged holds nothing that could be lost.
            fault.unverified.retain(|name| !is_slot(name));
        }
        // Before version 2 a log got its name before its other files.
        let may_lack_files = *source == IdentitySource::Creation || self.context.identity.version < 2;
        let is_lost = fault.is_total() && !may_lack_files;
        let is_good = fault.logboom.is_none() && !is_lost && fault.strangers().next().is_none();
        (!is_good).then_some(fault)
    }
}
