//! `Scan`: blocks of an object become batches of rows.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc};

use arrow_array::{Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use logboom_logtail_core::{
    Timestamp,
    block_meta::{BlockMeta, ObjectMeta},
    predicate::Predicate,
};

use crate::{
    decoder::{Decoded, Decoder},
    error::ReadError,
    fetched::{CheckedBytes, Fetched, joined},
    filters::Filters,
    footer::{Footer, commit_of},
    kept::Kept,
    projection::Projection,
    run::Run,
};

/// What a scan reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScanRequest {
    /// The wanted columns, which carry their ids as `PARQUET:field_id` in their metadata. A column that the object does
    /// not have, as it was added later, is null; one that it has in a narrower type is widened.
    pub schema: SchemaRef,
    /// The wanted blocks, in rising order.
    pub blocks: Vec<ScanBlock>,
    /// Rows that committed after this timestamp are left out.
    pub up_to: Timestamp,
    /// Whether batches have the commit timestamps of their rows.
    pub commits: bool,
    /// Whether batches have the positions of their rows.
    pub positions: bool,
    /// Which rows are wanted: blocks without one are left out, others are read whole.
    pub predicate: Predicate,
    /// Whether bloom filters are read first where `predicate` asks for equality with a column of the key. A filter has
    /// about the bytes of two blocks of its column, so it is worth it where it is cached, or blocks are wide.
    pub bloom_filters: bool,
}

/// A block of a scan.
#[derive(Clone, Debug)]
pub struct ScanBlock {
    /// Its number in the object, from 0.
    pub number: usize,
    /// The positions in the object of rows that are left out, as they are deleted: rising, none outside of the block.
    pub left_out: Arc<[u32]>,
}

/// Reads blocks of an object, one batch a block, in their order.
///
/// It is a state machine: [`Scan::step`] says which bytes it needs, and [`Scan::feed`] takes them.
pub struct Scan {
    footer: Arc<Footer>,
    projection: Projection,
    up_to: i64,
    commits: bool,
    positions: bool,
    /// What bloom filters are to be asked.
    filter: Option<Predicate>,
    runs: VecDeque<Run>,
    /// The blocks of `runs`, one after the other.
    blocks: VecDeque<Planned>,
    current: Option<Current>,
    fetched: Fetched,
}

/// What a scan does next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, of thousands of rows")]
pub enum Step {
    /// It needs these bytes of the object, in the object's order: [feed](Scan::feed) each range in one piece.
    Need(Vec<Range<u64>>),
    /// Rows of a block.
    Batch(Batch),
    /// There are no more.
    Done,
}

/// Rows of a block, at least one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The number of the block in the object.
    pub block: usize,
    /// The position in the object of the block's first row, left out or not.
    pub first_row: u32,
    /// The wanted columns.
    pub rows: RecordBatch,
    /// The positions in the object, if they were asked for.
    pub positions: Option<UInt32Array>,
    /// The commit timestamps, if they were asked for.
    pub commits: Option<Int64Array>,
}

/// A block that is to be decoded.
struct Planned {
    block: ScanBlock,
    /// When its rows committed, if that is the same for all: it is not read then.
    commit: i64,
}

/// The run that is being decoded.
struct Current {
    run: Run,
    decoder: Decoder,
    /// How many of its blocks are left.
    left: usize,
}

impl ScanRequest {
    /// All rows of these blocks.
    pub fn new(schema: SchemaRef, blocks: impl IntoIterator<Item = usize>) -> Self {
        let blocks = blocks.into_iter().map(|number| ScanBlock { number, left_out: Arc::default() });
        Self {
            schema,
            blocks: blocks.collect(),
            up_to: Timestamp::MAX,
            commits: false,
            positions: false,
            predicate: Predicate::default(),
            bloom_filters: false,
        }
    }
}

