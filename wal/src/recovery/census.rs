//! Checks that the files of a directory belong to the log that is opened.

use std::sync::Arc;

use logboom_disk::Mode;

use crate::{
    recovery::{discover::FoundFile, naming::State, opening::Opening},
    segments::{claim::Claim, segment::slot_name, slots::is_slot},
    types::{error::Error, identity_fault::IdentityFault, marks},
};

impl Opening {
    /// Compares all files with the identity. Runs before anything is changed.
    ///
    /// # Errors
    /// [`Error::Identity`] if the log may not be opened: for writing, if files belong to another log or `LOGBOOM` is
    /// damaged; at all, if no file belongs to the log. [`Error::Io`].
    pub(crate) fn check_identity(&mut self, found: &mut [FoundFile]) -> Result<(), Error> {
        let is_vouched_for = found.iter().any(|file| file.claim == Claim::Ours);
        let is_open = |claim: &Claim| *claim == Claim::Unverified || *claim == Claim::None && !is_vouched_for;
        for file in found.iter_mut().filter(|file| is_open(&file.claim)) {
            if file.probe(&self.base)?.is_some() {
                // The start of the file is damaged, and later groups are not.
                file.claim = Claim::Ours;
            }
        }
        let segments = found.iter().map(|file| (slot_name(file.slot), &file.claim));
        let misfits = self.misfits.iter().map(|(name, claim)| (name.clone(), claim));
        let Some(fault) = self.fault(segments.chain(misfits).chain(self.slots.claims())) else { return Ok(()) };
        let is_refused = fault.is_total() || self.base.mode == Mode::Write && fault.forbids_writing();
        marks::hit_if(is_refused, "recovery: refused, files are not of the log");
        let fault = Arc::new(fault);
        self.report.identity = Some(Arc::clone(&fault));
        if is_refused { Err(Error::Identity(fault)) } else { Ok(()) }
    }

    fn fault<'a>(&self, files: impl Iterator<Item = (String, &'a Claim)>) -> Option<IdentityFault> {
        let state = &self.naming.state;
        let logboom = if let State::Lost(what) = state { Some(what.clone()) } else { None };
        let mut fault = IdentityFault { logboom, ..IdentityFault::default() };
        let mut files: Vec<(String, &Claim)> = files.collect();
        files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, claim) in files {
            match *claim {
                Claim::None => {}
                Claim::Ours => fault.ours.push(name),
                Claim::Foreign(log) => fault.foreign.push((name, log)),
                Claim::Unverified => fault.unverified.push(name),
            }
        }
        if !fault.is_total() {
            // A slot whose header and content are both damaged holds nothing that could be lost.
            fault.unverified.retain(|name| !is_slot(name));
        }
        // Before version 2 a log got its name before its other files.
        let may_be_bare = *state == State::Begun || self.base.identity.version < 2;
        let is_lost = fault.is_total() && !may_be_bare;
        let is_good = fault.logboom.is_none() && !is_lost && fault.strangers().next().is_none();
        (!is_good).then_some(fault)
    }
}
