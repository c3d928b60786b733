//! Encodes the rows of a flush, or of a load, as objects.

use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
use logboom_logtail_blocks::{
    ObjectMemory, ObjectSpec, ObjectWriter, Tombstone, TombstoneWriter, WriteError, WriteOptions,
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
    pace::{Hurry, Pacer},
    shared::Shared,
    sorting::Sorting,
    store::Store,
};

/// Batches whose rows an object may leave to the next one: it takes whole blocks, and learns late that it is full.
const KEPT_BATCHES: usize = 3;

/// Encodes the rows and tombstones of a flush, one object after the other. Takes CPU, and memory for an object's bytes;
/// reads the tombstones that blocks have already from the store.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: TableId,
    /// With threads.
    pacer: Option<Pacer>,
    /// `None` behind the last row.
    rows: Option<Sorting>,
    objects: Objects,
    /// The objects that were given, each with the position of its first row among all.
    given: Vec<(RowsetId, u32)>,
    given_rows: u32,
    tombstones: Option<TombstoneJob>,
    /// Whether it was told that tombstones will be read.
    announced: bool,
    end: Encoded,
}

/// What an [`Encoder`] comes to next.
#[derive(Debug)]
pub(crate) enum EncodedNext {
    /// An object of rows.
    Object(ObjectMeta, Bytes),
    /// Tombstones will be read, which takes as long as the store is gone.
    Reads,
    /// The end.
    End(Encoded),
}

impl Encoder {
    /// Rows are gathered on a thread of their own if there may be one.
    pub(crate) fn new(job: EncodeJob, shared: &Arc<Shared>, hurry: &Hurry) -> Result<Self> {
        let EncodeJob { table, first, sort, tombstones } = job;
        let options = shared.memory_bound().objects(&shared.options.objects);
        let pacer = || shared.options.threads.then(|| Pacer::new(shared, table, hurry));
        Ok(Self {
            table,
            pacer: pacer(),
            objects: Objects::new(first, sort.schema(), false, &options).reusing(&shared.object_memory),
            rows: Some(Sorting::begin(sort, pacer())?),
            given: Vec::new(),
            given_rows: 0,
            tombstones,
            announced: false,
            end: Encoded::default(),
        })
    }

    /// What comes next; nothing is asked for behind the end.
    ///
    /// # Errors
    /// [`Error::Write`] for rows that objects cannot have; [`Error::Store`] and [`Error::Object`] of a tombstone
    /// object.
    pub(crate) fn next(&mut self, store: &Store, options: &WriteOptions) -> Result<EncodedNext> {
        loop {
            if let Some((meta, bytes)) = self.objects.written.pop_front() {
                self.given.push((RowsetId(meta.id.number), self.given_rows));
                self.given_rows += meta.rows();
                return Ok(EncodedNext::Object(meta, bytes));
            }
            let Some(rows) = &mut self.rows else { break };
            if let Some(batch) = rows.next_batch()? {
                let objects = &mut self.objects;
                match &mut self.pacer {
                    Some(pacer) => pacer.work(|| objects.write(batch))?,
                    None => objects.write(batch)?,
                }
                continue;
            }
            self.objects.finish_all()?;
            if let Some(rows) = self.rows.take() {
                self.end.transfer = rows.into_transfer()?;
            }
        }
        // Once, behind the last object: who takes it need not wait for what comes next.
        if !std::mem::replace(&mut self.announced, true) && self.tombstones.as_ref().is_some_and(TombstoneJob::reads) {
            return Ok(EncodedNext::Reads);
        }
        let mut end = std::mem::take(&mut self.end);
        self.given.drain(..).for_each(|(object, first_row)| end.transfer.begin_object(object, first_row));
        if let Some(job) = self.tombstones.take() {
            end.tombstones = encode_tombstones(job, self.table, store, options)?;
        }
        Ok(EncodedNext::End(end))
    }
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

/// Encodes rows of a load, at once: all objects of the run are in memory, which
/// [`Options::load_bytes`](crate::Options::load_bytes) bounds, so they are as large as the options say. The ids of the
/// objects begin with `first`.
///
/// # Errors
/// [`Error::Write`] for rows that objects cannot have.
pub(crate) fn encode_run(run: &SortedRun, first: ObjectId, options: &WriteOptions) -> Result<Vec<(ObjectMeta, Bytes)>> {
    let mut objects = Objects::new(first, run.schema(), true, options);
    run.run(|batch| Ok::<_, Error>(objects.write(batch)?))?;
    objects.finish_all()?;
    Ok(objects.written.into())
}

/// Objects that are written one after the other.
struct Objects {
    /// Which object comes next.
    spec: ObjectSpec,
    /// Whether they are those of a load.
    of_load: bool,
    options: WriteOptions,
    memory: Option<ObjectMemory>,
    writer: Option<ObjectWriter>,
    /// The rows that the writer was given.
    given: usize,
    /// The last batches that it was given.
    recent: VecDeque<SortedBatch>,
    /// Metadata and bytes of each that has ended.
    written: VecDeque<(ObjectMeta, Bytes)>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("next", &self.spec.id).finish_non_exhaustive()
    }
}

impl Objects {
    fn new(first: ObjectId, schema: &TableSchema, of_load: bool, options: &WriteOptions) -> Self {
        let spec = ObjectSpec {
            id: first,
            table: schema.id(),
            schema_version: schema.version(),
            kind: ObjectKind::Rows,
            schema: schema.arrow().clone(),
            key: schema.key().to_vec(),
            sorted: schema.key_columns().is_some(),
        };
        let (recent, written) = (VecDeque::new(), VecDeque::new());
        Self { spec, of_load, options: options.clone(), memory: None, writer: None, given: 0, recent, written }
    }

    /// Has the objects lie in this memory.
    fn reusing(mut self, memory: &ObjectMemory) -> Self {
        self.memory = Some(memory.clone());
        self
    }

    fn write(&mut self, batch: SortedBatch) -> Result<(), WriteError> {
        let mut waiting = VecDeque::from([batch]);
        while let Some(batch) = waiting.pop_front() {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => {
                    let begin = if self.of_load { ObjectWriter::of_load } else { ObjectWriter::new };
                    let writer = begin(self.spec.clone(), self.options.clone())?;
                    none.insert(self.memory.iter().fold(writer, ObjectWriter::reusing))
                }
            };
            writer.write(&batch.rows, batch.commits.as_ref())?;
            let is_full = writer.is_full();
            self.given += batch.rows.num_rows();
            self.recent.push_back(batch);
            if self.recent.len() > KEPT_BATCHES {
                self.recent.pop_front();
            }
            if is_full {
                self.finish()?.into_iter().rev().for_each(|batch| waiting.push_front(batch));
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

    /// Ends an object. Returns the rows that it left out.
    fn finish(&mut self) -> Result<Vec<SortedBatch>, WriteError> {
        let Some(writer) = self.writer.take() else { return Ok(Vec::new()) };
        let object = writer.finish()?;
        let mut left = self.given - object.meta.rows() as usize;
        let ObjectId { nonce, number } = self.spec.id;
        self.spec.id = ObjectId { nonce, number: number + 1 };
        self.written.push_back((object.meta, object.bytes));
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