impl Scan {
    /// A scan of the object with these metadata and this footer.
    ///
    /// # Errors
    /// [`ReadError`] for columns and blocks that the object cannot give.
    pub fn new(footer: &Arc<Footer>, meta: &ObjectMeta, request: ScanRequest) -> Result<Self, ReadError> {
        if meta.id != footer.object() {
            let reason = format!("it is the one of object {}", footer.object());
            return Err(ReadError::Footer { object: meta.id, reason });
        }
        let projection = Projection::new(footer, request.schema)?;
        let mut scan = Self {
            footer: Arc::clone(footer),
            projection,
            up_to: request.up_to.to_i64(),
            commits: request.commits,
            positions: request.positions,
            filter: None,
            runs: VecDeque::new(),
            blocks: VecDeque::new(),
            current: None,
            fetched: Fetched::new(footer.object_bytes()),
        };
        let mut next = 0;
        for block in request.blocks {
            let absent = |what, number| ReadError::Absent { object: footer.object(), what, number };
            let known = meta.blocks.get(block.number).filter(|_| block.number >= next);
            let known = known.ok_or_else(|| absent("block", block.number as u64))?;
            let rows = known.row_range();
            if let Some(row) = block.left_out.iter().find(|row| !rows.contains(row)) {
                return Err(absent("row", u64::from(*row)));
            }
            next = block.number + 1;
            scan.plan(block, known, &request.predicate)?;
        }
        scan.filter = request.bloom_filters.then_some(request.predicate);
        Ok(scan)
    }

