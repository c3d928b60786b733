//! Checks names of a snapshot's files, which come from a user or a network and may be exported to a file system.

use crate::error::{Error, Result};

/// The longest name of a file of a snapshot, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// The longest part of a name between slashes, in bytes: the limit of file systems.
const PART_BYTES_MAX: usize = 255;

/// Refuses a name that would leave the directory to which a snapshot is exported.
///
/// A name is one or several parts separated by `/`. A part is not empty, not `.`, not `..`, at most 255 bytes, and
/// without control characters, `\` and `:`, which lead elsewhere on some systems.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<()> {
    match fault(name) {
        Some(reason) => Err(Error::Name { name: name.into(), reason }),
        None => Ok(()),
    }
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("is too long");
    }
    if name.starts_with('/') {
        return Some("is absolute");
    }
    name.split('/').find_map(|part| match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("leads out of the snapshot"),
        part if part.len() > PART_BYTES_MAX => Some("has a part that is too long"),
        part if part.contains(|c: char| c.is_control() || c == '\\' || c == ':') => {
            Some("has a character that names must not have")
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within() {
        for good in ["state", "a/b/c", "...", "a..b", "..a", "sst/000001.sst", "caf\u{e9}", " "] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        let (long, longer) = ("x".repeat(PART_BYTES_MAX + 1), "x/".repeat(NAME_BYTES_MAX / 2) + "x");
        assert!(check_name(&long[1..]).is_ok() && check_name(&longer[2..]).is_ok());
        assert_eq!((long.len(), longer.len()), (256, 1025));
        let bad = ["", "/", "/etc/passwd", "..", "a/..", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb", "c:", "..\\a"];
        for bad in bad.into_iter().chain([long.as_str(), longer.as_str()]) {
            assert!(matches!(check_name(bad), Err(Error::Name { .. })), "{bad:?}");
        }
    }
}
