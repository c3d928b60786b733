//! Bounds of keys in metadata, cut to a length.

/// The longest bound that metadata keep, in bytes. A table may have keys of any length, its metadata may not.
pub const BOUND_BYTES_MAX: usize = 64;

/// The first `max` bytes of `key`: never above `key`, nor above any key that is above `key`.
pub fn cut_lower(key: &[u8], max: usize) -> &[u8] {
    key.get(..max).unwrap_or(key)
}

/// The lowest bytes, `max` of them at most, that are not below `key`: `key` itself where it is short enough. `None`
/// where there are none, as of a key that begins with `max` bytes `FF`: no bound.
pub fn cut_upper(key: &[u8], max: usize) -> Option<Vec<u8>> {
    if key.len() <= max {
        return Some(key.to_vec());
    }
    let prefix = cut_lower(key, max);
    let raised = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut bound = prefix.get(..=raised)?.to_vec();
    *bound.last_mut()? += 1;
    Some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_its_own_bounds() {
        assert_eq!(cut_lower(b"abc", 3), b"abc");
        assert_eq!(cut_upper(b"abc", 3).unwrap(), b"abc");
        assert_eq!(cut_upper(b"", 0).unwrap(), b"");
    }

    #[test]
    fn a_long_key_is_cut_down_and_up() {
        assert_eq!(cut_lower(b"abcd", 3), b"abc");
        assert_eq!(cut_upper(b"abcd", 3).unwrap(), b"abd");
        assert_eq!(cut_upper(b"a\xff\xffd", 3).unwrap(), b"b");
        assert_eq!(cut_upper(b"\xff\xff\xff\x00", 3), None);
        assert_eq!(cut_upper(b"a", 0), None);
    }

    #[test]
    fn bounds_hold_the_key_and_are_the_closest() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut bytes = |max| (0..rng.usize(..=max)).map(|_| *rng.choice(&[0, 1, 254, 255]).unwrap()).collect();
            let (key, other): (Vec<u8>, Vec<u8>) = (bytes(5), bytes(3));
            let max = rng.usize(..=4);
            let lower = cut_lower(&key, max);
            assert!(lower <= key.as_slice() && lower.len() <= max);
            match cut_upper(&key, max) {
                Some(upper) => {
                    assert!(upper >= key && upper.len() <= max, "{key:?} {max} {upper:?}");
                    assert!(other.len() > max || other < key || other >= upper, "{key:?} {max} {upper:?} {other:?}");
                }
                None => assert!(other.len() > max || other < key, "{key:?} {max} {other:?}"),
            }
        }
    }
}
