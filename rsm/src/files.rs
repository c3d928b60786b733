//! `Files`: separate files that a machine adds to its snapshot.

use std::{
    fmt,
    io::{self, Read},
};

use logboom::snapshot;

/// The files that a machine adds to a snapshot, beside the state that it writes: immutable parts of a database, say.
///
/// They are copied behind the state, in the order in which they were added, and must not change until then.
#[derive(Default)]
pub struct Files {
    files: Vec<(String, Box<dyn Read + Send>)>,
}

impl Files {
    /// Adds a file under a name of one or several parts, as [`snapshot::check_name`] allows. The file holds the bytes
    /// that `contents` yields up to its end.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is not allowed, or was given before.
    pub fn add(&mut self, name: &str, contents: impl Read + Send + 'static) -> io::Result<()> {
        snapshot::check_name(name)?;
        if self.files.iter().any(|(other, _)| other == name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a second file named {name:?}")));
        }
        self.files.push((name.into(), Box::new(contents)));
        Ok(())
    }

    pub(crate) fn into_inner(self) -> Vec<(String, Box<dyn Read + Send>)> {
        self.files
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_and_differ() {
        let mut files = Files::default();
        files.add("a/b", io::empty()).unwrap();
        for bad in ["../a", "/a", "", "a/b"] {
            assert_eq!(files.add(bad, io::empty()).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
        assert_eq!(format!("{files:?}"), r#"["a/b"]"#);
    }
}
