//! `ObjectRows`: the rows of blocks of one object, as a scan gives them.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use logboom_logtail_blocks::{Batch, Footer, Scan as BlockScan, ScanRequest, Step};
use logboom_logtail_core::{scan::ScanPlan, table::Object};

use crate::{error::Result, store::Store};

/// Reads blocks of an object.
pub(crate) struct ObjectRows {
    object: Arc<Object>,
    footer: Arc<Footer>,
    plan: Arc<ScanPlan>,
    scan: BlockScan,
}

impl ObjectRows {
    /// Reads the footer, unless that is cached, and plans the rest. Columns and rows are those of the plan; `request`
    /// has the blocks and what is left out of them.
    pub(crate) fn new(
        store: &Store,
        object: &Arc<Object>,
        plan: &Arc<ScanPlan>,
        mut request: ScanRequest,
    ) -> Result<Self> {
        request.commits = plan.commit_timestamps();
        request.positions = plan.row_ids();
        request.predicate = plan.predicate().clone();
        request.bloom_filters = true;
        let footer = store.footer(object.meta())?;
        let scan = BlockScan::new(&footer, object.meta(), request)?;
        Ok(Self { object: Arc::clone(object), footer, plan: Arc::clone(plan), scan })
    }

    /// The next rows that are wanted, at least one; `None` behind the last ones.
    pub(crate) fn next(&mut self, store: &Store) -> Result<Option<RecordBatch>> {
        while let Step::Batch(batch) = store.step(&self.footer, self.object.meta(), &mut self.scan)? {
            let wanted = self.plan.apply(&self.read(batch)?)?;
            if wanted.num_rows() > 0 {
                return Ok(Some(wanted));
            }
        }
        Ok(None)
    }

    /// Rows of the object, with the columns that are no column of the table.
    fn read(&self, batch: Batch) -> Result<RecordBatch> {
        let rows = batch.rows.num_rows();
        let mut columns: Vec<ArrayRef> = batch.rows.columns().to_vec();
        if let Some(positions) = batch.positions {
            columns.push(Arc::new(UInt64Array::from_value(self.object.rowset().0, rows)));
            columns.push(Arc::new(positions));
        }
        if let Some(commits) = batch.commits {
            columns.push(Arc::new(commits));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(self.plan.read_schema()), columns, &options)?)
    }
}

impl std::fmt::Debug for ObjectRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectRows").field("object", &self.object.meta().id).finish_non_exhaustive()
    }
}
