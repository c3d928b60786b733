//! Attempts, carried out on `object_store`.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use logboom_logtail_core::store::{
    Answer, Attempt, Content, Listed, Name, Page, Reply, Request, StoreError, StoreErrorKind, Urgency,
};
use object_store::{
    OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, ObjectStoreExt, PutMode, PutPayload, coalesce_ranges,
    local::LocalFileSystem, memory::InMemory, path::Path,
};
use tokio::task::spawn_blocking;

use crate::{
    error::OpenError,
    fault::Fault,
    local::LocalDirectory,
    location::Location,
    options::{Access, Options},
};

/// A store that attempts are made on.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    store: Arc<dyn ObjectStore>,
    medium: Medium,
    timeout: Duration,
    bytes_per_second_min: u64,
}

/// Where the store is.
#[derive(Clone, Debug)]
enum Medium {
    /// In a directory, of which this is the other half.
    Directory(Arc<LocalDirectory>),
    Memory,
    #[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azure")), expect(dead_code, reason = "no cloud"))]
    Cloud,
}

/// The most names in a page: what a store lists within the time of an attempt.
const PAGE_MAX: usize = 10_000;

impl Backend {
    /// The store at the location. Nothing is asked of it yet, but a local directory is there then.
    pub(crate) fn open(text: &str, options: &Options) -> Result<Self, OpenError> {
        let (timeout, bytes_per_second_min) = (options.timeout, options.bytes_per_second_min);
        let with = |store, medium| Ok(Self { store, medium, timeout, bytes_per_second_min });
        match Location::parse(text)? {
            Location::Memory => with(Arc::new(InMemory::new()), Medium::Memory),
            Location::Directory(path) => {
                let directory = match options.access {
                    Access::Write => LocalDirectory::create(&path),
                    Access::Read => LocalDirectory::open(&path),
                };
                let directory = directory.map_err(|error| OpenError::Directory { path, error })?;
                let store = LocalFileSystem::new_with_prefix(directory.root())
                    .map_err(|error| OpenError::Client { location: text.to_owned(), reason: error.to_string() })?;
                with(Arc::new(store.with_fsync(true)), Medium::Directory(Arc::new(directory)))
            }
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Location::Cloud(cloud, url) => with(crate::cloud::open(cloud, &url, &options.settings)?, Medium::Cloud),
            #[cfg(not(any(feature = "s3", feature = "gcs", feature = "azure")))]
            Location::Cloud(cloud, _) => {
                Err(OpenError::Feature { location: text.to_owned(), feature: cloud.feature() })
            }
        }
    }

    /// Removes what crashes left of a local directory. Before the first put: that would lose its file.
    pub(crate) async fn sweep(&self) {
        if let Some(local) = self.directory() {
            // What a panic leaves, the next opening removes.
            _ = spawn_blocking(move || local.sweep()).await;
        }
    }

    /// The answer to an attempt, within its time.
    pub(crate) async fn carry_out(&self, attempt: &Attempt) -> Answer {
        let answer = self.in_time(attempt, async {
            let answer = self.attempt(attempt).await;
            let is_empty = match &answer {
                Ok(Answer::Reply(Reply::Listed(page))) => page.objects.is_empty(),
                Ok(_) => false,
                Err(fault) => fault.is_not_found(),
            };
            if is_empty {
                self.check_marker().await?;
            }
            answer
        });
        answer.await.unwrap_or_else(Answer::Failed)
    }

