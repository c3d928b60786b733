//! Pages of flat columns, decoded without the rows that are left out.
//!
//! The parquet crate is as fast as memory where it decodes all rows. Leaving out one in a hundred takes it a third
//! longer, whether it skips them (a call for each of them and each column) or they are filtered out behind it (each
//! column is copied once more). Here values go from the page to the array once, in runs between the rows that are left
//! out. What is not decoded here are nested columns, and types of other layouts than numbers and bytes.

mod fixed;
mod hybrid;
mod varied;

use std::{ops::Range, sync::Arc};

use arrow_array::ArrayRef;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer, bit_chunk_iterator::UnalignedBitChunk};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use parquet::{
    basic::{Encoding, Type},
    column::page::{Page, PageReader},
    file::serialized_reader::SerializedPageReader,
};

use crate::{fetched::Fetched, footer::Footer, kept::Kept};

/// A flat column of a row group.
pub(crate) struct FlatColumn {
    pages: SerializedPageReader<Fetched>,
    /// The block whose page comes next, counted within the row group.
    next: usize,
    dictionary_is_next: bool,
    dictionary: Option<Dictionary>,
    layout: Layout,
    data_type: DataType,
    nullable: bool,
}

/// How values lie in a page.
#[derive(Clone, Copy)]
enum Layout {
    /// In 4 bytes each.
    Four,
    /// In 8 bytes each.
    Eight,
    /// Each behind its length.
    Varied,
}

/// The values of a dictionary.
enum Dictionary {
    Four(Vec<u32>),
    Eight(Vec<u64>),
    Varied(varied::Values),
}

/// The values of a page, those of rows without one left out.
enum Source<'a, D: ?Sized> {
    /// As they are.
    Plain(&'a [u8]),
    /// By their numbers in a dictionary, which are checked to be in it.
    Indexes(Vec<u32>, &'a D),
}

impl FlatColumn {
    /// The column at a position of the object, in a row group; `None` for one that is not decoded here.
    pub(crate) fn new(footer: &Footer, fetched: &Fetched, group: usize, column: usize) -> Option<Self> {
        let mut leaves = footer.leaves(column);
        let (leaf, None) = (leaves.next()?, leaves.next()) else { return None };
        let row_group = footer.parquet().row_groups().get(group)?;
        let chunk = row_group.columns().get(leaf)?;
        let descriptor = chunk.column_descr();
        let data_type = footer.schema().field(column).data_type().clone();
        let layout = layout(descriptor.physical_type(), &data_type)?;
        let known = |encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY);
        if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 || !chunk.encodings().all(known) {
            return None;
        }
        let rows = usize::try_from(row_group.num_rows()).ok()?;
        let places = footer.parquet().offset_index()?.get(group)?.get(leaf)?.page_locations().clone();
        let pages = SerializedPageReader::new(Arc::new(fetched.clone()), chunk, rows, Some(places)).ok()?;
        Some(Self {
            pages,
            next: 0,
            dictionary_is_next: footer.dictionary(group, leaf).is_some(),
            dictionary: None,
            layout,
            data_type,
            nullable: descriptor.max_def_level() == 1,
        })
    }

    /// The rows that stay of a block, counted within the row group, behind those that were decoded before.
    pub(crate) fn decode(&mut self, block: usize, kept: &Kept) -> Result<ArrayRef, ArrowError> {
        let (page, encoding) = self.page(block)?;
        let mut values = &page[..];
        let validity = if self.nullable { validity(&mut values, kept.len())? } else { None };
        let count = validity.as_ref().map_or(kept.len(), BooleanBuffer::count_set_bits);
        let indexes = match encoding {
            Encoding::PLAIN => None,
            Encoding::RLE_DICTIONARY => {
                let (width, indexes) = values.split_first().ok_or_else(|| malformed("no indexes"))?;
                Some(hybrid::numbers(indexes, *width, count)?)
            }
            _ => return Err(malformed("an encoding that is not written")),
        };
        let rows = Rows { kept, validity: validity.as_ref() };
        macro_rules! source {
            ($layout:ident, $len:expr) => {
                match (indexes, &self.dictionary) {
                    (None, _) => Source::Plain(values),
                    (Some(indexes), Some(Dictionary::$layout(dictionary))) => {
                        check(&indexes, $len(dictionary))?;
                        Source::Indexes(indexes, dictionary)
                    }
                    (Some(_), _) => return Err(malformed("no dictionary")),
                }
            };
        }
        match self.layout {
            Layout::Four => fixed::array(&self.data_type, &source!(Four, Vec::len), &rows),
            Layout::Eight => fixed::array(&self.data_type, &source!(Eight, Vec::len), &rows),
            Layout::Varied => varied::array(&self.data_type, source!(Varied, varied::Values::len), &rows),
        }
    }

    /// The content of the page of a block, and how it is encoded.
    fn page(&mut self, block: usize) -> Result<(Bytes, Encoding), ArrowError> {
        if std::mem::take(&mut self.dictionary_is_next) {
            let Some(Page::DictionaryPage { buf, num_values, .. }) = self.pages.get_next_page()? else {
                return Err(malformed("no dictionary"));
            };
            self.dictionary = Some(match self.layout {
                Layout::Four => Dictionary::Four(fixed::words(&buf)),
                Layout::Eight => Dictionary::Eight(fixed::words(&buf)),
                Layout::Varied => Dictionary::Varied(varied::Values::new(&buf, num_values)?),
            });
        }
        while self.next < block {
            self.pages.skip_next_page()?;
            self.next += 1;
        }
        self.next += 1;
        match self.pages.get_next_page()? {
            Some(Page::DataPage { buf, encoding, .. }) => Ok((buf, encoding)),
            _ => Err(malformed("no page of this block")),
        }
    }
}

