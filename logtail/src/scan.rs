//! `Scan`: the rows of a table at a timestamp, from objects and from memory.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use logboom_logtail_blocks::{ScanBlock, ScanRequest};
use logboom_logtail_core::{
    Timestamp,
    block_meta::BlockMeta,
    scan::{MemoryScan, ScanPlan},
    state::OpenSnapshot,
    table::{Object, Version},
};

use crate::{error::Result, object_rows::ObjectRows, shared::Shared};

/// Batches of the wanted rows of a table that are visible at a timestamp, of at most [`BATCH_ROWS`](crate::BATCH_ROWS)
/// each: those of objects in the order of the key, if the table has one, then those in memory in the order of their
/// commits.
///
/// What it reads stays while it lives, whatever is flushed meanwhile. It ends after an error.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    snapshot: OpenSnapshot,
    plan: Arc<ScanPlan>,
    /// The columns of the table that are read, by the schema of the timestamp.
    columns: SchemaRef,
    objects: VecDeque<Arc<Object>>,
    current: Option<ObjectRows>,
    memory: MemoryScan,
}

impl Scan {
    pub(crate) fn new(shared: Arc<Shared>, snapshot: OpenSnapshot, version: &Version, plan: ScanPlan) -> Self {
        let plan = Arc::new(plan);
        let memory = MemoryScan::new(version, snapshot.timestamp(), Arc::clone(&plan));
        let columns = plan.table_schema();
        let objects = version.objects().iter().cloned().collect();
        Self { shared, snapshot, plan, columns, objects, current: None, memory }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.plan.schema()
    }

    /// The timestamp that is read.
    pub fn timestamp(&self) -> Timestamp {
        self.snapshot.timestamp()
    }

    /// The next batch of objects; `None` behind the last one.
    fn next_of_objects(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(batch) = current.next(&self.shared.store)? {
                    return Ok(Some(batch));
                }
                self.current = None;
            }
            let Some(object) = self.objects.pop_front() else { return Ok(None) };
            let request = self.request(&object)?;
            if !request.blocks.is_empty() {
                self.current = Some(ObjectRows::new(&self.shared.store, &object, &self.plan, request)?);
            }
        }
    }

    /// The blocks of an object that may have wanted rows at the timestamp. Only those with deletes in memory are looked
    /// up there, and only those with tombstones in their objects.
    fn request(&self, object: &Object) -> Result<ScanRequest> {
        let timestamp = self.snapshot.timestamp();
        let visible = |(_, block): &(usize, &BlockMeta)| block.low_commit <= timestamp && self.plan.may_match(block);
        let blocks = object.meta().blocks.iter().enumerate().filter(visible).map(|(number, _)| number);
        let mut request = ScanRequest::new(SchemaRef::clone(&self.columns), blocks);
        let deletes = self.shared.store.deletes(object, request.blocks.iter().map(|block| block.number))?;
        for block in &mut request.blocks {
            let left_out = deletes.rows(block.number, timestamp).into();
            *block = ScanBlock { number: block.number, left_out };
        }
        request.up_to = timestamp;
        Ok(request)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        match self.next_of_objects() {
            Ok(Some(batch)) => Some(Ok(batch)),
            Ok(None) => self.memory.next().map(|batch| Ok(batch?)),
            Err(error) => {
                self.objects.clear();
                self.current = None;
                self.memory.end();
                Some(Err(error))
            }
        }
    }
}
