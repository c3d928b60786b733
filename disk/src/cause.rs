//! The error that another one came from.

use std::{error::Error, fmt, ops::Deref, sync::Arc};

/// The error that another one came from, shared: one failure answers every waiter, so its clones are cheap.
///
/// In a chain of [sources](std::error::Error::source) it is that error itself, to be downcast; an `Arc` would hide it.
#[derive(Debug)]
pub struct Cause<E: ?Sized>(Arc<E>);

/// Writes the text of an error that has a source; in the alternate form (`{:#}`) the texts of all its sources behind
/// it. So the plain text repeats nothing that a walk along the sources prints, and one line can still say everything.
///
/// # Errors
/// Those of the formatter.
pub fn write_error(f: &mut fmt::Formatter<'_>, text: impl fmt::Display, source: &(dyn Error + 'static)) -> fmt::Result {
    write!(f, "{text}")?;
    if !f.alternate() {
        return Ok(());
    }
    std::iter::successors(Some(source), |&error| error.source()).try_for_each(|error| write!(f, ": {error}"))
}

impl<E: Clone> Cause<E> {
    /// The error; a copy of it where others have it too.
    pub fn into_inner(self) -> E {
        Arc::unwrap_or_clone(self.0)
    }
}

impl<E: ?Sized> Deref for Cause<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.0
    }
}

impl<E: ?Sized> Clone for Cause<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: fmt::Display + ?Sized> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E> From<E> for Cause<E> {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl<E: ?Sized> From<Box<E>> for Cause<E> {
    fn from(error: Box<E>) -> Self {
        Self(error.into())
    }
}
