//! Reads of an open log: recent records from memory, others from the device.

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
            // Read-ahead has its own queue, whose completions this may wait for.
            let _pending = self.pending.begin();
            let reader = ColdReader {
                medium: &self.env.medium,
                read_ahead: &self.state.read_ahead,
                durable: self.state.watermark.durable(),
                // A log that was not opened by its `LOGBOOM` is read-only.
                has_logboom: true,
            };
            let stats = reader.read(|id| self.state.segments.lock().get(&id).cloned(), places, &mut found)?;
            self.metrics.cold_read(&stats);
        }
        out.extend(found.into_iter().flatten());
        Ok(())
    }
}
