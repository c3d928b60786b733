//! Encoded keys of many rows.

use super::error::KeyError;

/// Keys by the number of their row, in one piece of memory.
///
/// A key takes its bytes, and 4 more where keys differ in length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Ends,
}

/// No keys, of different lengths.
impl Default for Keys {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Where keys end in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ends {
    /// All are of this width, which is not 0.
    Every(usize),
    At(Vec<u32>),
}

impl Keys {
    /// No keys; `width` is that of each, `None` where they differ.
    pub(super) fn new(width: Option<usize>) -> Self {
        Self { bytes: Vec::new(), ends: width.map_or(Ends::At(Vec::new()), Ends::Every) }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        match &self.ends {
            Ends::Every(width) => self.bytes.len() / width,
            Ends::At(ends) => ends.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The key of row `row`, from 0; `None` past the last one.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let (start, end) = match &self.ends {
            Ends::Every(width) => (row.checked_mul(*width)?, row.checked_add(1)?.checked_mul(*width)?),
            Ends::At(ends) => {
                let start = row.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
                (start as usize, *ends.get(row)? as usize)
            }
        };
        self.bytes.get(start..end)
    }

    /// Drops the keys from row `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        let bytes = match &mut self.ends {
            Ends::Every(width) => rows.saturating_mul(*width),
            Ends::At(ends) => {
                ends.truncate(rows);
                ends.last().map_or(0, |end| *end as usize)
            }
        };
        self.bytes.truncate(bytes);
    }

    /// Takes memory for about as many keys as `other` has.
    pub(crate) fn reserve_like(&mut self, other: &Self) {
        self.bytes.reserve(other.bytes.len() + other.bytes.len() / 16);
        if let (Ends::At(ends), Ends::At(other)) = (&mut self.ends, &other.ends) {
            ends.reserve(other.len() + other.len() / 16);
        }
    }

    /// Gives back the memory that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        if let Ends::At(ends) = &mut self.ends {
            ends.shrink_to_fit();
        }
    }

    /// The keys in the order of their rows.
    pub fn iter(&self) -> Iter<'_> {
        Iter { keys: self, next: 0 }
    }

    /// The bytes of memory that are held, those not used yet included.
    pub fn allocated_bytes(&self) -> usize {
        let ends = match &self.ends {
            Ends::Every(_) => 0,
            Ends::At(ends) => ends.capacity() * size_of::<u32>(),
        };
        self.bytes.capacity() + ends
    }

    /// Appends `rows` keys of `width`, each as `put` appends it to the bytes; all of them or none.
    pub(super) fn append(
        &mut self,
        width: Option<usize>,
        rows: usize,
        put: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<(), KeyError> {
        match (&mut self.ends, width) {
            (Ends::Every(own), Some(width)) if *own == width => {
                self.bytes.reserve(rows.saturating_mul(width));
                (0..rows).for_each(|row| put(row, &mut self.bytes));
                Ok(())
            }
            (Ends::At(ends), None) => append_varied(&mut self.bytes, ends, rows, put),
            _ => Err(KeyError::OtherWidth),
        }
    }
}

/// The most bytes of keys that differ in length: what their ends reach. Small in tests of this file.
const VARIED_BYTES_MAX: usize = if cfg!(test) { 64 } else { u32::MAX as usize };

fn append_varied(
    bytes: &mut Vec<u8>,
    ends: &mut Vec<u32>,
    rows: usize,
    put: impl Fn(usize, &mut Vec<u8>),
) -> Result<(), KeyError> {
    let before = (bytes.len(), ends.len());
    ends.reserve(rows);
    for row in 0..rows {
        put(row, bytes);
        let end = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= VARIED_BYTES_MAX);
        let Some(end) = end else {
            bytes.truncate(before.0);
            ends.truncate(before.1);
            return Err(KeyError::Full);
        };
        ends.push(end);
    }
    Ok(())
}

impl<'a> IntoIterator for &'a Keys {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The keys of [`Keys`], in the order of their rows.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    keys: &'a Keys,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let key = self.keys.get(self.next)?;
        self.next += 1;
        Some(key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.keys.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_have_no_room_leave_the_others_alone() {
        let mut keys = Keys::new(None);
        keys.append(None, 2, |row, bytes| bytes.resize(bytes.len() + 20 + row, 7)).unwrap();
        let before = keys.clone();
        let put = |_, bytes: &mut Vec<u8>| bytes.resize(bytes.len() + 20, 8);
        assert_eq!(keys.append(None, 2, put), Err(KeyError::Full));
        assert_eq!(keys, before);
        assert_eq!(keys.append(None, 1, put), Ok(()));
        assert_eq!((keys.len(), keys.get(2)), (3, Some([8; 20].as_slice())));
    }
}