/// The rows of a page that stay, and which of the page's rows have a value: all, if it is not said.
struct Rows<'a> {
    kept: &'a Kept,
    validity: Option<&'a BooleanBuffer>,
}

impl Rows<'_> {
    /// Calls `each` with each run, as rows, and with the number of the values before it.
    fn runs(&self, mut each: impl FnMut(Range<usize>, usize) -> Result<(), ArrowError>) -> Result<(), ArrowError> {
        let (mut row, mut value) = (0, 0);
        for run in self.kept.runs() {
            value += self.values(row..run.start);
            each(run.clone(), value)?;
            value += self.values(run.clone());
            row = run.end;
        }
        Ok(())
    }

    /// How many of these rows have values.
    fn values(&self, rows: Range<usize>) -> usize {
        match self.validity {
            Some(validity) => {
                UnalignedBitChunk::new(validity.values(), validity.offset() + rows.start, rows.len()).count_ones()
            }
            None => rows.len(),
        }
    }

    /// The nulls of the rows that stay.
    fn nulls(&self) -> Option<NullBuffer> {
        let validity = self.validity?;
        let mut nulls = BooleanBufferBuilder::new(self.kept.rows());
        let at = validity.offset();
        let runs = self.kept.runs().iter().map(|run| at + run.start..at + run.end);
        runs.for_each(|run| nulls.append_packed_range(run, validity.values()));
        Some(NullBuffer::new(nulls.finish())).filter(|nulls| nulls.null_count() > 0)
    }
}

/// How values of a type lie in a page; `None` for types that are not decoded here.
fn layout(physical: Type, data_type: &DataType) -> Option<Layout> {
    use DataType as T;
    match (physical, data_type) {
        (Type::BYTE_ARRAY, T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary) => Some(Layout::Varied),
        (Type::INT32, T::Int8 | T::Int16 | T::UInt8 | T::UInt16 | T::Int32 | T::UInt32 | T::Date32 | T::Time32(_))
        | (Type::FLOAT, T::Float32) => Some(Layout::Four),
        (Type::INT64, T::Int64 | T::UInt64 | T::Date64 | T::Time64(_) | T::Timestamp(..) | T::Duration(_))
        | (Type::DOUBLE, T::Float64) => Some(Layout::Eight),
        _ => None,
    }
}

/// Checks that a dictionary of `len` values has those of these numbers.
fn check(indexes: &[u32], len: usize) -> Result<(), ArrowError> {
    let highest = indexes.iter().copied().fold(0, u32::max);
    if indexes.is_empty() || usize::try_from(highest).is_ok_and(|highest| highest < len) {
        return Ok(());
    }
    Err(malformed("an index without a value"))
}

/// Takes the definition levels off the front of `page`: which rows have a value; `None` where all do.
fn validity(page: &mut &[u8], rows: usize) -> Result<Option<BooleanBuffer>, ArrowError> {
    let (len, rest) = page.split_first_chunk().ok_or_else(|| malformed("no levels"))?;
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (levels, values) = rest.split_at_checked(len).ok_or_else(|| malformed("levels cut short"))?;
    *page = values;
    let valid = hybrid::bits(levels, rows)?;
    Ok((valid.count_set_bits() < rows).then_some(valid))
}

fn malformed(what: &str) -> ArrowError {
    ArrowError::ParquetError(format!("a page is not as it is written: {what}"))
}
