//! Requests to a store, and their outcomes.

use std::{fmt, ops::Range};

use bytes::Bytes;

use super::{error::StoreError, name::Name};

/// The id of a request, chosen by whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a store is asked for. The [module](super) says what each is held to.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Create the object; nothing is ever put over another one.
    Put {
        /// A name that no object has had.
        name: Name,
        /// The content. It is not copied.
        bytes: Bytes,
        /// Whether anything waits for it.
        urgency: Urgency,
    },
    /// Read parts of the object.
    Get {
        /// The name.
        name: Name,
        /// Offsets in bytes, half-open; in any order, and they may overlap. Those that lie close are read together.
        ranges: Vec<Range<u64>>,
    },
    /// Read a page of names, in order.
    List {
        /// The folder whose names are wanted, at any depth; `None` for all.
        folder: Option<Name>,
        /// Begin above this name; `None` to begin with the first.
        after: Option<Name>,
        /// The most names in the page, which can have fewer though more follow. 0 counts as 1.
        max: usize,
    },
    /// Delete the object. One that is not there is deleted already.
    Delete {
        /// The name.
        name: Name,
    },
}

/// How fast an object is to be put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// As fast as it goes.
    #[default]
    Now,
    /// Beside others that use the same disk and must not wait for it, as the log does. A store behind a network makes
    /// no difference.
    Background,
}

/// What came of a request: one for each.
pub type Outcome = Result<Reply, StoreError>;

/// The success of a request, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The object is durable.
    Put,
    /// The bytes of each range, in the order of the request.
    Got(Vec<Bytes>),
    /// The names.
    Listed(Page),
    /// The object is gone.
    Deleted,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects, names ascending. Names that are not a [`Name`] are left out: no log has put them.
    pub objects: Vec<Listed>,
    /// Whether there may be more behind the last one.
    pub more: bool,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Its size.
    pub bytes: u64,
}

/// Of a put's content the size alone.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { name, bytes, .. } => write!(f, "put {name} of {} bytes", bytes.len()),
            Self::Get { name, ranges } => write!(f, "get {name} {ranges:?}"),
            Self::List { folder, after, max } => write!(f, "list {folder:?} after {after:?} max {max}"),
            Self::Delete { name } => write!(f, "delete {name}"),
        }
    }
}