    /// The next batch, or what is needed for it.
    ///
    /// # Errors
    /// [`ReadError::Decode`], after which the scan is done.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        if let Some(missing) = self.ask_filters() {
            return Ok(Step::Need(missing));
        }
        loop {
            if self.current.is_none()
                && let Some(step) = self.begin_run()?
            {
                return Ok(step);
            }
            let Some(block) = self.blocks.pop_front() else { return Ok(Step::Done) };
            let batch = self.batch(&block);
            let left = self.current.as_mut().map_or(0, |current| {
                current.left = current.left.saturating_sub(1);
                current.left
            });
            if left == 0 {
                self.end_run();
            }
            match batch {
                Ok(Some(batch)) => return Ok(Step::Batch(batch)),
                Ok(None) => {}
                Err(source) => return Err(self.give_up(block.block.number, source)),
            }
        }
    }

    /// Takes bytes of the object that were asked for. They may come before [`Scan::step`] asks.
    ///
    /// # Errors
    /// As [`Footer::check_bytes`]. Nothing has changed then, so that the bytes may be read again.
    pub fn feed(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), ReadError> {
        let checked = self.footer.check_bytes(range, bytes)?;
        self.feed_checked(checked);
        Ok(())
    }

    /// Takes bytes of the object that were checked before.
    pub fn feed_checked(&mut self, bytes: CheckedBytes) {
        self.fetched.add(bytes);
    }

    /// The bytes that the rest of the scan needs and does not have, by row group, in the order in which [`Scan::step`]
    /// will ask for them: to fetch ahead. Where bloom filters are to be asked first, they alone: they may rule out row
    /// groups.
    pub fn ahead(&self) -> impl Iterator<Item = Vec<Range<u64>>> + '_ {
        let filters = self.filter_places();
        let runs = if filters.is_empty() { self.runs.len() } else { 0 };
        let runs = self.runs.iter().take(runs).map(|run| self.fetched.missing(run.ranges(&self.footer)));
        [self.fetched.missing(&filters)].into_iter().chain(runs).filter(|ranges| !ranges.is_empty())
    }

    /// Adds a block to the plan, if it may have rows that are wanted.
    fn plan(&mut self, block: ScanBlock, meta: &BlockMeta, predicate: &Predicate) -> Result<(), ReadError> {
        let number = block.number;
        let group = self.footer.groups().iter().position(|group| group.contains(&number));
        let absent = || ReadError::Absent { object: self.footer.object(), what: "block", number: number as u64 };
        let group = group.ok_or_else(absent)?;
        let first = self.footer.groups().get(group).map_or(0, |blocks| blocks.start);
        if meta.low_commit.to_i64() > self.up_to || !self.footer.may_match(predicate, group, number - first) {
            return Ok(());
        }
        let commit = commit_of(meta);
        if commit.is_none() && self.footer.commit_column().is_none() {
            let reason = "it has no commit timestamps".to_owned();
            return Err(ReadError::Footer { object: self.footer.object(), reason });
        }
        let may_be_late = meta.high_commit.to_i64() > self.up_to;
        let leaves_out = may_be_late || !block.left_out.is_empty();
        let commits = (self.commits || may_be_late) && commit.is_none();
        let run = Run::new(group, number, self.projection.positions(), commits, leaves_out);
        match self.runs.back_mut().filter(|last| last.takes(&run)) {
            Some(last) => last.blocks.push(number),
            None => self.runs.push_back(run),
        }
        self.blocks.push_back(Planned { block, commit: commit.unwrap_or_default() });
        Ok(())
    }

    /// Drops the row groups that bloom filters rule out; or the filters' places, if they are not read yet.
    fn ask_filters(&mut self) -> Option<Vec<Range<u64>>> {
        let predicate = self.filter.as_ref()?;
        let missing = self.fetched.missing(&self.filter_places());
        if !missing.is_empty() {
            return Some(missing);
        }
        let mut filters = Filters::new(&self.footer, &self.fetched);
        let blocks = &mut self.blocks;
        self.runs.retain(|run| {
            let may_match = filters.may_match(predicate, run.group);
            blocks.retain(|planned| may_match || !run.blocks.contains(&planned.block.number));
            may_match
        });
        self.filter = None;
        None
    }

    /// The bloom filters that are to be asked.
    fn filter_places(&self) -> Vec<Range<u64>> {
        let Some(predicate) = &self.filter else { return Vec::new() };
        joined(self.runs.iter().flat_map(|run| self.footer.filter_places(predicate, run.group)).collect())
    }

    /// Begins to decode the next run, if there is one and its bytes are there.
    fn begin_run(&mut self) -> Result<Option<Step>, ReadError> {
        let Some(run) = self.runs.front() else { return Ok(Some(Step::Done)) };
        let missing = self.fetched.missing(run.ranges(&self.footer));
        if !missing.is_empty() {
            return Ok(Some(Step::Need(missing)));
        }
        let Some(run) = self.runs.pop_front() else { return Ok(Some(Step::Done)) };
        match Decoder::new(&run, &self.footer, &self.fetched) {
            Ok(decoder) => self.current = Some(Current { left: run.blocks.len(), run, decoder }),
            Err(error) => return Err(self.give_up(run.blocks.first().copied().unwrap_or(0), error.into())),
        }
        Ok(None)
    }

    /// Ends the run that is being decoded, and lets go of its bytes.
    fn end_run(&mut self) {
        self.current = None;
        let next = self.runs.front().and_then(|run| run.ranges(&self.footer).first().map(|range| range.start));
        self.fetched.forget_before(next.unwrap_or(u64::MAX));
    }

    fn give_up(&mut self, block: usize, source: ArrowError) -> ReadError {
        self.runs.clear();
        self.blocks.clear();
        self.end_run();
        ReadError::Decode { object: self.footer.object(), block, source }
    }

    /// Decodes the next block of the run; `None` where all of its rows are left out.
    fn batch(&mut self, Planned { block, commit }: &Planned) -> Result<Option<Batch>, ArrowError> {
        let absent = || ArrowError::ParquetError("there is no such block".to_owned());
        let Current { run, decoder, .. } = self.current.as_mut().ok_or_else(absent)?;
        let rows = self.footer.block(block.number).ok_or_else(absent)?;
        let within = run.within(&self.footer, block.number).ok_or_else(absent)?;
        let Decoded { kept, columns, commits } =
            decoder.next(within, Kept::without(&rows, &block.left_out), self.up_to)?;
        if kept.rows() == 0 {
            return Ok(None);
        }
        Ok(Some(Batch {
            block: block.number,
            first_row: rows.start,
            rows: self.projection.apply(&run.columns, &columns, kept.rows())?,
            positions: self.positions.then(|| kept.positions(rows.start)),
            commits: self.commits.then(|| commits.unwrap_or_else(|| Int64Array::from_value(*commit, kept.rows()))),
        }))
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Scan");
        f.field("object", &self.footer.object()).field("runs", &self.runs).finish_non_exhaustive()
    }
}
