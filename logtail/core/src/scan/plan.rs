//! `ScanPlan`: the columns that are read for a scan, and what of them it gives.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::{error::ScanError, filter::Filter, projection::Projection};
use crate::{
    block_meta::BlockMeta,
    catalog::{Column, TableSchema},
    key::KeyRange,
    predicate::Predicate,
};

/// The columns that are read for a scan: those that it gives, and those by which it chooses the rows.
#[derive(Debug)]
pub struct ScanPlan {
    columns: Vec<Column>,
    /// The schema of what is read: the table's columns, and what the log tail knows of rows.
    read: SchemaRef,
    /// The positions of what is given in what is read; `None` for all.
    given: Option<Vec<usize>>,
    schema: SchemaRef,
    row_ids: bool,
    commit_timestamps: bool,
    predicate: Predicate,
    /// The keys of wanted rows; `None` for a table without a key.
    keys: Option<KeyRange>,
}

impl ScanPlan {
    /// A plan by the table's schema at the time that is read.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn new(schema: &TableSchema, projection: &Projection, filter: &Filter) -> Result<Self, ScanError> {
        let predicate = filter.resolve(schema)?;
        let given = projection.resolve(schema)?;
        let mut asked = BTreeSet::new();
        predicate.visit_columns(&mut |column| _ = asked.insert(column));
        let is_read = |column: &&Column| given.contains(column) || asked.contains(&column.id);
        let columns: Vec<Column> = schema.columns().iter().filter(is_read).cloned().collect();
        let read = read_schema(schema, &columns, projection);
        let is_given = |at: &usize| columns.get(*at).is_none_or(|column| given.contains(&column));
        let given: Vec<usize> = (0..read.fields().len()).filter(is_given).collect();
        let given = (given.len() < read.fields().len()).then_some(given);
        Ok(Self {
            schema: match &given {
                Some(given) => {
                    let fields = given.iter().filter_map(|at| read.fields().get(*at)).cloned();
                    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
                }
                None => Arc::clone(&read),
            },
            keys: schema.key_columns().map(|key| key.encoder().range(schema.key(), &predicate)),
            columns,
            read,
            given,
            row_ids: projection.row_ids,
            commit_timestamps: projection.commit_timestamps,
            predicate,
        })
    }

    /// The schema of the batches that the scan gives.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the table that are read, in its order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The schema of the columns of the table that are read.
    pub fn table_schema(&self) -> SchemaRef {
        let fields = self.read.fields().iter().take(self.columns.len());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// The schema of all that is read.
    pub fn read_schema(&self) -> &SchemaRef {
        &self.read
    }

    /// Whether the places of rows are read.
    pub fn row_ids(&self) -> bool {
        self.row_ids
    }

    /// Whether commit timestamps are read.
    pub fn commit_timestamps(&self) -> bool {
        self.commit_timestamps
    }

    /// Which rows are wanted.
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// Whether a block may have rows that are wanted, as far as the bounds of its keys tell.
    pub fn may_match(&self, block: &BlockMeta) -> bool {
        let overlaps = |keys: &KeyRange| keys.overlaps(block.low_key.as_deref(), block.high_key.as_deref());
        self.keys.as_ref().is_none_or(overlaps)
    }

    /// What the scan gives of rows that were read: the wanted ones, perhaps none, and of them what was asked for.
    ///
    /// # Errors
    /// [`ArrowError`] for a batch of another schema than [`ScanPlan::read_schema`].
    pub fn apply(&self, read: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let position = |id| self.columns.iter().position(|column| column.id == id);
        let wanted = self.predicate.filter(read, position)?;
        match &self.given {
            Some(given) => wanted.project(given),
            None => Ok(wanted),
        }
    }
}

fn read_schema(table: &TableSchema, columns: &[Column], projection: &Projection) -> SchemaRef {
    let own = columns.iter().filter_map(|column| table.position(column.id));
    let mut fields: Vec<_> = own.map(|at| Arc::clone(&table.arrow().fields()[at])).collect();
    if projection.row_ids {
        fields.push(Arc::new(Field::new("_rowset", DataType::UInt64, false)));
        fields.push(Arc::new(Field::new("_row", DataType::UInt32, false)));
    }
    if projection.commit_timestamps {
        fields.push(Arc::new(Field::new("_commit_ts", DataType::Int64, false)));
    }
    Arc::new(Schema::new(fields))
}
