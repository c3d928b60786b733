//! Names in a store.

use std::{fmt, str::FromStr, sync::Arc};

/// A name in a store: folders and a last part with slashes between, `t7/_delta_log/00000000000000000012.json`.
///
/// A part is 1 to [`Name::PART_MAX`] bytes of ASCII letters, digits, `.`, `_`, `-` and `=`, and neither `.` nor `..`;
/// a name has up to [`Name::MAX`] bytes. All stores and file systems take such names as they are: none has to be
/// escaped, none leaves its folder, and none is what a local directory uses for a file that is being written. Names
/// compare by their bytes, which is the order of listings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The text is not a name of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be the name of an object")]
pub struct NotAName {
    /// The text.
    pub text: String,
}

impl Name {
    /// The most bytes of a name. Stores take 1024; the rest is for the folder that a log has in its bucket.
    pub const MAX: usize = 512;
    /// The most bytes of a part. File systems take 255; the rest is for the suffix of a file that is being written.
    pub const PART_MAX: usize = 200;

    /// The name.
    ///
    /// # Errors
    /// [`NotAName`] where the text breaks one of the rules above.
    pub fn new(text: &str) -> Result<Self, NotAName> {
        if text.len() > Self::MAX || !text.split('/').all(is_part) {
            return Err(NotAName { text: text.to_owned() });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name lies in `folder`, at any depth: `t1/a` is in `t1`, `t10/a` and `t1` are not.
    pub fn is_in(&self, folder: &Name) -> bool {
        self.0.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn is_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
    (1..=Name::PART_MAX).contains(&part.len()) && part.bytes().all(is_plain) && part != "." && part != ".."
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_text() {
        for text in ["LOGBOOM", "t7/_delta_log/0012.json", "t1/day=3/x-1.parquet", "..a", "-"] {
            assert_eq!(Name::new(text).unwrap().as_str(), text);
        }
        assert!(Name::new(&"a".repeat(Name::PART_MAX)).is_ok());
    }

    #[test]
    fn what_a_store_would_escape_or_lose_is_refused() {
        let long = ["a".repeat(Name::PART_MAX + 1), "a/".repeat(Name::MAX / 2) + "a"];
        let long = long.iter().map(String::as_str);
        for text in ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a#1", "a b", "a%20", "a\\b", "\u{e4}", "a:"]
            .into_iter()
            .chain(long)
        {
            assert_eq!(Name::new(text), Err(NotAName { text: text.into() }));
        }
    }

    #[test]
    fn a_folder_holds_what_is_below_it() {
        let name = |text| Name::new(text).unwrap();
        assert!(name("t1/a").is_in(&name("t1")) && name("t1/a/b").is_in(&name("t1")));
        assert!(!name("t10/a").is_in(&name("t1")) && !name("t1").is_in(&name("t1")));
    }
}