    /// The content of a small object, up to `max` bytes of it; also where a local directory has no marker yet. For a
    /// writer, the object is durable then.
    pub(crate) async fn read_small(&self, name: &Name, max: usize, access: Access) -> Result<Bytes, StoreError> {
        let attempt = Attempt::Request(Request::Get { name: name.clone(), ranges: vec![] });
        self.in_time(&attempt, async {
            if access == Access::Write {
                self.sync(name).await?;
            }
            let object = self.store.get(&path(name)).await?;
            let mut content = Vec::new();
            let mut chunks = object.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                let room = max.saturating_sub(content.len());
                content.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() >= room {
                    break;
                }
            }
            Ok(content.into())
        })
        .await
    }

    /// Creates an object; also where a local directory has no marker yet.
    pub(crate) async fn create(&self, name: &Name, bytes: &Bytes) -> Result<(), StoreError> {
        let attempt =
            Attempt::Request(Request::Put { name: name.clone(), bytes: bytes.clone(), urgency: Urgency::Now });
        self.in_time(&attempt, self.put(name, bytes, Urgency::Now)).await
    }

    async fn attempt(&self, attempt: &Attempt) -> Result<Answer, Fault> {
        match attempt {
            Attempt::Request(request) => {
                if matches!(request, Request::Put { .. }) {
                    self.check_marker().await?;
                }
                Ok(Answer::Reply(self.request(request).await?))
            }
            Attempt::ReadBack { name, bytes } => Ok(Answer::ReadBack(self.read_back(name, bytes).await?)),
            _ => Err(Fault::Kind(StoreErrorKind::Unsupported, "an attempt of a newer version")),
        }
    }

    async fn in_time<T>(
        &self,
        attempt: &Attempt,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let bytes = match attempt {
            Attempt::Request(Request::Put { bytes, .. }) | Attempt::ReadBack { bytes, .. } => bytes.len() as u64,
            Attempt::Request(Request::Get { ranges, .. }) => {
                ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.end.saturating_sub(range.start)))
            }
            _ => 0,
        };
        let time = self.timeout.saturating_add(Duration::from_secs(bytes / self.bytes_per_second_min.max(1)));
        match tokio::time::timeout(time, work).await {
            Ok(result) => result.map_err(|fault| fault.of(attempt, self.directory().is_some())),
            Err(elapsed) => Err(attempt.error(StoreErrorKind::Unavailable).because(elapsed)),
        }
    }

    async fn request(&self, request: &Request) -> Result<Reply, Fault> {
        match request {
            Request::Put { name, bytes, urgency } => self.put(name, bytes, *urgency).await.map(|()| Reply::Put),
            Request::Get { name, ranges } => self.get(name, ranges).await.map(Reply::Got),
            Request::List { folder, after, max } => {
                self.list(folder.as_ref(), after.as_ref(), (*max).clamp(1, PAGE_MAX)).await.map(Reply::Listed)
            }
            Request::Delete { name } => {
                self.store.delete(&path(name)).await?;
                Ok(Reply::Deleted)
            }
            _ => Err(Fault::Kind(StoreErrorKind::Unsupported, "a request of a newer version")),
        }
    }

    async fn put(&self, name: &Name, bytes: &Bytes, urgency: Urgency) -> Result<(), Fault> {
        if let Some(local) = self.directory() {
            let (name, bytes) = (name.clone(), bytes.clone());
            return blocking(move || local.put(&name, &bytes, urgency)).await;
        }
        let payload = PutPayload::from(bytes.clone());
        self.store.put_opts(&path(name), payload, PutMode::Create.into()).await?;
        Ok(())
    }

    async fn read_back(&self, name: &Name, bytes: &Bytes) -> Result<Content, Fault> {
        self.sync(name).await?;
        let object = self.store.get(&path(name)).await?;
        if object.meta.size != bytes.len() as u64 {
            return Ok(Content::Other);
        }
        let (mut chunks, mut rest) = (object.into_stream(), &bytes[..]);
        while let Some(chunk) = chunks.try_next().await? {
            match rest.split_at_checked(chunk.len()) {
                Some((put, behind)) if put == &chunk[..] => rest = behind,
                _ => return Ok(Content::Other),
            }
        }
        if rest.is_empty() {
            return Ok(Content::Same);
        }
        Err(Fault::Kind(StoreErrorKind::Unavailable, "the answer ends before the object does"))
    }

    async fn get(&self, name: &Name, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Fault> {
        let beyond = || Fault::Kind(StoreErrorKind::OutOfRange, "the object ends before a range does");
        let wanted: Vec<Range<u64>> = ranges.iter().filter(|range| range.start != range.end).cloned().collect();
        if wanted.iter().any(|range| range.start > range.end) {
            return Err(Fault::Kind(StoreErrorKind::OutOfRange, "a range ends before it begins"));
        }
        if wanted.is_empty() {
            return Ok(vec![Bytes::new(); ranges.len()]);
        }
        let path = path(name);
        // What allocates what is asked for before it looks, or has no error of its own for that, is asked for the size.
        let size = match &self.medium {
            Medium::Directory(directory) => {
                let (directory, name) = (Arc::clone(directory), name.clone());
                blocking(move || directory.size(&name)).await?
            }
            Medium::Memory => self.store.head(&path).await?.size,
            Medium::Cloud => u64::MAX,
        };
        if wanted.iter().any(|range| range.end > size) {
            return Err(beyond());
        }
        let found = if matches!(self.medium, Medium::Directory(_)) {
            self.store.get_ranges(&path, &wanted).await?
        } else {
            // A part that comes short must not reach `coalesce_ranges`: it slices without a check, and panics.
            let fetch = async |range: Range<u64>| {
                let bytes = self.store.get_range(&path, range.clone()).await?;
                if bytes.len() as u64 == range.end - range.start { Ok(bytes) } else { Err(beyond()) }
            };
            coalesce_ranges(&wanted, fetch, OBJECT_STORE_COALESCE_DEFAULT).await?
        };
        let mut found = found.into_iter();
        let part = |range: &Range<u64>| if range.is_empty() { Some(Bytes::new()) } else { found.next() };
        ranges.iter().map(part).collect::<Option<_>>().ok_or_else(beyond)
    }

    async fn list(&self, folder: Option<&Name>, after: Option<&Name>, max: usize) -> Result<Page, Fault> {
        let folder = folder.map(path);
        let mut found = match after {
            Some(after) => self.store.list_with_offset(folder.as_ref(), &path(after)),
            None => self.store.list(folder.as_ref()),
        };
        let is_sorted = !matches!(self.medium, Medium::Directory(_));
        // One more than fits says that there are more. Those of a local directory come in any order: all are read, and
        // the lowest are kept.
        let mut lowest = BTreeMap::new();
        while let Some(object) = found.next().await {
            let object = object?;
            let Ok(name) = Name::new(object.location.as_ref()) else { continue };
            lowest.insert(name, object.size);
            if lowest.len() > max.saturating_add(1) {
                lowest.pop_last();
            }
            if is_sorted && lowest.len() > max {
                break;
            }
        }
        let more = lowest.len() > max;
        let objects = lowest.into_iter().take(max).map(|(name, bytes)| Listed { name, bytes });
        Ok(Page { objects: objects.collect(), more })
    }

    /// Fails where a local directory is not the one that was opened: nothing is there, and nothing is to be written.
    async fn check_marker(&self) -> Result<(), Fault> {
        let Some(local) = self.directory() else { return Ok(()) };
        if blocking(move || Ok(local.has_marker())).await? {
            return Ok(());
        }
        Err(Fault::Kind(StoreErrorKind::Unavailable, "the directory has no marker any more: is it mounted?"))
    }

    fn directory(&self) -> Option<Arc<LocalDirectory>> {
        match &self.medium {
            Medium::Directory(directory) => Some(Arc::clone(directory)),
            Medium::Memory | Medium::Cloud => None,
        }
    }

    /// Makes an object of a local directory durable.
    async fn sync(&self, name: &Name) -> Result<(), Fault> {
        let Some(local) = self.directory() else { return Ok(()) };
        let name = name.clone();
        blocking(move || local.sync(&name)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Fault> {
    Ok(spawn_blocking(work).await.map_err(std::io::Error::other)??)
}

/// A name has no character that a path would escape.
fn path(name: &Name) -> Path {
    Path::from(name.as_str())
}
