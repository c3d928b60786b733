//! The encoding of entries for a peer that joins. The receiver does not trust the bytes.
//!
//! All numbers are little-endian.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | `LBPK` |
//! | 4 | 4 | the version of this format, 1 |
//! | 8 | 8 | the index of the first entry |
//! | 16 | 4 | the number of entries |
//! | 20 | 4 | CRC-32 (IEEE) of everything before and behind this field |
//! | 24 | | the entries |
//!
//! An entry is its term (8), the bytes of its payload (4) and of its context (2), its kind (1), context, payload.

use logboom::{CONTEXT_BYTES_MAX, Entry};

use super::{Error, LogEntry, Result};

const MAGIC: [u8; 4] = *b"LBPK";
const VERSION: u32 = 1;
/// Where the checksum lies.
const SUM: usize = 20;
const HEADER: usize = 24;
const ENTRY_HEADER: usize = 15;

/// Packs entries, of which the first has index `first`.
///
/// # Errors
/// [`Error::Unreadable`] for entries that no log of the engine holds.
pub(super) fn encode(first: u64, entries: &[LogEntry]) -> Result<Vec<u8>> {
    let bytes = entries.iter().map(|entry| ENTRY_HEADER + entry.context.len() + entry.payload.len()).sum::<usize>();
    let mut pack = Vec::with_capacity(HEADER + bytes);
    pack.extend_from_slice(&MAGIC);
    pack.extend_from_slice(&VERSION.to_le_bytes());
    pack.extend_from_slice(&first.to_le_bytes());
    pack.extend_from_slice(&narrow::<u32>(entries.len())?.to_le_bytes());
    pack.extend_from_slice(&[0; 4]);
    for entry in entries {
        pack.extend_from_slice(&entry.term.to_le_bytes());
        pack.extend_from_slice(&narrow::<u32>(entry.payload.len())?.to_le_bytes());
        pack.extend_from_slice(&narrow::<u16>(entry.context.len())?.to_le_bytes());
        pack.push(entry.kind);
        pack.extend_from_slice(&entry.context);
        pack.extend_from_slice(&entry.payload);
    }
    let sum = checksum(&pack).to_le_bytes();
    pack[SUM..HEADER].copy_from_slice(&sum);
    Ok(pack)
}

/// The entries of a pack, which must have been made for `first` and be whole.
///
/// # Errors
/// [`Error::Pack`].
pub(super) fn decode(first: u64, pack: &[u8]) -> Result<Vec<Entry<'_>>> {
    let mut rest = Cursor(pack);
    if rest.take::<4>()? != MAGIC {
        return Err(Error::pack("it does not begin like one"));
    }
    let version = u32::from_le_bytes(rest.take()?);
    if version != VERSION {
        return Err(Error::pack(format!("its format has version {version}, this one reads {VERSION}")));
    }
    let stated = u64::from_le_bytes(rest.take()?);
    let count = u32::from_le_bytes(rest.take()?);
    if u32::from_le_bytes(rest.take()?) != checksum(pack) {
        return Err(Error::pack("the checksum does not match"));
    }
    if stated != first {
        return Err(Error::pack(format!("it begins at {stated}, and not at {first}")));
    }
    if first == 0 || first.checked_add(u64::from(count)).is_none() {
        return Err(Error::pack("an index of it is none"));
    }
    // Memory is allocated for the entries that are there, not for the stated count.
    let mut entries = Vec::with_capacity((count as usize).min(rest.0.len() / ENTRY_HEADER));
    for at in 0..u64::from(count) {
        entries.push(rest.entry(first + at)?);
    }
    match rest.0 {
        [] => Ok(entries),
        more => Err(Error::pack(format!("{} bytes follow its last entry", more.len()))),
    }
}

/// The checksum of everything but the checksum field; of all bytes if the pack is too short to have one.
fn checksum(pack: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(pack.get(..SUM).unwrap_or(pack));
    hasher.update(pack.get(HEADER..).unwrap_or_default());
    hasher.finalize()
}

fn narrow<N: TryFrom<usize>>(number: usize) -> Result<N> {
    N::try_from(number).map_err(|_| Error::unreadable("an entry, or their number, is too large for a pack"))
}

/// Bytes that are left to be read.
struct Cursor<'p>(&'p [u8]);

impl<'p> Cursor<'p> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn slice(&mut self, len: usize) -> Result<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn entry(&mut self, index: u64) -> Result<Entry<'p>> {
        let term = u64::from_le_bytes(self.take()?);
        let payload_len = u32::from_le_bytes(self.take()?) as usize;
        let context_len = usize::from(u16::from_le_bytes(self.take()?));
        const { assert!(u16::MAX as usize <= CONTEXT_BYTES_MAX, "a context that fits here fits the log") };
        let [kind] = self.take()?;
        let context = self.slice(context_len)?;
        let payload = self.slice(payload_len)?;
        Ok(Entry { index, term, kind, context, payload: payload.into() })
    }
}

