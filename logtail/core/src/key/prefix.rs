//! `prefix`: the first bytes of a key as a number.

/// The first eight bytes of a key, zeros behind its end: where those of two keys differ, they are in the order of the
/// keys.
#[expect(clippy::big_endian_bytes, reason = "bytes compare from the first to the last")]
pub(crate) fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(bytes.len());
    bytes[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(bytes)
}
