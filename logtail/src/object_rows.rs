//! `ObjectRows`: the rows of blocks of one object, as a scan gives them.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use logboom_logtail_blocks::{Batch, Footer, Scan as BlockScan, ScanRequest, Step};
use logboom_logtail_core::{block_meta::ObjectMeta, scan::ScanPlan, table::Object};

use crate::{
    error::{Error, Result},
    fetch::Fetch,
    store::Store,
};

/// Reads blocks of an object. What it needs can be asked for before it is needed.
pub(crate) struct ObjectRows {
    object: Arc<Object>,
    plan: Arc<ScanPlan>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "one for each of the few objects that a scan reads ahead")]
enum State {
    /// The footer was not asked for.
    Closed(ScanRequest),
    /// The footer was asked for.
    Opening(ScanRequest, Fetch),
    Open(Open),
    /// The error, until it was given.
    Failed(Option<Error>),
}

struct Open {
    footer: Arc<Footer>,
    scan: BlockScan,
    /// The next row groups, in their order.
    ahead: VecDeque<Ahead>,
}

/// A row group that is read ahead.
struct Ahead {
    /// What its blocks take.
    ranges: Vec<Range<u64>>,
    /// What of that was not cached.
    fetch: Option<Fetch>,
}

impl ObjectRows {
    /// A reader of the blocks of `request`, without what that leaves out of them; columns and rows are those of the
    /// plan. Asks for nothing yet.
    pub(crate) fn new(object: &Arc<Object>, plan: &Arc<ScanPlan>, mut request: ScanRequest) -> Self {
        request.commits = plan.commit_timestamps();
        request.positions = plan.row_ids();
        request.predicate = plan.predicate().clone();
        request.bloom_filters = true;
        Self { object: Arc::clone(object), plan: Arc::clone(plan), state: State::Closed(request) }
    }

    /// A reader of which this error is all that it gives.
    pub(crate) fn failed(object: &Arc<Object>, plan: &Arc<ScanPlan>, error: Error) -> Self {
        Self { object: Arc::clone(object), plan: Arc::clone(plan), state: State::Failed(Some(error)) }
    }

    /// Waits for the footer. Returns whether that is new: more can be asked for then.
    pub(crate) fn open(&mut self, store: &Store) -> Result<bool> {
        let meta = self.object.meta();
        let opened = match std::mem::replace(&mut self.state, State::Failed(None)) {
            State::Closed(request) => Open::new(store.footer(meta)?, meta, request)?,
            State::Opening(request, fetch) => Open::new(store.take_footer(meta, fetch)?, meta, request)?,
            State::Failed(Some(error)) => return Err(error),
            other => {
                self.state = other;
                return Ok(false);
            }
        };
        self.state = State::Open(opened);
        Ok(true)
    }

    /// The next rows that are wanted, at least one; `None` behind the last ones.
    pub(crate) fn next(&mut self, store: &Store) -> Result<Option<RecordBatch>> {
        self.open(store)?;
        let State::Open(open) = &mut self.state else { return Ok(None) };
        while let Some(batch) = open.next(store, self.object.meta())? {
            let read = read_batch(&self.object, &self.plan, batch)?;
            let wanted = self.plan.apply(&read)?;
            if wanted.num_rows() > 0 {
                return Ok(Some(wanted));
            }
        }
        Ok(None)
    }

    /// The bytes that were asked for and not used yet.
    pub(crate) fn bytes_ahead(&self) -> u64 {
        match &self.state {
            State::Opening(_, footer) => footer.bytes(),
            State::Open(open) => open.ahead.iter().filter_map(|ahead| ahead.fetch.as_ref()).map(Fetch::bytes).sum(),
            State::Closed(_) | State::Failed(_) => 0,
        }
    }

