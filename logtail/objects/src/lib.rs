//! Object storage for the log tail: carries out the requests of
//! [`logboom_logtail_core::store`], which also states what a store is held to.
//!
//! [`Objects::open`] takes a directory or a URL. Requests are [submitted](Objects::submit) from any thread, and each is
//! answered once, by a callback on the thread of the store. That thread alone runs an async runtime.
//!
//! | location | what it is | feature |
//! |---|---|---|
//! | a path, `file:///path` | a local directory | |
//! | `memory:` | memory, empty at each opening: for tests | |
//! | `s3://bucket/folder` | Amazon S3 and stores like it | `s3` |
//! | `gs://bucket/folder` | Google Cloud Storage | `gcs` |
//! | `az://container/folder` | Azure Blob Storage | `azure` |
//!
//! A store has to create a name only where it is absent (`If-None-Match: *` in S3); one that does not is refused at
//! opening. A process needs the rights to read, create, list and delete below its folder. Without that to list, S3
//! answers for an absent name that access is denied, and no put whose answer was lost can be settled.
//!
//! # A local directory
//!
//! A put is durable when it succeeds: the file is written under another name and synced, gets its name by a hard link,
//! and the directory is synced; folders are created and synced before the first file is in them. So a crash leaves a
//! name with all of its content, or none. Directories are created for the owner alone (mode 0700). Deletes are not
//! synced. A file system without hard links cannot be used.
//!
//! A directory whose marker is gone, as that of a file system that is not mounted, is
//! [`Unavailable`](logboom_logtail_core::store::StoreErrorKind::Unavailable): its objects are not lost, and nothing is
//! written below the mount point.

#![forbid(unsafe_code)]

mod backend;
mod claim;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod cloud;
mod driver;
mod error;
mod fault;
mod local;
mod location;
mod objects;
mod options;

pub use error::OpenError;
pub use objects::Objects;
pub use options::{Access, Options};
