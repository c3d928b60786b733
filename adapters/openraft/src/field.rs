//! `Field`: encodes ids and small values that are stored beside entries.

/// A small value with a fixed encoding: an id of a node, an address.
///
/// The bytes are stored for good. Integers are little-endian, a text has its length (4 bytes) in front; a node of
/// several fields has one behind the other.
///
/// # Example
/// ```
/// use logboom_openraft::Field;
///
/// #[derive(Debug, PartialEq)]
/// struct Place {
///     host: String,
///     port: u16,
/// }
///
/// impl Field for Place {
///     fn put(&self, to: &mut Vec<u8>) {
///         self.host.put(to);
///         self.port.put(to);
///     }
///
///     fn take(from: &mut &[u8]) -> Option<Self> {
///         Some(Self { host: Field::take(from)?, port: Field::take(from)? })
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Place { host: "db1".into(), port: 7000 }.put(&mut bytes);
/// assert_eq!(Place::take(&mut &bytes[..]), Some(Place { host: "db1".into(), port: 7000 }));
/// ```
pub trait Field: Sized {
    /// Appends the value's bytes.
    fn put(&self, to: &mut Vec<u8>);

    /// Decodes a value from the front of `from` and advances it; `None` when that is not a value of this type.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl Field for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl Field for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push((*self).into());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Field for String {
    fn put(&self, to: &mut Vec<u8>) {
        put_len(self.len(), to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let len = take_len(from)?;
        let (text, rest) = from.split_at_checked(len)?;
        *from = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// A length or a number of things. Four bytes: what is stored in fields is far below 4 GiB.
pub(crate) fn put_len(len: usize, to: &mut Vec<u8>) {
    u32::try_from(len).unwrap_or(u32::MAX).put(to);
}

pub(crate) fn take_len(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::take(from)?).ok()
}

/// Decodes all of `bytes` as one value.
pub(crate) fn only<T>(mut bytes: &[u8], take: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<T> {
    take(&mut bytes).filter(|_| bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn check<T: Field + Debug + PartialEq>(value: T, bytes: &[u8]) {
        let mut put = Vec::new();
        value.put(&mut put);
        assert_eq!(put, bytes);
        assert_eq!(only(bytes, T::take).unwrap(), value);
        (0..bytes.len()).for_each(|len| assert_eq!(only(&bytes[..len], T::take), None, "{len} of {value:?}"));
    }

    #[test]
    fn the_bytes_are_for_good() {
        check(7_u8, &[7]);
        check(0x0102_0304_0506_0708_u64, &[8, 7, 6, 5, 4, 3, 2, 1]);
        check(-2_i16, &[0xfe, 0xff]);
        check(true, &[1]);
        check(String::from("ab"), &[2, 0, 0, 0, b'a', b'b']);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(bool::take(&mut &[2][..]), None);
        assert_eq!(String::take(&mut &[1, 0, 0, 0, 0xff][..]), None);
        assert_eq!(String::take(&mut &[0xff, 0xff, 0xff, 0xff, b'a'][..]), None);
    }
}