    /// Asks for what will be needed next, without waiting: for the footer, and then for row groups of so many `bytes`
    /// together, or for one if it `is_first`: if nothing else is read ahead. Returns whether there is nothing more to
    /// ask for now, so that the next object may.
    pub(crate) fn ask_ahead(&mut self, store: &Store, bytes: u64, is_first: bool) -> bool {
        let meta = self.object.meta();
        let is_there = match &mut self.state {
            State::Opening(_, fetch) => fetch.is_there(),
            _ => false,
        };
        self.state = match std::mem::replace(&mut self.state, State::Failed(None)) {
            State::Closed(request) => match store.cached_footer(meta) {
                Some(footer) => Open::new(footer, meta, request).into(),
                None => State::Opening(request, store.fetch_footer(meta)),
            },
            State::Opening(request, fetch) if is_there => {
                store.take_footer(meta, fetch).and_then(|footer| Open::new(footer, meta, request)).into()
            }
            other => other,
        };
        match &mut self.state {
            State::Open(open) => open.ask_ahead(store, meta, bytes, is_first),
            _ => true,
        }
    }
}

impl From<Result<Open>> for State {
    fn from(opened: Result<Open>) -> Self {
        match opened {
            Ok(open) => Self::Open(open),
            // Given when the scan comes to the object: those before it are read first.
            Err(error) => Self::Failed(Some(error)),
        }
    }
}

impl Open {
    fn new(footer: Arc<Footer>, meta: &ObjectMeta, request: ScanRequest) -> Result<Self> {
        let scan = BlockScan::new(&footer, meta, request)?;
        Ok(Self { footer, scan, ahead: VecDeque::new() })
    }

    fn next(&mut self, store: &Store, meta: &ObjectMeta) -> Result<Option<Batch>> {
        loop {
            match self.scan.step()? {
                Step::Need(ranges) => self.feed(store, meta, ranges)?,
                Step::Batch(batch) => return Ok(Some(batch)),
                Step::Done => return Ok(None),
            }
        }
    }

    /// Feeds these bytes: what was read ahead, and the rest from the cache or the store.
    fn feed(&mut self, store: &Store, meta: &ObjectMeta, mut ranges: Vec<Range<u64>>) -> Result<()> {
        let is_needed = |ahead: &Ahead| ahead.ranges.iter().any(|range| ranges.contains(range));
        let found = self.ahead.iter().position(is_needed);
        let ahead = found.and_then(|at| self.ahead.drain(..=at).next_back());
        if let Some(fetch) = ahead.and_then(|ahead| ahead.fetch) {
            ranges.retain(|range| !fetch.ranges().contains(range));
            store.take_pages(&self.footer, meta, fetch, |bytes| self.scan.feed_checked(bytes))?;
        }
        store.read(&self.footer, meta, ranges, |bytes| self.scan.feed_checked(bytes))
    }

    fn ask_ahead(&mut self, store: &Store, meta: &ObjectMeta, mut bytes: u64, mut is_first: bool) -> bool {
        while let Some(ranges) = self.scan.ahead().nth(self.ahead.len()) {
            let missing = store.missing(meta, &ranges);
            let wanted = missing.iter().map(|range| range.end.saturating_sub(range.start)).sum();
            if (wanted > bytes && !is_first) || self.ahead.len() >= GROUPS_AHEAD_MAX {
                return false;
            }
            let fetch = (!missing.is_empty()).then(|| store.fetch(meta, missing));
            self.ahead.push_back(Ahead { ranges, fetch });
            (bytes, is_first) = (bytes.saturating_sub(wanted), is_first && wanted == 0);
        }
        true
    }
}

/// The most row groups of an object that are read ahead.
const GROUPS_AHEAD_MAX: usize = 8;

/// Rows of an object, with the columns that are no column of the table.
fn read_batch(object: &Object, plan: &ScanPlan, batch: Batch) -> Result<RecordBatch> {
    let rows = batch.rows.num_rows();
    let mut columns: Vec<ArrayRef> = batch.rows.columns().to_vec();
    if let Some(positions) = batch.positions {
        columns.push(Arc::new(UInt64Array::from_value(object.rowset().0, rows)));
        columns.push(Arc::new(positions));
    }
    if let Some(commits) = batch.commits {
        columns.push(Arc::new(commits));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(plan.read_schema()), columns, &options)?)
}

impl std::fmt::Debug for ObjectRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectRows").field("object", &self.object.meta().id).finish_non_exhaustive()
    }
}
