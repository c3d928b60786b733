//! `Lookup`: where rows with certain keys are in an object.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
    sync::Arc,
};

use arrow_array::ArrayRef;
use arrow_schema::Schema;
use bytes::Bytes;
use logboom_logtail_core::{
    ColumnId, Timestamp,
    block_meta::ObjectMeta,
    key::{KeyEncoder, Keys},
    predicate::{Op, Predicate, Term, Value},
};

use crate::{
    error::ReadError,
    fetched::{CheckedBytes, Fetched, joined},
    filters::Filters,
    footer::Footer,
    key_values::value,
    scan::{Scan, ScanRequest, Step},
};

/// Looks for keys in an object: by the bounds of its blocks, by the statistics of its pages, by its bloom filters, and
/// then in the key's columns of the blocks that are left.
///
/// It is a state machine like [`Scan`]. Rows with a key are found whatever their commit timestamps are, and whether
/// they are deleted or not.
pub struct Lookup {
    footer: Arc<Footer>,
    meta: Arc<ObjectMeta>,
    encoder: KeyEncoder,
    schema: Arc<Schema>,
    keys: Vec<Wanted>,
    /// The numbers of the keys that each block may have.
    candidates: BTreeMap<usize, Vec<usize>>,
    /// Whether bloom filters are still to be asked.
    filters: bool,
    fetched: Fetched,
    scan: Option<Scan>,
    found: Vec<Found>,
}

/// A key that is looked for.
struct Wanted {
    key: Vec<u8>,
    /// That the key's columns have its values.
    predicate: Predicate,
}

/// A row with a key that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// The number of the key, from 0, in the order in which they were given.
    pub key: usize,
    /// The position of the row in the object.
    pub row: u32,
    /// When the row committed.
    pub commit: Timestamp,
}

/// What a lookup does next.
#[derive(Debug)]
pub enum LookupStep {
    /// It needs these bytes of the object: [feed](Lookup::feed) each range in one piece.
    Need(Vec<Range<u64>>),
    /// All rows with the keys, by key and position.
    Done(Vec<Found>),
}

impl Lookup {
    /// Looks for encoded keys in the object with these metadata and this footer, of a table whose key has these
    /// columns.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for a column that the object does not have, and [`ReadError::Key`] for bytes that are no
    /// key of these columns.
    pub fn new<'a>(
        footer: &Arc<Footer>,
        meta: &Arc<ObjectMeta>,
        columns: &[ColumnId],
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, ReadError> {
        let mut lookup = Self::open(footer, meta, columns, keys)?;
        lookup.filters = true;
        let sorted = meta.is_sorted();
        for number in 0..lookup.keys.len() {
            let key = lookup.keys.get(number).map(|wanted| wanted.key.as_slice()).unwrap_or_default();
            let blocks: Vec<usize> = meta.blocks_of_key(key, sorted).collect();
            blocks.into_iter().for_each(|block| lookup.add_candidate(number, block));
        }
        Ok(lookup)
    }

    /// Looks for encoded keys in certain blocks alone: `candidates` are the number of a key, and that of a block which
    /// may have it. The bloom filters are not asked: [`KeyFilters`](crate::KeyFilters) have ruled out all other blocks.
    ///
    /// # Errors
    /// As [`Lookup::new`].
    pub fn in_blocks<'a>(
        footer: &Arc<Footer>,
        meta: &Arc<ObjectMeta>,
        columns: &[ColumnId],
        keys: impl IntoIterator<Item = &'a [u8]>,
        candidates: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, ReadError> {
        let mut lookup = Self::open(footer, meta, columns, keys)?;
        candidates.into_iter().for_each(|(key, block)| lookup.add_candidate(key, block));
        Ok(lookup)
    }

    /// A lookup of keys that no block may have so far.
    fn open<'a>(
        footer: &Arc<Footer>,
        meta: &Arc<ObjectMeta>,
        columns: &[ColumnId],
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, ReadError> {
        let position = |id: &ColumnId| {
            let number = u64::try_from(id.0).unwrap_or(u64::MAX);
            footer.column(*id).ok_or(ReadError::Absent { object: footer.object(), what: "column", number })
        };
        let positions = columns.iter().map(position).collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<_> = positions.iter().map(|at| Arc::clone(&footer.schema().fields()[*at])).collect();
        let encoder = KeyEncoder::new(fields.iter().map(AsRef::as_ref))?;
        let keys: Vec<Vec<u8>> = keys.into_iter().map(<[u8]>::to_vec).collect();
        let decoded = encoder.decode(keys.iter().map(Vec::as_slice))?;
        let keys = keys.into_iter().enumerate();
        let keys = keys.map(|(row, key)| Wanted { key, predicate: predicate(columns, &decoded, row) });
        Ok(Self {
            footer: Arc::clone(footer),
            meta: Arc::clone(meta),
            encoder,
            schema: Arc::new(Schema::new(fields)),
            keys: keys.collect(),
            candidates: BTreeMap::new(),
            filters: false,
            fetched: Fetched::new(footer.object_bytes()),
            scan: None,
            found: Vec::new(),
        })
    }

