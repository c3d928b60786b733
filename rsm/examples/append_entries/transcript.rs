//! What was done, line by line, as it was done.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A transcript that many write to. Clones write to the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    /// Adds what `who` does with, or in, `part`.
    pub(crate) fn line(&self, who: &str, part: &str, what: impl fmt::Display) {
        let line = format!("{who:<9} {part:<8} {what}");
        self.push(line.trim_end());
    }

    /// Adds a heading.
    pub(crate) fn heading(&self, heading: impl fmt::Display) {
        self.push(&format!("-- {heading}"));
    }

    /// What was written so far; begins anew.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }
}
