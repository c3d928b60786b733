//! Attempts at a request, which a driver carries out.

use bytes::Bytes;

use super::{
    error::{StoreError, StoreErrorKind},
    name::Name,
    request::{Reply, Request, Urgency},
};

/// One attempt at a request: what a driver asks the store for, once.
///
/// A put creates the name or fails, whatever it holds: a store that cannot do so is answered for with
/// [`StoreErrorKind::Unsupported`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// Try the request.
    Request(Request),
    /// Compare the object with what was put. What is found must be durable before the answer says so: a local
    /// directory is synced first.
    ReadBack {
        /// The name.
        name: Name,
        /// What was put.
        bytes: Bytes,
    },
}

/// What a driver says of an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The request succeeded.
    Reply(Reply),
    /// The object was compared.
    ReadBack(Content),
    /// The attempt failed, or nothing is known of it.
    Failed(StoreError),
}

/// What a name holds, beside what was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The name has no object.
    Absent,
    /// The same bytes.
    Same,
    /// Other bytes.
    Other,
}

impl Content {
    /// Compares the bytes that were put with those that were found.
    pub fn of(put: &[u8], found: Option<&[u8]>) -> Self {
        match found {
            None => Self::Absent,
            Some(found) if found == put => Self::Same,
            Some(_) => Self::Other,
        }
    }
}

impl Attempt {
    /// The error of this attempt.
    pub fn error(&self, kind: StoreErrorKind) -> StoreError {
        match self {
            Self::Request(request) => StoreError::new(request, kind),
            Self::ReadBack { name, .. } => {
                StoreError::new(&Request::Put { name: name.clone(), bytes: Bytes::new(), urgency: Urgency::Now }, kind)
            }
        }
    }

    /// [`Answer::Failed`] with the error of this attempt.
    pub fn failed(&self, kind: StoreErrorKind) -> Answer {
        Answer::Failed(self.error(kind))
    }
}
