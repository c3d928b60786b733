//! The texts of errors that have a source.

use std::{error::Error, fmt};

/// Writes the text of an error that has a source; in the alternate form (`{:#}`) the texts of all its sources behind
/// it. So the plain text repeats nothing that a walk along the sources prints, and one line can still say everything.
///
/// # Errors
/// Those of the formatter.
pub fn write_error(
    f: &mut fmt::Formatter<'_>,
    text: impl fmt::Display,
    source: Option<&(dyn Error + 'static)>,
) -> fmt::Result {
    write!(f, "{text}")?;
    if !f.alternate() {
        return Ok(());
    }
    std::iter::successors(source, |&error| error.source()).try_for_each(|error| write!(f, ": {error}"))
}
