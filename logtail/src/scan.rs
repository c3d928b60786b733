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
/// What it reads stays while it lives, whatever is flushed meanwhile. While batches are decoded, what comes next is
/// read ahead, of [`Options::read_ahead_bytes`](crate::Options::read_ahead_bytes) at most. It ends after an error,
/// which is given behind the rows before it.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    snapshot: OpenSnapshot,
    plan: Arc<ScanPlan>,
    /// The columns of the table that are read, by the schema of the timestamp.
    columns: SchemaRef,
    objects: VecDeque<Arc<Object>>,
    /// The object that is read, and those that are read ahead.
    open: VecDeque<ObjectRows>,
    memory: MemoryScan,
}

/// The most objects of a scan of which something was asked for.
const OBJECTS_AHEAD_MAX: usize = 4;

impl Scan {
    pub(crate) fn new(shared: Arc<Shared>, snapshot: OpenSnapshot, version: &Version, plan: ScanPlan) -> Self {
        let plan = Arc::new(plan);
        let memory = MemoryScan::new(version, snapshot.timestamp(), Arc::clone(&plan));
        let columns = plan.table_schema();
        let objects = version.objects().iter().cloned().collect();
        Self { shared, snapshot, plan, columns, objects, open: VecDeque::new(), memory }
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
            self.ask_ahead();
            let Some(current) = self.open.front_mut() else { return Ok(None) };
            if current.open(&self.shared.store)? {
                continue;
            }
            if let Some(batch) = current.next(&self.shared.store)? {
                return Ok(Some(batch));
            }
            self.open.pop_front();
        }
    }

    /// Asks the store for what comes next, as far as memory is given for it.
    fn ask_ahead(&mut self) {
        let bytes_max = self.shared.options.read_ahead_bytes;
        let mut at = 0;
        while at < self.open.len() || (at < OBJECTS_AHEAD_MAX && self.open_next()) {
            let asked: u64 = self.open.iter().map(ObjectRows::bytes_ahead).sum();
            let Some(object) = self.open.get_mut(at).filter(|_| bytes_max > 0) else { break };
            if !object.ask_ahead(&self.shared.store, bytes_max.saturating_sub(asked), asked == 0) {
                break;
            }
            at += 1;
        }
    }

    /// Takes up the next object that may have rows. Returns whether there is one.
    fn open_next(&mut self) -> bool {
        while let Some(object) = self.objects.pop_front() {
            let rows = match self.request(&object) {
                Ok(request) if request.blocks.is_empty() => continue,
                Ok(request) => ObjectRows::new(&object, &self.plan, request),
                Err(error) => ObjectRows::failed(&object, &self.plan, error),
            };
            self.open.push_back(rows);
            return true;
        }
        false
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
                self.open.clear();
                self.memory.end();
                Some(Err(error))
            }
        }
    }
}
