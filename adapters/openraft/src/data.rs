//! Encodings of the application's data.

use std::fmt;

use bytes::Bytes;

use crate::error::Failure;

/// Data of the application in entries, which encodes and decodes itself.
///
/// The log copies the result of [`DataCodec::into_bytes`] once, into the memory that the disk is written from, and
/// [`DataCodec::from_bytes`] gets a view of the log's memory. Data that keeps such a view, as [`Data`] does, is never
/// copied on reads, but keeps the memory around it in use: copy data that lives long.
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
///
/// Types of other crates, which cannot have this trait, are stored by a [`Codec`].
pub trait DataCodec: Sized {
    /// The bytes to store.
    fn into_bytes(self) -> Bytes;

    /// The data that was stored as `bytes`.
    ///
    /// # Errors
    /// For bytes that are not such data. The log has verified its checksums: the bytes are those that were written.
    fn from_bytes(bytes: Bytes) -> Result<Self, Failure>;
}

/// Encodes and decodes data of the type `D`, which may be of another crate: a parameter of a log store. The log stores
/// bytes without a type, so the encoding must not change while the log has any.
///
/// # Example
/// ```
/// use std::net::SocketAddr; // a type of another crate: traits of other crates are not for it
///
/// use bytes::Bytes;
/// use logboom_openraft::{Codec, Failure};
///
/// struct AsText;
///
/// impl Codec<SocketAddr> for AsText {
///     fn encode(data: SocketAddr) -> Bytes {
///         data.to_string().into()
///     }
///
///     fn decode(bytes: Bytes) -> Result<SocketAddr, Failure> {
///         Ok(std::str::from_utf8(&bytes)?.parse()?)
///     }
/// }
/// ```
/// With it, the store is a `LogStore::<Types, AsText>::with_codec(&engine, shard, options)`.
pub trait Codec<D>: 'static {
    /// The bytes to store: see [`DataCodec::into_bytes`].
    fn encode(data: D) -> Bytes;

    /// The data that was stored as `bytes`, which are a view of the log's own memory: see [`DataCodec::from_bytes`].
    ///
    /// # Errors
    /// As [`DataCodec::from_bytes`].
    fn decode(bytes: Bytes) -> Result<D, Failure>;
}

/// The codec of data that is a [`DataCodec`] itself: the default of a log store.
#[derive(Clone, Copy, Debug)]
pub struct OwnCodec;

impl<D: DataCodec> Codec<D> for OwnCodec {
    fn encode(data: D) -> Bytes {
        data.into_bytes()
    }

    fn decode(bytes: Bytes) -> Result<D, Failure> {
        D::from_bytes(bytes)
    }
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

/// Data that is bytes, for any version of openraft: 0.10 requires `Display`, which [`Bytes`] does not have.
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
