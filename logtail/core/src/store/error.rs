//! The errors of a store, by what is decided on them.

use std::{error::Error, fmt, sync::Arc};

use crate::cause::write_error;

use super::{name::Name, request::Request};

/// A request, or an attempt at one, that failed: what was asked for, of which object, what is wrong, and the error of
/// the store below.
///
/// `{}` leaves that error out, so that code which walks along the [sources](Error::source) prints nothing twice; `{:#}`
/// prints all of it in one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreError {
    /// What was asked for.
    pub operation: Operation,
    /// The object; of a listing the folder, `None` for all.
    pub name: Option<Name>,
    /// What is wrong.
    pub kind: StoreErrorKind,
    /// What the store said.
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the kinds of a request")]
pub enum Operation {
    Put,
    Get,
    List,
    Delete,
}

/// What is wrong, by what is to be done.
///
/// *retry*: the same request may succeed later; the queue tries it again, and it is an outcome only where
/// [patience](super::RetryPolicy::patience) has an end. *caller*: the same request fails again.
///
/// | kind | what it is | what to do |
/// |---|---|---|
/// | `NotFound` | caller | the object was deleted, or its put never landed; of an object that a record names, damage |
/// | `AlreadyExists` | retry | of an attempt only: the name is taken, or another put of it is in flight; read it back |
/// | `Foreign` | caller | another writer uses the same names: find out which |
/// | `OutOfRange` | caller | of an object that a record names, damage: it is shorter than it was |
/// | `Denied` | retry | give the process the right |
/// | `CredentialsExpired` | retry | renew them, or see to the clock |
/// | `Throttled` | retry | nothing, or ask for fewer at a time |
/// | `Unavailable` | retry | see to the store and the network; a put may have landed |
/// | `Io` | retry | see to the disk of a local store: full, read-only, failing; a put may have landed |
/// | `Unsupported` | caller | use a store that can create a name only where it is absent |
/// | `ReadOnly` | caller | open the store for writing |
/// | `Closed` | caller | open the store again; a put may have landed |
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No object has the name.
    #[error("there is no such object")]
    NotFound,
    /// The store refused to create the name; nothing is known of its content.
    #[error("the name is taken, or about to be")]
    AlreadyExists,
    /// The name has other content than was put.
    #[error("another writer has created it with other content")]
    Foreign,
    /// The object ends before the range, or fewer bytes came than it has.
    #[error("it has no such bytes")]
    OutOfRange,
    /// The store does not allow it.
    #[error("access is denied")]
    Denied,
    /// The store does not take the credentials any more, or does not know them.
    #[error("the credentials have expired or are unknown")]
    CredentialsExpired,
    /// The store wants fewer requests.
    #[error("the store asks for fewer requests")]
    Throttled,
    /// The store did not answer, answered with an internal error, or could not be reached.
    #[error("the store is not available")]
    Unavailable,
    /// The file system of a local store failed.
    #[error("the file system failed")]
    Io,
    /// The store lacks what the request needs.
    #[error("the store cannot do it")]
    Unsupported,
    /// The store was opened for reading.
    #[error("the store is open for reading")]
    ReadOnly,
    /// The store was closed before there was an answer.
    #[error("the store was closed")]
    Closed,
}

impl StoreErrorKind {
    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::AlreadyExists
            | Self::Denied
            | Self::CredentialsExpired
            | Self::Throttled
            | Self::Unavailable
            | Self::Io => true,
            Self::NotFound | Self::Foreign | Self::OutOfRange | Self::Unsupported | Self::ReadOnly | Self::Closed => {
                false
            }
        }
    }

    /// Whether a put that failed so may have landed, or may land later. A hint that saves sending the bytes again;
    /// that a put is never doubled does not depend on it.
    pub fn may_have_landed(self) -> bool {
        matches!(self, Self::AlreadyExists | Self::Foreign | Self::Unavailable | Self::Io | Self::Closed)
    }
}

impl StoreError {
    /// An error of `request`.
    pub fn new(request: &Request, kind: StoreErrorKind) -> Self {
        let (operation, name) = match request {
            Request::Put { name, .. } => (Operation::Put, Some(name)),
            Request::Get { name, .. } => (Operation::Get, Some(name)),
            Request::List { folder, .. } => (Operation::List, folder.as_ref()),
            Request::Delete { name } => (Operation::Delete, Some(name)),
        };
        Self { operation, name: name.cloned(), kind, cause: None }
    }

    /// The error, and what it came from.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause: &(dyn Error + 'static) = self.cause.as_deref()?;
        Some(cause)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source();
        match &self.name {
            Some(name) => write_error(f, format_args!("{} {name}: {}", self.operation, self.kind), source),
            None => write_error(f, format_args!("{}: {}", self.operation, self.kind), source),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_object_and_in_its_long_form_the_cause() {
        let request = Request::Delete { name: Name::new("t1/a").unwrap() };
        let error = StoreError::new(&request, StoreErrorKind::Denied).because("403 AccessDenied");
        assert_eq!(error.to_string(), "delete t1/a: access is denied");
        assert_eq!(format!("{error:#}"), "delete t1/a: access is denied: 403 AccessDenied");
        let list = Request::List { folder: None, after: None, max: 1 };
        assert_eq!(
            StoreError::new(&list, StoreErrorKind::Throttled).to_string(),
            "list: the store asks for fewer requests"
        );
    }
}
