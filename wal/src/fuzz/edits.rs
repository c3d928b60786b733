//! Edits of a directory's bytes, as damage makes them.

use std::ops::Range;

use super::{Image, Input, PAD, checksums::structures};
use crate::format::group::{put_u32, put_u64};

/// The most edits of one input: with more it would be harder to see which one matters.
const EDITS_MAX: usize = 48;

/// The largest file that an edit makes, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Names that a log uses, and similar ones.
const NAMES: [&str; 12] = [
    "LOCK",
    "LOGBOOM",
    "LOGBOOM.new",
    "checkpoint-0",
    "checkpoint-1",
    "prefill-000003",
    "segment-000000",
    "segment-000009",
    "segment-+00001",
    "segment-0000001",
    "segment-4294967295",
    "segment-99999999999",
];

/// Edits `image` as `input` says, to its end. Takes blocks from `older`, the directory at an earlier time. Returns
/// whether checksums were recomputed: the log may hold any records then.
pub fn edit(image: &mut Image, older: &Image, input: &mut Input<'_>) -> bool {
    let mut forged = false;
    for _ in 0..EDITS_MAX {
        if input.is_empty() || image.files.is_empty() {
            break;
        }
        match input.byte() % 12 {
            0 => overwrite(image, input),
            1 => change(image, input, |bytes, input| bytes[0] ^= 1 << (input.byte() % 8)),
            2 => change(image, input, |bytes, input| put_u32(bytes, 0, input.number() as u32)),
            3 => change(image, input, |bytes, input| put_u64(bytes, 0, input.number())),
            4 => change(image, input, |bytes, input| bytes[0] = bytes[0].wrapping_add(input.byte())),
            5 => copy_blocks(image, input),
            6 => zero_blocks(image, input),
            7 => splice(image, older, input),
            8 => resize(image, input),
            9 => remove(image, input),
            10 => copy_file(image, input),
            _ => {
                image.fix_checksums();
                forged = true;
            }
        }
    }
    forged
}

fn name(image: &Image, input: &mut Input<'_>) -> String {
    let nth = usize::from(input.byte()) % image.files.len();
    image.files.keys().nth(nth).cloned().unwrap_or_default()
}

/// The bytes of a file, and a place near the start of a structure with a checksum.
fn place<'m>(image: &'m mut Image, input: &mut Input<'_>) -> (&'m mut Vec<u8>, usize) {
    let name = name(image, input);
    let bytes = image.files.entry(name).or_default();
    let structures = structures(bytes);
    let base = structures.get(input.below(structures.len() + 1)).copied().unwrap_or(0);
    let at = base + input.below(2 * PAD);
    (bytes, at)
}

fn change(image: &mut Image, input: &mut Input<'_>, change: impl FnOnce(&mut [u8], &mut Input<'_>)) {
    let (bytes, at) = place(image, input);
    if let Some(bytes) = bytes.get_mut(at..at + 8) {
        change(bytes, input);
    }
}

fn overwrite(image: &mut Image, input: &mut Input<'_>) {
    let (bytes, at) = place(image, input);
    let len = usize::from(input.byte() % 64);
    let new = input.bytes(len);
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}

/// A range of the blocks of a file.
fn blocks(len: usize, input: &mut Input<'_>) -> Range<usize> {
    let from = input.below(len / PAD);
    let to = from + 1 + usize::from(input.byte() % 32);
    from * PAD..(to * PAD).min(len)
}

/// Copies blocks over other blocks: a misplaced write, or a stale read.
fn copy_blocks(image: &mut Image, input: &mut Input<'_>) {
    let from = name(image, input);
    let Some(source) = image.files.get(&from) else { return };
    let copy = source[blocks(source.len(), input)].to_vec();
    let to = name(image, input);
    let Some(target) = image.files.get_mut(&to) else { return };
    let at = input.below(target.len() / PAD) * PAD;
    if let Some(target) = target.get_mut(at..at + copy.len()) {
        target.copy_from_slice(&copy);
    }
}

fn zero_blocks(image: &mut Image, input: &mut Input<'_>) {
    let name = name(image, input);
    let Some(bytes) = image.files.get_mut(&name) else { return };
    let range = blocks(bytes.len(), input);
    bytes[range].fill(0);
}

/// Restores earlier blocks of the same place: writes that never reached the device.
fn splice(image: &mut Image, older: &Image, input: &mut Input<'_>) {
    let name = name(image, input);
    let (Some(old), Some(new)) = (older.files.get(&name), image.files.get_mut(&name)) else { return };
    let range = blocks(old.len(), input);
    if let (Some(old), Some(new)) = (old.get(range.clone()), new.get_mut(range)) {
        new.copy_from_slice(old);
    }
}

fn resize(image: &mut Image, input: &mut Input<'_>) {
    let name = name(image, input);
    let Some(bytes) = image.files.get_mut(&name) else { return };
    let len = usize::from(input.short()) * (PAD / 2) + usize::from(input.byte() % 4);
    bytes.resize(len.min(FILE_BYTES_MAX), 0);
}

fn remove(image: &mut Image, input: &mut Input<'_>) {
    let name = name(image, input);
    image.files.remove(&name);
}

fn copy_file(image: &mut Image, input: &mut Input<'_>) {
    let from = name(image, input);
    let Some(bytes) = image.files.get(&from).cloned() else { return };
    let to = NAMES[usize::from(input.byte()) % NAMES.len()];
    image.files.insert(to.to_owned(), bytes);
}
