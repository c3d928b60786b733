//! The content of a snapshot's files, derived from the snapshot's unique tag.

use std::io::Read;

use logboom::snapshot::{Error, Lease};

use crate::model::Written;

/// Some snapshots have a file that takes several blocks; most are as small as they get.
const LARGE_EVERY: u64 = 61;
const LARGE_BYTES: u64 = 600_000;

/// The name of the `nth` file.
pub(crate) fn name(nth: u64) -> String {
    if nth == 0 { "state".to_owned() } else { format!("tables/{nth:06}") }
}

/// The number of files.
pub(crate) fn files(tag: u64) -> u64 {
    1 + tag % 3
}

/// Whether a file takes several blocks.
pub(crate) fn is_large(tag: u64) -> bool {
    tag.is_multiple_of(LARGE_EVERY)
}

/// The bytes of the `nth` file, of which there may be none.
pub(crate) fn bytes(tag: u64, nth: u64) -> Vec<u8> {
    let tag = tag << 2 | nth;
    let len = match tag % 5 {
        _ if nth == 0 && is_large(tag >> 2) => LARGE_BYTES + tag % 1000,
        0 => 0,
        1 => 5000 + tag % 4000,
        _ => tag % 700,
    };
    let noise = Written { term: 0, kind: 0, context_len: 0, len: u32::try_from(len).unwrap_or_default(), tag };
    let mut bytes = noise.payload();
    if tag % 7 < 3 {
        // Something that shrinks when it is compressed.
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u64 / 900 + tag).to_le_bytes()[0]);
    }
    bytes
}

/// The first difference between the snapshot and what was built; `None` if there is none.
///
/// # Errors
/// The error of the read.
pub(crate) fn difference(lease: &Lease, tag: u64) -> Result<Option<String>, Error> {
    let manifest = lease.manifest();
    let told = (&manifest.membership[..], &manifest.metadata[..], manifest.files.len() as u64);
    let expected = (&tag.to_le_bytes()[..], &(!tag).to_le_bytes()[..], files(tag));
    if told != expected {
        return Ok(Some(format!("its manifest says {told:?} instead of {expected:?}")));
    }
    for nth in 0..files(tag) {
        let mut found = Vec::new();
        if let Err(error) = lease.open(&name(nth))?.read_to_end(&mut found) {
            let source = error.get_ref().and_then(|source| source.downcast_ref::<Error>());
            return source.map_or_else(|| Ok(Some(format!("{error:#}"))), |source| Err(source.clone()));
        }
        if found != bytes(tag, nth) {
            return Ok(Some(format!("its file {} of {} bytes is not what was written", name(nth), found.len())));
        }
    }
    Ok(None)
}
