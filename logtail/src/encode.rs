//! Encodes the rows of a flush, or of a load, as objects.

use std::collections::VecDeque;

use bytes::Bytes;
use logboom_logtail_blocks::{
    ObjectSpec, ObjectWriter, Tombstone, TombstoneWriter, WriteError, WriteOptions, WrittenObject,
};
use logboom_logtail_core::{
    ObjectId, RowsetId, TableId, Timestamp,
    block_meta::{ObjectKind, ObjectMeta},
    catalog::TableSchema,
    flush::{EncodeJob, Encoded, SortedBatch, TombstoneJob},
    load::SortedRun,
    record::Tombstones,
    table::Object,
};

use crate::{
    error::{Error, Result},
    store::Store,
};

/// Batches whose rows an object may leave to the next one: it takes whole blocks, and learns late that it is full.
const KEPT_BATCHES: usize = 3;

/// Encodes the rows and tombstones of `job`. Takes CPU, and memory for the objects' bytes; reads the tombstones that
/// blocks have already from the store.
///
/// # Errors
/// [`Error::Write`] for rows that objects cannot have; [`Error::Store`] and [`Error::Object`] of a tombstone object.
pub(crate) fn encode(job: EncodeJob, store: &Store, options: &WriteOptions) -> Result<Encoded> {
    let EncodeJob { table, first, sort, tombstones } = job;
    let mut objects = Objects::new(first, sort.schema(), false, options);
    let mut transfer = sort.run(|batch| Ok::<_, Error>(objects.write(batch)?))?;
    objects.finish_all()?;
    let mut first_row = 0;
    for object in &objects.written {
        transfer.begin_object(RowsetId(object.meta.id.number), first_row);
        first_row += object.meta.rows();
    }
    let objects = objects.written.into_iter().map(|object| (object.meta, object.bytes)).collect();
    let tombstones = tombstones.map(|job| encode_tombstones(job, table, store, options)).transpose()?.flatten();
    Ok(Encoded { objects, transfer, tombstones })
}

/// The tombstones of a job, and the bytes of their object, if there are some.
fn encode_tombstones(
    job: TombstoneJob,
    table: TableId,
    store: &Store,
    options: &WriteOptions,
) -> Result<Option<(Tombstones, Bytes)>> {
    let mut options = options.clone();
    // They are one object.
    options.object_bytes = u64::MAX;
    let mut writer = TombstoneWriter::new(job.id, table, options)?;
    let mut count = 0;
    let read = |object: &Object, block| store.tombstones(object, block);
    let write = |object, deletes: &[(u32, Timestamp)]| {
        let tombstone = |(row, deleted): &(u32, Timestamp)| Tombstone { object, row: *row, deleted: *deleted };
        count += deletes.len();
        Ok::<_, Error>(writer.write(&deletes.iter().map(tombstone).collect::<Vec<_>>())?)
    };
    let collected = job.run(read, write)?;
    if collected.is_empty() {
        return Ok(None);
    }
    let object = writer.finish()?;
    if object.meta.rows() as usize != count {
        return Err(Error::Bug(format!("{count} tombstones do not fit an object")));
    }
    Ok(Some((collected.tombstones(object.meta), object.bytes)))
}

/// Encodes rows of a load. The ids of the objects begin with `first`.
///
/// # Errors
/// [`Error::Write`] for rows that objects cannot have.
pub(crate) fn encode_run(run: &SortedRun, first: ObjectId, options: &WriteOptions) -> Result<Vec<(ObjectMeta, Bytes)>> {
    let mut objects = Objects::new(first, run.schema(), true, options);
    run.run(|batch| Ok::<_, Error>(objects.write(batch)?))?;
    objects.finish_all()?;
    Ok(objects.written.into_iter().map(|object| (object.meta, object.bytes)).collect())
}

/// Objects that are written one after the other.
struct Objects<'a> {
    /// Which object comes next.
    spec: ObjectSpec,
    /// Whether they are those of a load.
    of_load: bool,
    options: &'a WriteOptions,
    writer: Option<ObjectWriter>,
    /// The rows that the writer was given.
    given: usize,
    /// The last batches that it was given.
    recent: VecDeque<SortedBatch>,
    written: Vec<WrittenObject>,
}

impl<'a> Objects<'a> {
    fn new(first: ObjectId, schema: &TableSchema, of_load: bool, options: &'a WriteOptions) -> Self {
        let spec = ObjectSpec {
            id: first,
            table: schema.id(),
            schema_version: schema.version(),
            kind: ObjectKind::Rows,
            schema: schema.arrow().clone(),
            key: schema.key().to_vec(),
            sorted: schema.key_columns().is_some(),
        };
        Self { spec, of_load, options, writer: None, given: 0, recent: VecDeque::new(), written: Vec::new() }
    }

    fn write(&mut self, batch: SortedBatch) -> Result<(), WriteError> {
        let mut waiting = VecDeque::from([batch]);
        while let Some(batch) = waiting.pop_front() {
            if let Some(left) = self.finish_full()? {
                waiting.push_front(batch);
                left.into_iter().rev().for_each(|batch| waiting.push_front(batch));
                continue;
            }
            if self.writer.is_none() {
                let begin = if self.of_load { ObjectWriter::of_load } else { ObjectWriter::new };
                self.writer = Some(begin(self.spec.clone(), self.options.clone())?);
            }
            if let Some(writer) = &mut self.writer {
                writer.write(&batch.rows, batch.commits.as_ref())?;
            }
            self.given += batch.rows.num_rows();
            self.recent.push_back(batch);
            if self.recent.len() > KEPT_BATCHES {
                self.recent.pop_front();
            }
        }
        Ok(())
    }

    /// Ends all objects.
    fn finish_all(&mut self) -> Result<(), WriteError> {
        while self.writer.is_some() {
            let left = self.finish()?;
            left.into_iter().try_for_each(|batch| self.write(batch))?;
        }
        Ok(())
    }

    /// Ends an object that is full. Returns the rows that it left out.
    fn finish_full(&mut self) -> Result<Option<Vec<SortedBatch>>, WriteError> {
        if self.writer.as_ref().is_some_and(ObjectWriter::is_full) { self.finish().map(Some) } else { Ok(None) }
    }

    fn finish(&mut self) -> Result<Vec<SortedBatch>, WriteError> {
        let Some(writer) = self.writer.take() else { return Ok(Vec::new()) };
        let object = writer.finish()?;
        let mut left = self.given - object.meta.rows() as usize;
        let ObjectId { nonce, number } = self.spec.id;
        self.spec.id = ObjectId { nonce, number: number + 1 };
        self.written.push(object);
        self.given = 0;
        let mut batches = VecDeque::new();
        while left > 0 {
            let Some(batch) = self.recent.pop_back() else { break };
            let len = batch.rows.num_rows().min(left);
            let start = batch.rows.num_rows() - len;
            batches.push_front(SortedBatch {
                rows: batch.rows.slice(start, len),
                commits: batch.commits.map(|commits| commits.slice(start, len)),
            });
            left -= len;
        }
        self.recent.clear();
        Ok(batches.into())
    }
}
