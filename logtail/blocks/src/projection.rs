//! Which columns of an object a reader wants, and in which types.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use logboom_logtail_core::{widen, widens};

use crate::{error::ReadError, footer::Footer, object_schema::column_id};

/// The wanted columns, by their ids.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    schema: SchemaRef,
    /// The position in the object of each wanted column; `None` for one that was added after the object was written.
    sources: Vec<Option<usize>>,
}

impl Projection {
    pub(crate) fn new(footer: &Footer, schema: SchemaRef) -> Result<Self, ReadError> {
        let sources = schema.fields().iter().map(|field| source(footer, field)).collect::<Result<_, _>>()?;
        Ok(Self { schema, sources })
    }

    /// The positions in the object of the columns that are decoded, in its order.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = self.sources.iter().flatten().copied().collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The wanted columns of `rows` rows, of which `decoded` are the columns at these positions of the object.
    pub(crate) fn apply(
        &self,
        positions: &[usize],
        decoded: &[ArrayRef],
        rows: usize,
    ) -> Result<RecordBatch, ArrowError> {
        let column = |(field, source): (&Arc<Field>, &Option<usize>)| {
            let Some(source) = source else { return Ok(new_null_array(field.data_type(), rows)) };
            let at = positions.binary_search(source).ok().and_then(|at| decoded.get(at));
            convert(at.ok_or_else(|| invalid("a column was not decoded"))?, field.data_type())
        };
        let columns = self.schema.fields().iter().zip(&self.sources).map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// The position in the object of a wanted column.
fn source(footer: &Footer, wanted: &Field) -> Result<Option<usize>, ReadError> {
    let (object, column) = (footer.object(), wanted.name().clone());
    let Some(id) = column_id(wanted) else { return Err(ReadError::NoId { column }) };
    let Some(position) = footer.column(id) else {
        return if wanted.is_nullable() { Ok(None) } else { Err(ReadError::Null { object, column }) };
    };
    let (from, to) = (footer.schema().field(position).data_type(), wanted.data_type());
    if from.equals_datatype(to) || widens(from, to) {
        return Ok(Some(position));
    }
    Err(ReadError::Type { object, column, from: from.clone(), to: to.clone() })
}

/// `array` as the wanted type: widened, or with other names and metadata of nested fields.
fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if let Some(wide) = widen(array, to) {
        return Ok(wide);
    }
    rename(array, to)
}

/// `array` with the names and metadata that the nested fields of `to` have.
fn rename(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let data = array.to_data();
    let fields: Vec<&DataType> = match to {
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            vec![field.data_type()]
        }
        DataType::Map(entries, _) => vec![entries.data_type()],
        _ => Vec::new(),
    };
    let children = data.child_data().iter().map(|child| make_array(child.clone()));
    let children = children.zip(fields).map(|(child, to)| Ok(rename(&child, to)?.to_data()));
    let children = children.collect::<Result<Vec<_>, ArrowError>>()?;
    let renamed = data.into_builder().data_type(to.clone()).child_data(children).build()?;
    Ok(make_array(renamed))
}

fn invalid(what: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(what.to_owned())
}
