//! Encodes the rows of a flush, or of a load, as objects.

use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
use logboom_logtail_blocks::{ObjectMemory, ObjectSpec, ObjectWriter, WriteError, WriteOptions};
use logboom_logtail_core::{
    ObjectId, RowsetId,
    block_meta::{ObjectKind, ObjectMeta},
    catalog::TableSchema,
    flush::{EncodeJob, MovedDeletes, SortedBatch},
    load::SortedRun,
    record::Tombstones,
    table::Transfer,
};

use crate::{
    error::{Error, Result},
    pace::{Hurry, Pacer},
    shared::Shared,
    sorting::Sorting,
};

/// Batches whose rows an object may leave to the next one: it takes whole blocks, and learns late that it is full.
const KEPT_BATCHES: usize = 3;

/// Encodes the rows of a flush, one object after the other. Takes CPU, and memory for an object's bytes.
#[derive(Debug)]
pub(crate) struct Encoder {
    pacer: Pacer,
    /// `None` behind the last row.
    rows: Option<Sorting>,
    objects: Objects,
    /// The objects that were given, each with the position of its first row among all.
    given: Vec<(RowsetId, u32)>,
    given_rows: u32,
    transfer: Transfer,
}

/// What a flush comes to next.
#[derive(Debug)]
pub(crate) enum EncodedNext {
    /// An object of rows.
    Object(ObjectMeta, Bytes),
    /// The end of the rows: where they are.
    End(Transfer),
    /// A tombstone object.
    Tombstones(Tombstones, Bytes),
    /// The end of the tombstones: those of rows that the flush moves.
    TombstonesEnd(MovedDeletes),
}

impl Encoder {
    /// Rows are gathered on a thread of their own if there may be one.
    pub(crate) fn new(job: EncodeJob, shared: &Arc<Shared>, hurry: &Hurry) -> Result<Self> {
        let EncodeJob { table, first, sort } = job;
        let options = shared.memory_bound().objects(&shared.options.objects);
        let pacer = || Pacer::new(shared, table, hurry);
        Ok(Self {
            pacer: pacer(),
            objects: Objects::new(first, sort.schema(), false, &options).reusing(&shared.object_memory),
            rows: Some(Sorting::begin(sort, shared.options.threads, pacer())?),
            given: Vec::new(),
            given_rows: 0,
            transfer: Transfer::default(),
        })
    }

    /// What comes next; nothing is asked for behind the end.
    ///
    /// # Errors
    /// [`Error::Write`] for rows that objects cannot have.
    pub(crate) fn next(&mut self) -> Result<EncodedNext> {
        loop {
            if let Some((meta, bytes)) = self.objects.written.pop_front() {
                self.given.push((RowsetId(meta.id.number), self.given_rows));
                self.given_rows += meta.rows();
                return Ok(EncodedNext::Object(meta, bytes));
            }
            let Some(rows) = &mut self.rows else { break };
            if let Some(batch) = rows.next_batch()? {
                self.pacer.begin();
                self.objects.write(batch, &mut || self.pacer.pause())?;
                continue;
            }
            self.objects.finish_all(&mut || self.pacer.pause())?;
            if let Some(rows) = self.rows.take() {
                self.transfer = rows.into_transfer()?;
            }
        }
        let mut transfer = std::mem::take(&mut self.transfer);
        self.given.drain(..).for_each(|(object, first_row)| transfer.begin_object(object, first_row));
        Ok(EncodedNext::End(transfer))
    }
}

/// Encodes rows of a load, at once: all objects of the run are in memory, which
/// [`Options::load_bytes`](crate::Options::load_bytes) bounds, so they are as large as the options say. The ids of the
/// objects begin with `first`.
///
/// # Errors
/// [`Error::Write`] for rows that objects cannot have.
pub(crate) fn encode_run(run: &SortedRun, first: ObjectId, options: &WriteOptions) -> Result<Vec<(ObjectMeta, Bytes)>> {
    let mut objects = Objects::new(first, run.schema(), true, options);
    run.run(|batch| Ok::<_, Error>(objects.write(batch, &mut || {})?))?;
    objects.finish_all(&mut || {})?;
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

    /// `between` is called between pieces of the work.
    fn write(&mut self, batch: SortedBatch, between: &mut dyn FnMut()) -> Result<(), WriteError> {
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
            writer.write_in_pieces(&batch.rows, batch.commits.as_ref(), between)?;
            let is_full = writer.is_full();
            self.given += batch.rows.num_rows();
            self.recent.push_back(batch);
            if self.recent.len() > KEPT_BATCHES {
                self.recent.pop_front();
            }
            if is_full {
                self.finish(between)?.into_iter().rev().for_each(|batch| waiting.push_front(batch));
            }
        }
        Ok(())
    }

    /// Ends all objects.
    fn finish_all(&mut self, between: &mut dyn FnMut()) -> Result<(), WriteError> {
        while self.writer.is_some() {
            let left = self.finish(between)?;
            left.into_iter().try_for_each(|batch| self.write(batch, between))?;
        }
        Ok(())
    }

    /// Ends an object. Returns the rows that it left out.
    fn finish(&mut self, between: &mut dyn FnMut()) -> Result<Vec<SortedBatch>, WriteError> {
        let Some(writer) = self.writer.take() else { return Ok(Vec::new()) };
        let object = writer.finish_in_pieces(between)?;
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
