//! The object that says whose a store is.

use std::fmt::Write as _;

use super::name::Name;

/// The object `LOGBOOM`: the identity of the log whose objects lie in a store, created with the first opening. Another
/// log is refused, as the two would delete each other's objects.
///
/// Two lines of text: the format, and the identity in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    identity: Vec<u8>,
}

/// The store is not this log's, or that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkerError {
    /// The identity is empty, or longer than [`Marker::IDENTITY_MAX`].
    #[error("an identity of {bytes} bytes: 1 to {} are allowed", Marker::IDENTITY_MAX)]
    Identity {
        /// Its size.
        bytes: usize,
    },
    /// The store has the objects of another log.
    #[error("the store is of the log {found}, not of {expected}")]
    Foreign {
        /// The identity in the store, in hex.
        found: String,
        /// That of the log that opens it, in hex.
        expected: String,
    },
    /// The object is not a marker.
    #[error("the object {} is not a marker", Marker::NAME)]
    Malformed,
    /// A newer version wrote the marker.
    #[error("the store has format version {found}, this version reads up to {}", Marker::VERSION)]
    NewerFormat {
        /// The version that it states.
        found: u32,
    },
}

const FIRST_LINE: &str = "logboom objects ";

impl Marker {
    /// The name of the object, in the store's root.
    pub const NAME: &str = "LOGBOOM";
    /// The newest version of the format of markers and of names.
    pub const VERSION: u32 = 1;
    /// The most bytes of an identity.
    pub const IDENTITY_MAX: usize = 64;
    /// More bytes than a marker has: what to read of the object at most.
    pub const BYTES_MAX: usize = 256;

    /// The marker of the log with this identity.
    ///
    /// # Errors
    /// [`MarkerError::Identity`] for a size that is not allowed.
    pub fn new(identity: &[u8]) -> Result<Self, MarkerError> {
        if !(1..=Self::IDENTITY_MAX).contains(&identity.len()) {
            return Err(MarkerError::Identity { bytes: identity.len() });
        }
        Ok(Self { identity: identity.to_vec() })
    }

    /// The name of the object.
    #[expect(clippy::expect_used, reason = "a constant")]
    pub fn name() -> Name {
        Name::new(Self::NAME).expect("the name of the marker is a name")
    }

    /// The content of the object.
    pub fn encode(&self) -> Vec<u8> {
        format!("{FIRST_LINE}{}\n{}\n", Self::VERSION, hex(&self.identity)).into_bytes()
    }

    /// The marker of an object's content.
    ///
    /// # Errors
    /// [`MarkerError::NewerFormat`] and [`MarkerError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MarkerError> {
        let malformed = MarkerError::Malformed;
        let text = str::from_utf8(bytes).map_err(|_| malformed.clone())?;
        let (version, rest) =
            text.strip_prefix(FIRST_LINE).and_then(|text| text.split_once('\n')).ok_or(malformed.clone())?;
        let version: u32 = version.parse().map_err(|_| malformed.clone())?;
        if version > Self::VERSION {
            return Err(MarkerError::NewerFormat { found: version });
        }
        let identity = rest.strip_suffix('\n').and_then(unhex).ok_or(malformed.clone())?;
        let marker = Self::new(&identity).map_err(|_| malformed.clone())?;
        // One marker has one text: a put that is repeated finds the same content.
        if marker.encode() == bytes { Ok(marker) } else { Err(malformed) }
    }

    /// Checks what a store has against this log's.
    ///
    /// # Errors
    /// [`MarkerError::Foreign`] where the identities differ, and those of [`Marker::decode`].
    pub fn check(&self, found: &[u8]) -> Result<(), MarkerError> {
        let found = Self::decode(found)?;
        if found == *self {
            return Ok(());
        }
        Err(MarkerError::Foreign { found: hex(&found.identity), expected: hex(&self.identity) })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_two_lines() {
        let marker = Marker::new(&[0x00, 0x1f, 0xe0]).unwrap();
        assert_eq!(marker.encode(), b"logboom objects 1\n001fe0\n");
        assert_eq!(Marker::decode(&marker.encode()), Ok(marker.clone()));
        assert_eq!(marker.check(&marker.encode()), Ok(()));
        let longest = Marker::new(&[7; Marker::IDENTITY_MAX]).unwrap();
        assert!(longest.encode().len() < Marker::BYTES_MAX);
    }

    #[test]
    fn another_logs_marker_is_named() {
        let other = Marker::new(&[0xab]).unwrap();
        let error = Marker::new(&[0xcd]).unwrap().check(&other.encode());
        assert_eq!(error, Err(MarkerError::Foreign { found: "ab".into(), expected: "cd".into() }));
    }

    #[test]
    fn what_is_not_a_marker_is_refused() {
        for bytes in [
            &b""[..],
            b"logboom objects 1\n",
            b"logboom objects 1\n\n",
            b"logboom objects 1\nab",
            b"logboom objects 1\nabc\n",
            b"logboom objects 1\nAB\n",
            b"logboom objects 01\nab\n",
            b"logboom objects 1\nab\n\n",
            b"logboom objects 1\nxy\n",
            b"logboom objects 1\n\xff\xff\n",
        ] {
            assert_eq!(Marker::decode(bytes), Err(MarkerError::Malformed), "{bytes:?}");
        }
        assert_eq!(Marker::decode(b"logboom objects 2\nwhatever"), Err(MarkerError::NewerFormat { found: 2 }));
        assert_eq!(Marker::new(&[]), Err(MarkerError::Identity { bytes: 0 }));
        assert_eq!(Marker::new(&[0; 65]), Err(MarkerError::Identity { bytes: 65 }));
    }
}
