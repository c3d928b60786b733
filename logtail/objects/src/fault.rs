//! The faults of attempts, classed by what is decided on them.

use std::{error::Error, io};

use logboom_logtail_core::store::{Attempt, Request, StoreError, StoreErrorKind};

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store said so.
    Store(object_store::Error),
    /// The file system said so, beside the store.
    Io(io::Error),
    /// It was found here.
    Kind(StoreErrorKind, &'static str),
}

/// The most bytes of a store's text in an error: proxies answer with whole pages.
const TEXT_MAX: usize = 600;

impl Fault {
    /// Whether it says that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, object_store::Error::NotFound { .. }),
            Self::Io(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Kind(..) => false,
        }
    }

    /// The error of the attempt.
    pub(crate) fn of(self, attempt: &Attempt, is_local: bool) -> StoreError {
        // A put that finds nothing lacks its folder, or the file that was to get the name: it is made again.
        let adapted = |kind| match (attempt, kind) {
            (Attempt::Request(Request::Put { .. }), StoreErrorKind::NotFound) => StoreErrorKind::Unavailable,
            _ => kind,
        };
        match self {
            Self::Store(error) => {
                let text = one_line(&error.to_string());
                attempt.error(adapted(kind(&error, &text, is_local))).because(text)
            }
            Self::Io(error) => attempt.error(adapted(kind_of_io(&error))).because(error),
            Self::Kind(kind, text) => attempt.error(kind).because(text),
        }
    }
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn kind(error: &object_store::Error, text: &str, is_local: bool) -> StoreErrorKind {
    use object_store::Error as Store;
    match error {
        // A bucket that is missing says nothing of the object.
        Store::NotFound { .. } if code(text).is_some_and(is_of_the_bucket) => StoreErrorKind::Unavailable,
        Store::NotFound { .. } => StoreErrorKind::NotFound,
        Store::AlreadyExists { .. } | Store::Precondition { .. } => StoreErrorKind::AlreadyExists,
        Store::PermissionDenied { .. } if code(text).is_some_and(is_of_credentials) => {
            StoreErrorKind::CredentialsExpired
        }
        Store::PermissionDenied { .. } => StoreErrorKind::Denied,
        Store::Unauthenticated { .. } => StoreErrorKind::CredentialsExpired,
        Store::NotImplemented { .. } | Store::NotSupported { .. } => StoreErrorKind::Unsupported,
        _ if is_local => io_error(error).map_or(StoreErrorKind::Io, kind_of_io),
        _ => kind_of_response(text),
    }
}

fn kind_of_io(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => StoreErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => StoreErrorKind::Denied,
        io::ErrorKind::AlreadyExists => StoreErrorKind::AlreadyExists,
        _ => StoreErrorKind::Io,
    }
}

/// The kind of an error that has no variant of its own. `object_store` keeps the type that has status and body to
/// itself, so both are read from its text.
fn kind_of_response(text: &str) -> StoreErrorKind {
    match (status(text), code(text)) {
        (_, Some(code)) if is_of_credentials(code) => StoreErrorKind::CredentialsExpired,
        (Some(429 | 503), _) | (_, Some("SlowDown")) => StoreErrorKind::Throttled,
        (Some(416), _) => StoreErrorKind::OutOfRange,
        (Some(501), _) => StoreErrorKind::Unsupported,
        _ => StoreErrorKind::Unavailable,
    }
}

/// Codes of S3 and its like for credentials that are not valid now, whatever status they come with.
fn is_of_credentials(code: &str) -> bool {
    ["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed"]
        .contains(&code)
        || ["InvalidAccessKeyId", "RequestExpired", "AuthenticationFailed"].contains(&code)
}

fn is_of_the_bucket(code: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "ResourceNotFound"].contains(&code)
}

/// The status of an HTTP answer.
fn status(text: &str) -> Option<u16> {
    text.split_once("non-2xx status code: ")?.1.get(..3)?.parse().ok()
}

/// The code in the XML of an answer.
fn code(text: &str) -> Option<&str> {
    Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0)
}

fn io_error(error: &object_store::Error) -> Option<&io::Error> {
    let error: &(dyn Error + 'static) = error;
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// The text without line breaks, cut to [`TEXT_MAX`].
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = (0..=TEXT_MAX.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
    line.truncate(end.unwrap_or_default());
    line
}
