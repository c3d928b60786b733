//! Runs every decoder of the log on arbitrary bytes, and on bytes with a correct checksum.

use logboom_disk::{Pool, Slice};

use super::{Input, Meter, PAD};
use crate::{
    format::{
        framing::Framing,
        group::{GROUP_HEADER, GroupHeader, encode_table, put_u32, table_bytes, verify_table},
        record::{RECORD_HEADER, Record, seeded_crc, u32_at},
    },
    scan::walk::raw_headers,
    segments::{
        identity::Identity,
        segment::{encode_header, verify_header},
    },
};

const SEED: u32 = 7;
const FRAMING: Framing = Framing { pad: PAD, seed: SEED };

/// Decodes `bytes` as each structure of the log that has a checksum; the first byte says whether to recompute that.
///
/// A decoded structure must lie within the bytes, and be equal after it is encoded and decoded again.
pub fn record_decode(bytes: &[u8], meter: Meter<'_>) {
    let mut input = Input::new(bytes);
    let forged = input.byte().is_multiple_of(2);
    let bytes = input.rest();
    let before = meter();
    if let Some(record) = record(bytes, forged) {
        assert!(record.body().len() + RECORD_HEADER <= bytes.len());
    }
    let records = raw_headers(bytes).map(|(at, raw)| (at, raw.body_len()));
    records.for_each(|(at, len)| assert!(at + RECORD_HEADER + len <= bytes.len()));
    group(bytes, forged);
    table(bytes, forged);
    segment(bytes, forged);
    let allocated = meter() - before;
    assert!(allocated <= 16 * bytes.len() as u64 + (64 << 10), "{allocated} allocated for {}", bytes.len());
}

/// The record at the start of `bytes`; with `forged`, its checksums are recomputed first.
pub fn record(bytes: &[u8], forged: bool) -> Option<Record> {
    let mut bytes = bytes.to_vec();
    if forged && bytes.len() >= RECORD_HEADER {
        let end = RECORD_HEADER.checked_add(u32_at(&bytes, 52) as usize)?;
        if let Some(body) = bytes.get(RECORD_HEADER..end) {
            let crc = crc32fast::hash(body);
            put_u32(&mut bytes, 4, crc);
        }
        put_crc(&mut bytes[..RECORD_HEADER]);
    }
    Record::verify(&Slice::copy_from(&Pool::new(0), &bytes), SEED)
}

fn put_crc(bytes: &mut [u8]) {
    let crc = seeded_crc(&bytes[4..], SEED);
    put_u32(bytes, 0, crc);
}

/// `len` bytes of the input, padded with zeros, with a magic word and a correct checksum.
fn sealed_copy(bytes: &[u8], len: usize, magic: &[u8; 4], forged: bool) -> Vec<u8> {
    let mut copy = bytes[..len.min(bytes.len())].to_vec();
    copy.resize(len, 0);
    if forged {
        copy[4..8].copy_from_slice(magic);
        put_crc(&mut copy);
    }
    copy
}

fn group(bytes: &[u8], forged: bool) {
    let bytes = sealed_copy(bytes, GROUP_HEADER, b"LBGR", forged);
    let Some((header, crc)) = GroupHeader::verify(&bytes, FRAMING) else { return };
    assert_eq!(crc, u32_at(&bytes, 0));
    assert!(header.shape.records_end() <= header.shape.len());
    let mut again = vec![0; GROUP_HEADER];
    let crc = header.encode(&mut again, SEED);
    assert_eq!(GroupHeader::verify(&again, FRAMING), Some((header, crc)));
}

fn table(bytes: &[u8], forged: bool) {
    let rows = bytes.get(16..20).map_or(0, |_| u32_at(bytes, 16));
    // Without a whole table there is nothing to checksum.
    let len = table_bytes(rows).min(bytes.len().max(table_bytes(0)));
    let bytes = sealed_copy(bytes, len, b"LBDT", forged);
    let Some((group, rows)) = verify_table(&bytes, SEED) else { return };
    assert!(table_bytes(rows.len() as u32) <= bytes.len());
    let mut again = vec![0; bytes.len()];
    encode_table(&mut again, group, &rows, SEED);
    assert_eq!(verify_table(&again, SEED), Some((group, rows)));
}

fn segment(bytes: &[u8], forged: bool) {
    let bytes = sealed_copy(bytes, 64, b"LBSG", forged);
    let Some(life) = verify_header(&bytes, FRAMING) else { return };
    let mut again = vec![0; PAD];
    let identity = Identity::with_seed(SEED, 1 << 20, PAD).unwrap();
    encode_header(&mut again, &life, &identity);
    assert_eq!(verify_header(&again, FRAMING), Some(life));
}