    /// The rows, or what is needed to find them.
    ///
    /// # Errors
    /// [`ReadError`] for blocks that cannot be read.
    pub fn step(&mut self) -> Result<LookupStep, ReadError> {
        if self.filters {
            let missing = self.fetched.missing(&joined(self.filter_places()));
            if !missing.is_empty() {
                return Ok(LookupStep::Need(missing));
            }
            self.ask_filters();
            self.filters = false;
        }
        loop {
            let scan = match &mut self.scan {
                Some(scan) => scan,
                none => {
                    let mut request = ScanRequest::new(Arc::clone(&self.schema), self.candidates.keys().copied());
                    request.commits = true;
                    none.insert(Scan::new(&self.footer, &self.meta, request)?)
                }
            };
            match scan.step()? {
                Step::Need(ranges) => return Ok(LookupStep::Need(ranges)),
                Step::Done => break,
                Step::Batch(batch) => {
                    let commits = batch.commits.as_ref().map(|commits| &commits.values()[..]).unwrap_or_default();
                    self.search(batch.block, batch.first_row, batch.rows.columns(), commits)?;
                }
            }
        }
        self.found.sort_unstable();
        Ok(LookupStep::Done(std::mem::take(&mut self.found)))
    }

    /// Takes bytes of the object that were asked for.
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
        match &mut self.scan {
            Some(scan) => scan.feed_checked(bytes),
            None => self.fetched.add(bytes),
        }
    }

    /// Adds a block that may have a key, unless the statistics of its pages rule that out.
    fn add_candidate(&mut self, key: usize, block: usize) {
        let Some(wanted) = self.keys.get(key) else { return };
        let groups = self.footer.groups().iter().enumerate();
        let Some((group, blocks)) = groups.into_iter().find(|(_, blocks)| blocks.contains(&block)) else { return };
        if self.footer.may_match(&wanted.predicate, group, block - blocks.start) {
            self.candidates.entry(block).or_default().push(key);
        }
    }

    /// The bloom filters of the key's columns in the row groups of candidates.
    fn filter_places(&self) -> Vec<Range<u64>> {
        // All predicates are of the same columns.
        let Some(Wanted { predicate, .. }) = self.keys.first() else { return Vec::new() };
        let groups = self.footer.groups().iter().enumerate();
        let groups = groups.filter(|(_, blocks)| self.candidates.range((*blocks).clone()).next().is_some());
        groups.flat_map(|(group, _)| self.footer.filter_places(predicate, group)).collect()
    }

    /// Drops the candidates that bloom filters rule out.
    fn ask_filters(&mut self) {
        let mut filters = Filters::new(&self.footer, &self.fetched);
        for (block, keys) in &mut self.candidates {
            let Some(group) = self.footer.groups().iter().position(|group| group.contains(block)) else { continue };
            keys.retain(|key| self.keys.get(*key).is_none_or(|wanted| filters.may_match(&wanted.predicate, group)));
        }
        self.candidates.retain(|_, keys| !keys.is_empty());
    }

    /// Looks for the candidates among the rows of a block, of which `columns` are the key's.
    fn search(&mut self, block: usize, first_row: u32, columns: &[ArrayRef], commits: &[i64]) -> Result<(), ReadError> {
        let Some(candidates) = self.candidates.get(&block) else { return Ok(()) };
        let is_sorted = self.meta.blocks.get(block).is_some_and(|block| block.sorted);
        let wanted = candidates.iter().filter_map(|number| Some((self.keys.get(*number)?.key.as_slice(), *number)));
        let mut found = |row: usize, key: usize| {
            let commit = commits.get(row).and_then(|commit| Timestamp::from_i64(*commit)).unwrap_or_default();
            let row = u32::try_from(row).map_or(u32::MAX, |row| first_row.saturating_add(row));
            self.found.push(Found { key, row, commit });
        };
        // Of a few keys in order, those of the rows on the way to them are encoded, and not the whole block's.
        if is_sorted && candidates.len() <= SEARCHED_MAX {
            let mut keys = OneKey { encoder: &self.encoder, columns, key: self.encoder.no_keys() };
            for (key, number) in wanted {
                let mut row = keys.first_not_below(key)?;
                while keys.of(row)? == Some(key) {
                    found(row, number);
                    row += 1;
                }
            }
            return Ok(());
        }
        let keys = self.encoder.encode(columns)?;
        let mut numbers: HashMap<&[u8], Vec<usize>> = HashMap::new();
        wanted.for_each(|(key, number)| numbers.entry(key).or_default().push(number));
        for (row, key) in keys.iter().enumerate() {
            numbers.get(key).into_iter().flatten().for_each(|number| found(row, *number));
        }
        Ok(())
    }
}

/// The keys of a block that are searched for. More of them than this, and all keys of the block are encoded.
const SEARCHED_MAX: usize = 64;

/// The keys of a block's rows, encoded one at a time.
struct OneKey<'a> {
    encoder: &'a KeyEncoder,
    columns: &'a [ArrayRef],
    key: Keys,
}

impl OneKey<'_> {
    /// The key of a row; `None` behind the last one.
    fn of(&mut self, row: usize) -> Result<Option<&[u8]>, ReadError> {
        if row >= self.rows() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| column.slice(row, 1)).collect();
        self.key.truncate(0);
        self.encoder.encode_into(&columns, &mut self.key)?;
        Ok(self.key.get(0))
    }

    /// The first row whose key is not below `key`, of rows in the order of their keys.
    fn first_not_below(&mut self, key: &[u8]) -> Result<usize, ReadError> {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low.midpoint(high);
            if self.of(middle)?.is_some_and(|other| other < key) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Lookup");
        f.field("object", &self.footer.object()).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// That the key's columns have the values of a row of `decoded`.
fn predicate(columns: &[ColumnId], decoded: &[ArrayRef], row: usize) -> Predicate {
    let term = |(column, array): (&ColumnId, &ArrayRef)| {
        // What predicates do not compare is not a number here, which everything may equal.
        let value = value(array, row).unwrap_or(Value::Float(f64::NAN));
        Term { column: *column, op: Op::Equal, value }
    };
    Predicate::all(columns.iter().zip(decoded).map(term))
}
