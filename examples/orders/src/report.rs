//! `Report`: a line of what a tail does.

use std::time::Instant;

use logboom_logtail::TailMetrics;

use crate::shop::Shop;

/// Prints what has happened since the last line.
pub(crate) struct Report {
    before: TailMetrics,
    at: Instant,
}

impl Report {
    pub(crate) fn new(shop: &Shop) -> Self {
        println!("transactions/s  MB/s logged  MiB in memory  objects  their MB  flushes  watermark");
        Self { before: shop.tail.metrics(), at: Instant::now() }
    }

    /// Prints a line.
    pub(crate) fn print(&mut self, shop: &Shop) {
        let now = shop.tail.metrics();
        let seconds = self.at.elapsed().as_secs_f64();
        let transactions = now.commit_transactions - self.before.commit_transactions;
        let bytes = now.commit_bytes - self.before.commit_bytes;
        let table = now.tables.iter().find(|table| table.table == shop.orders);
        let (objects, object_bytes) = table.map_or((0, 0), |table| (table.objects, table.object_bytes));
        println!(
            "{:>14.0}  {:>11.1}  {:>13.1}  {objects:>7}  {:>8}  {:>7}  {}{}",
            f64::from(u32::try_from(transactions).unwrap_or(u32::MAX)) / seconds,
            f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0 / seconds,
            f64::from(u32::try_from(now.memory_bytes() >> 10).unwrap_or(u32::MAX)) / 1024.0,
            object_bytes / 1_000_000,
            now.flush_runs,
            now.watermark,
            if now.commit_waits { "  commits wait for memory" } else { "" },
        );
        (self.before, self.at) = (now, Instant::now());
    }
}
