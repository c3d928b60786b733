//! Where the pages of a row group wait for its end, and are checksummed on their way out.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{PageKey, PageStore, PageStoreArgs, PageStoreFactory},
    errors::{ParquetError, Result},
};

/// What is no longer than this is copied to an allocation of its size: headers of pages come in one of a KiB each.
const COPIED: usize = 1 << 10;

/// The pages of a row group.
#[derive(Debug)]
pub(crate) struct PageLog {
    /// By leaf column, the checksums of the pages that were taken, in the order of the file.
    crcs: Vec<Arc<Mutex<Vec<u32>>>>,
    /// The bytes of pages that wait.
    bytes: Arc<AtomicUsize>,
}

impl PageLog {
    pub(crate) fn new(columns: usize) -> Self {
        Self { crcs: (0..columns).map(|_| Arc::default()).collect(), bytes: Arc::default() }
    }

    /// The bytes of pages that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The checksums of a column's pages, the dictionary's first, once they are in the file.
    pub(crate) fn take_crcs(&self, column: usize) -> Vec<u32> {
        let crcs = self.crcs.get(column).map(|crcs| crcs.lock().unwrap_or_else(PoisonError::into_inner));
        crcs.map(|mut crcs| std::mem::take(&mut *crcs)).unwrap_or_default()
    }
}

impl PageStoreFactory for PageLog {
    fn create(&self, args: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let crcs = self.crcs.get(args.column_index()).cloned().unwrap_or_default();
        Ok(Box::new(ColumnPages { blobs: Vec::new(), header: None, crcs, bytes: Arc::clone(&self.bytes) }))
    }
}

/// The pages of a column of a row group. Each comes as two blobs, its header and its content, and so it goes.
struct ColumnPages {
    blobs: Vec<Bytes>,
    /// The checksum of a header that was taken, before its content is.
    header: Option<crc32fast::Hasher>,
    crcs: Arc<Mutex<Vec<u32>>>,
    bytes: Arc<AtomicUsize>,
}

impl PageStore for ColumnPages {
    fn put(&mut self, value: Bytes) -> Result<PageKey> {
        self.bytes.fetch_add(value.len(), Ordering::Relaxed);
        let key = PageKey::new(self.blobs.len() as u64);
        self.blobs.push(if value.len() <= COPIED { Bytes::copy_from_slice(&value) } else { value });
        Ok(key)
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes> {
        let blob = usize::try_from(key.get()).ok().and_then(|at| self.blobs.get_mut(at)).map(std::mem::take);
        let blob = blob.ok_or_else(|| ParquetError::General(format!("there is no page {}", key.get())))?;
        self.bytes.fetch_sub(blob.len(), Ordering::Relaxed);
        let content = self.header.take();
        let is_content = content.is_some();
        let mut hasher = content.unwrap_or_default();
        hasher.update(&blob);
        match is_content {
            true => self.crcs.lock().unwrap_or_else(PoisonError::into_inner).push(hasher.finalize()),
            false => self.header = Some(hasher),
        }
        Ok(blob)
    }
}
