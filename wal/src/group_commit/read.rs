//! Reads of an open log: from memory what is recent, and the rest from the device.

use crate::{
    format::record::Record,
    group_commit::log::Shared,
    read::cold_read::ColdReader,
    types::{error::Error, ids::Place},
};

impl Shared {
    /// Reads the records at `places`, in their order, from memory or from the device.
    pub(crate) fn read(&self, places: &[Place], out: &mut Vec<Record>) -> Result<(), Error> {
        let mut found: Vec<Option<Record>> = places.iter().map(|&place| self.state.recent.read(place)).collect();
        if found.iter().any(Option::is_none) {
            // What is read ahead has a queue, whose end is waited for here.
            let _began = self.pending.begin();
            let reader = ColdReader {
                medium: &self.env.medium,
                read_ahead: &self.state.read_ahead,
                durable: self.state.watermark.durable(),
                // A log without it is not written.
                is_named: true,
            };
            let traffic = reader.read(|id| self.state.segments.lock().get(&id).cloned(), places, &mut found)?;
            self.metrics.cold_read(&traffic);
        }
        out.extend(found.into_iter().flatten());
        Ok(())
    }
}
