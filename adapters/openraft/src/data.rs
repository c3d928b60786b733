//! The application's data, as bytes.

use std::fmt;

use bytes::Bytes;

use crate::Failure;

/// Data of the application that entries carry: how it is stored, and read.
///
/// The log copies what [`DataCodec::into_bytes`] gives once, into the memory that the disk is written from, and
/// [`DataCodec::from_bytes`] is given a view of the log's own memory. What keeps such a view, as [`Data`] does, is
/// never copied on its way out; it also keeps the memory around it, so what is to live long is better copied.
///
/// # Example
/// ```
/// use bytes::{BufMut, Bytes, BytesMut};
/// use logboom_openraft::{DataCodec, Failure};
///
/// struct Put {
///     key: u64,
///     value: Bytes,
/// }
///
/// impl DataCodec for Put {
///     fn into_bytes(self) -> Bytes {
///         let mut bytes = BytesMut::with_capacity(8 + self.value.len());
///         bytes.put_u64_le(self.key);
///         bytes.put(self.value);
///         bytes.freeze()
///     }
///
///     fn from_bytes(bytes: Bytes) -> Result<Self, Failure> {
///         let (key, _) = bytes.split_first_chunk().ok_or("shorter than a key")?;
///         Ok(Self { key: u64::from_le_bytes(*key), value: bytes.slice(8..) }) // shares the memory
///     }
/// }
/// ```
pub trait DataCodec: Sized {
    /// The bytes to store.
    fn into_bytes(self) -> Bytes;

    /// The data that was stored as `bytes`.
    ///
    /// # Errors
    /// For bytes that are no such data. The log's own checksums have been compared: this is about what was written.
    fn from_bytes(bytes: Bytes) -> Result<Self, Failure>;
}

impl DataCodec for Bytes {
    fn into_bytes(self) -> Bytes {
        self
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, Failure> {
        Ok(bytes)
    }
}

impl DataCodec for Vec<u8> {
    fn into_bytes(self) -> Bytes {
        self.into()
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, Failure> {
        Ok(bytes.into())
    }
}

impl DataCodec for String {
    fn into_bytes(self) -> Bytes {
        self.into()
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, Failure> {
        Ok(String::from_utf8(bytes.into())?)
    }
}

/// Data that is bytes, for any version of openraft: 0.10 wants data that can be displayed, which [`Bytes`] cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Data(pub Bytes);

impl DataCodec for Data {
    fn into_bytes(self) -> Bytes {
        self.0
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, Failure> {
        Ok(Self(bytes))
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
