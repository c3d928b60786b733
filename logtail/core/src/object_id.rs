//! The id of an object of a store.

use std::{fmt, str::FromStr};

/// An object: the nonce of the writer's opening that named it, and the number that it had there.
///
/// Each opening of a writer draws a nonce and counts from zero, so an id is given once: a directory that was cloned or
/// restored from a backup is opened with another nonce, and its writer never names an object of the first one's.
///
/// As text both are 16 digits in lowercase hex, `8f3c2a0d91b4e657-00000000000000a4`, in which the objects of an opening
/// sort by number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct ObjectId {
    /// Drawn by the opening.
    pub nonce: u64,
    /// Counted by the opening, from 0.
    pub number: u64,
}

/// The text is not the id of an object: two numbers of 16 digits in lowercase hex, with a hyphen between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object's id: 16 digits in lowercase hex, a hyphen, 16 digits")]
pub struct NotAnObjectId;

/// The digits of each number.
const DIGITS: usize = 16;

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}-{:0DIGITS$x}", self.nonce, self.number)
    }
}

impl FromStr for ObjectId {
    type Err = NotAnObjectId;

    /// Takes what [`fmt::Display`] writes and nothing else, so that one id has one text.
    fn from_str(text: &str) -> Result<Self, NotAnObjectId> {
        let (nonce, number) = text.split_once('-').ok_or(NotAnObjectId)?;
        Ok(Self { nonce: digits(nonce)?, number: digits(number)? })
    }
}

fn digits(text: &str) -> Result<u64, NotAnObjectId> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != DIGITS || !text.bytes().all(is_digit) {
        return Err(NotAnObjectId);
    }
    u64::from_str_radix(text, 16).map_err(|_| NotAnObjectId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_text() {
        let id = ObjectId { nonce: 0x8f3c_2a0d_91b4_e657, number: 164 };
        assert_eq!(id.to_string(), "8f3c2a0d91b4e657-00000000000000a4");
        assert_eq!(id.to_string().parse(), Ok(id));
        let last = ObjectId { nonce: u64::MAX, number: u64::MAX };
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn another_text_is_not_an_id() {
        for text in [
            "",
            "-",
            "8f3c2a0d91b4e65700000000000000a4",
            "8F3C2A0D91B4E657-00000000000000a4",
            "8f3c2a0d91b4e657-a4",
            "8f3c2a0d91b4e657-+0000000000000a4",
            "8f3c2a0d91b4e657-00000000000000a4-",
            "8f3c2a0d91b4e657-00000000000000a4.parquet",
            "8f3c2a0d91b4e657-00000000000000\u{e4}",
        ] {
            assert_eq!(text.parse::<ObjectId>(), Err(NotAnObjectId), "{text}");
        }
    }
}
