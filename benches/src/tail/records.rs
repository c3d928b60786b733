//! The records of a log of orders, made without an engine.

use std::time::Duration;

use bumpalo::Bump;
use logboom_logtail_core::{
    DatabaseId, TableId,
    catalog::Change,
    log::{LogEvent, ManualLog},
    recovery::Recovery,
    transaction::Workspace,
    writer::Writer,
};

use super::orders::{Orders, arrow_bytes, new_table};
use crate::Result;

/// The records of a log, the first of which make a table of orders.
pub(super) struct Records {
    pub(super) table: TableId,
    /// With those that make the table.
    pub(super) all: Vec<Vec<u8>>,
    /// The transactions of orders, behind the others.
    pub(super) transactions: usize,
    /// The bytes of the rows by Arrow's layout.
    pub(super) arrow_bytes: usize,
}

/// A writer of a log in memory.
struct Log {
    log: ManualLog,
    writer: Writer,
}

const NOON: Duration = Duration::from_secs(1_764_504_000);
const RECORD_BYTES_MAX: usize = 64 << 20;

impl Records {
    /// Transactions of `each` rows, `rows` in all.
    pub(super) fn new(rows: usize, each: usize, keyed: bool) -> Result<Self> {
        let mut log = Log::new()?;
        let database = DatabaseId(log.change(&Change::CreateDatabase { name: "shop".into() })?);
        let table = new_table("orders", keyed);
        let table = TableId(log.change(&Change::CreateTable { database, table })?);
        let state = log.writer.state();
        let catalog = state.catalog(state.watermark())?;
        let columns = catalog.table(table).ok_or("the table is gone")?.arrow().clone();
        let mut orders = Orders::new(columns, each, 7);
        let (mut arrow, transactions, mut arena) = (0, rows.div_ceil(each), Bump::new());
        for _ in 0..transactions {
            let batch = orders.next()?;
            arrow += arrow_bytes(&batch)?;
            let mut workspace = log.begin();
            workspace.insert(table, &batch)?;
            log.commit(workspace, &arena)?;
            arena.reset();
        }
        let all = log.log.records().into_iter().map(|(_, record)| record).collect();
        Ok(Self { table, all, transactions, arrow_bytes: arrow })
    }

    /// The records of transactions of orders.
    pub(super) fn of_orders(&self) -> &[Vec<u8>] {
        self.all.get(self.all.len() - self.transactions..).unwrap_or_default()
    }
}

impl Log {
    fn new() -> Result<Self> {
        let log = ManualLog::new(RECORD_BYTES_MAX);
        let mut writer = Writer::new(Recovery::default().finish(), 1);
        writer.begin(&log)?;
        Ok(Self { log, writer })
    }

    fn begin(&self) -> Workspace {
        let snapshot = self.writer.state().open_newest();
        let catalog = self.writer.state().catalog_of(&snapshot);
        Workspace::new(snapshot, catalog)
    }

    /// Commits a transaction, of new keys if any; readers see it on return.
    fn commit(&mut self, workspace: Workspace, arena: &Bump) -> Result<()> {
        self.writer.raise_bound(&self.log, NOON)?;
        self.writer.log_event(LogEvent::Committed(self.log.last()));
        let mut record = workspace.encode(arena)?;
        self.writer.commit(&self.log, &workspace, &mut record, NOON)?;
        self.writer.log_event(LogEvent::Committed(self.log.last()));
        Ok(())
    }

    /// Changes the catalog. Returns the number of what was made.
    fn change(&mut self, change: &Change) -> Result<u64> {
        let number = self.writer.take_number();
        let snapshot = self.writer.state().open_newest();
        let catalog = self.writer.state().catalog_of(&snapshot);
        let edit = catalog.plan(change, number)?;
        self.commit(Workspace::of_edit(snapshot, catalog, &edit)?, &Bump::new())?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_a_record_for_each_transaction() {
        let records = Records::new(30, 10, true).unwrap();
        assert_eq!((records.transactions, records.of_orders().len()), (3, 3));
        // Four numbers of eight bytes, one of four, and texts.
        assert!(records.arrow_bytes > 30 * (4 * 8 + 4));
        assert!(records.of_orders().iter().all(|record| record.len() > 10 * (4 * 8 + 4)));
    }
}