fn short() -> Error {
    Error::pack("it ends too early")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entries() -> Vec<LogEntry> {
        let entry = |term, kind, context: &'static str, payload: &'static str| LogEntry {
            term,
            kind,
            context: Bytes::from_static(context.as_bytes()),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        vec![entry(1, 0, "", "first"), entry(1, 7, "at noon", ""), entry(3, 255, "", "third")]
    }

    /// Its checksum made to match, whatever else is wrong.
    fn sealed(mut pack: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&pack).to_le_bytes();
        pack[SUM..HEADER].copy_from_slice(&sum);
        pack
    }

    fn refusal(first: u64, pack: &[u8]) -> String {
        decode(first, pack).unwrap_err().to_string()
    }

    #[test]
    fn what_is_packed_comes_out() {
        let pack = encode(9, &entries()).unwrap();
        let out = decode(9, &pack).unwrap();
        assert_eq!(out.iter().map(|entry| entry.index).collect::<Vec<_>>(), [9, 10, 11]);
        for (seen, expected) in out.iter().zip(&entries()) {
            assert_eq!((seen.term, seen.kind, seen.context), (expected.term, expected.kind, &expected.context[..]));
            assert_eq!(seen.payload.as_bytes(), expected.payload);
        }
        assert!(decode(4, &encode(4, &[]).unwrap()).unwrap().is_empty());
    }

    /// The format is what the table says: a peer of another build reads it.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let pack = encode(2, &entries()[..1]).unwrap();
        let mut expected = b"LBPK\x01\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0".to_vec();
        expected.extend_from_slice(&0x2B02_6CEB_u32.to_le_bytes());
        expected.extend_from_slice(b"\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0first");
        assert_eq!(pack, expected);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let pack = encode(9, &entries()).unwrap();
        for bit in 0..pack.len() * 8 {
            let mut damaged = pack.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(9, &damaged).is_err(), "bit {bit}");
        }
        for len in 0..pack.len() {
            assert!(decode(9, &pack[..len]).is_err(), "cut to {len}");
        }
    }

    /// A peer that computes its checksums and means harm.
    #[test]
    fn what_a_checksum_does_not_find_is_refused() {
        let pack = encode(9, &entries()).unwrap();
        assert_eq!(refusal(8, &pack), "not a pack of these entries: it begins at 9, and not at 8");
        let with = |at: usize, bytes: &[u8]| {
            let mut pack = pack.clone();
            pack[at..at + bytes.len()].copy_from_slice(bytes);
            sealed(pack)
        };
        assert!(refusal(9, &with(4, &[2])).contains("version 2"));
        assert!(refusal(9, &with(16, &[0xFF; 4])).contains("too early"), "more entries than bytes");
        assert!(refusal(9, &with(16, &[2])).contains("bytes follow"));
        assert!(refusal(9, &with(HEADER + 8, &[0xFF; 4])).contains("too early"), "a payload without end");
        assert!(refusal(u64::MAX, &with(8, &[0xFF; 8])).contains("an index of it"));
        assert!(refusal(0, &with(8, &[0])).contains("an index of it"));
        let mut longer = pack.clone();
        longer.push(0);
        assert!(refusal(9, &sealed(longer)).contains("1 bytes follow"));
    }

    /// Whatever the bytes are, with a checksum that matches: entries whose sizes add up, or an error.
    #[test]
    fn no_bytes_cause_a_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        let good = encode(9, &entries()).unwrap();
        let mut taken = 0;
        for _ in 0..20_000 {
            let mut pack = good.clone();
            for _ in 0..random.u8(1..4) {
                let at = random.usize(8..pack.len());
                pack[at] = if random.bool() { random.u8(..) } else { [0, 1, 0x7F, 0xFF][random.usize(0..4)] };
            }
            if random.u8(..4) == 0 {
                pack.truncate(random.usize(HEADER..=pack.len()));
            }
            let first = random.choice([9, 0, u64::MAX]).unwrap_or(9);
            if let Ok(entries) = decode(first, &sealed(pack.clone())) {
                let bytes = entries.iter().map(|entry| entry.context.len() + entry.payload.as_bytes().len());
                assert_eq!(HEADER + entries.len() * ENTRY_HEADER + bytes.sum::<usize>(), pack.len());
                taken += 1;
            }
        }
        assert!(taken > 100, "{taken}");
    }
}
