//! `KeyMerge`: the keys of several objects in one order.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use arrow_schema::{Schema, SchemaRef};
use logboom_logtail_blocks::{Footer, Scan as BlockScan, ScanRequest, Step};
use logboom_logtail_core::{
    block_meta::ObjectMeta,
    catalog::{KeyColumns, TableSchema},
    key::{KeyEncoder, Keys},
};

use crate::{error::Result, store::Store};

/// Blocks whose keys are read at once, of all objects.
const BLOCKS_MAX: usize = 256;

/// Merges the keys of blocks of several objects, each of which is sorted by them. Of each, those of a block are in
/// memory, and of some more if the objects are few.
pub(crate) struct KeyMerge<'a> {
    store: &'a Store,
    encoder: &'a KeyEncoder,
    streams: Vec<Stream>,
    /// The next key of each stream that has one.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

/// The keys of an object.
struct Stream {
    meta: Arc<ObjectMeta>,
    schema: SchemaRef,
    /// The blocks that are not read yet, and how many are read at once.
    blocks: VecDeque<usize>,
    at_once: usize,
    open: Option<(Arc<Footer>, BlockScan)>,
    keys: Keys,
    at: usize,
}

impl<'a> KeyMerge<'a> {
    /// The keys of these blocks of each object, in its order, of a table with this key.
    pub(crate) fn new(
        store: &'a Store,
        schema: &TableSchema,
        key: &'a KeyColumns,
        objects: impl IntoIterator<Item = (Arc<ObjectMeta>, Vec<usize>)>,
    ) -> Result<Self> {
        let fields = key.positions().iter().map(|at| Arc::clone(&schema.arrow().fields()[*at]));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let objects: Vec<_> = objects.into_iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
        let at_once = (BLOCKS_MAX / objects.len().max(1)).max(1);
        let stream = |(meta, blocks): (_, Vec<usize>)| Stream {
            meta,
            schema: Arc::clone(&schema),
            blocks: blocks.into(),
            at_once,
            open: None,
            keys: key.no_keys(),
            at: 0,
        };
        let streams = objects.into_iter().map(stream).collect();
        let mut merge = Self { store, encoder: key.encoder(), streams, next: BinaryHeap::new() };
        (0..merge.streams.len()).try_for_each(|stream| merge.advance(stream, Vec::new()))?;
        Ok(merge)
    }

    /// Replaces `key` by the next one. Returns whether there is one.
    pub(crate) fn next(&mut self, key: &mut Vec<u8>) -> Result<bool> {
        let Some(Reverse((mut next, stream))) = self.next.pop() else { return Ok(false) };
        std::mem::swap(key, &mut next);
        self.advance(stream, next)?;
        Ok(true)
    }

    /// Adds the next key of a stream to what comes next, in `buffer`.
    fn advance(&mut self, stream: usize, mut buffer: Vec<u8>) -> Result<()> {
        let Some(own) = self.streams.get_mut(stream) else { return Ok(()) };
        if let Some(key) = own.next(self.store, self.encoder)? {
            buffer.clear();
            buffer.extend_from_slice(key);
            self.next.push(Reverse((buffer, stream)));
        }
        Ok(())
    }
}

impl Stream {
    fn next(&mut self, store: &Store, encoder: &KeyEncoder) -> Result<Option<&[u8]>> {
        while self.at >= self.keys.len() {
            if self.open.is_none() {
                if self.blocks.is_empty() {
                    return Ok(None);
                }
                let footer = store.footer(&self.meta)?;
                let next = self.blocks.drain(..self.at_once.min(self.blocks.len()));
                let request = ScanRequest::new(Arc::clone(&self.schema), next);
                let scan = BlockScan::new(&footer, &self.meta, request)?;
                self.open = Some((footer, scan));
            }
            let Some((footer, scan)) = &mut self.open else { return Ok(None) };
            match store.step(footer, &self.meta, scan)? {
                Step::Batch(batch) => {
                    let keys = encoder.encode(batch.rows.columns()).map_err(logboom_logtail_blocks::ReadError::Key)?;
                    (self.keys, self.at) = (keys, 0);
                }
                _ => self.open = None,
            }
        }
        self.at += 1;
        Ok(self.keys.get(self.at - 1))
    }
}
