//! The durable bytes of a file, shared by all copies of the disk until one of them changes them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// What is shared and copied as one, in bytes.
pub(super) const PAGE: usize = 4096;

type Bytes = [u8; PAGE];

static ZEROS: Bytes = [0; PAGE];

/// Pages that are found and copied together, so that a change after a copy costs neither all pages of a large file nor
/// a search among them.
const GROUP: usize = 64;

type Group = [Option<Page>; GROUP];

/// Bytes without an end: what was never written is zero, and takes no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    groups: Arc<BTreeMap<u64, Arc<Group>>>,
}

#[derive(Clone, Debug)]
struct Page {
    now: Arc<Bytes>,
    /// What it was before the last write to it, for reads that are stale; all zero if `None`.
    before: Option<Arc<Bytes>>,
}

impl Pages {
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        self.fill(offset, out, |page| Some(&page.now));
    }

    /// Fills `out` with what each page held before the last write to it.
    pub(super) fn read_before(&self, offset: u64, out: &mut [u8]) {
        self.fill(offset, out, |page| page.before.as_ref());
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, in_page, in_bytes) in pieces(offset, bytes.len()) {
            let piece = &bytes[in_bytes];
            if *piece == ZEROS[..piece.len()] && self.page(number).is_none() {
                continue;
            }
            let page = self.page_mut(number);
            let before = page.take().map(|page| page.now);
            let now = overlaid(before.as_ref(), in_page, piece);
            *page = Some(Page { now, before });
        }
    }

    /// Forgets what lies beyond `size`: it reads as zeros when the file has grown again.
    pub(super) fn truncate(&mut self, size: u64) {
        let (first, start) = split(size);
        let beyond: Vec<u64> = self.written_from(first).collect();
        for number in beyond {
            match self.page_mut(number) {
                Some(page) if number == first => Arc::make_mut(&mut page.now)[start..].fill(0),
                page => *page = None,
            }
        }
    }

    /// The numbers of the pages that were ever written with anything but zeros.
    pub(super) fn written(&self) -> impl Iterator<Item = u64> {
        self.written_from(0)
    }

    fn written_from(&self, first: u64) -> impl Iterator<Item = u64> {
        let groups = self.groups.range(grouped(first).0..);
        let pages = groups.flat_map(|(group, pages)| (*group * GROUP as u64..).zip(pages.iter()));
        pages.filter(move |(number, page)| *number >= first && page.is_some()).map(|(number, _)| number)
    }

    fn fill(&self, offset: u64, out: &mut [u8], choose: impl Fn(&Page) -> Option<&Arc<Bytes>>) {
        for (number, in_page, in_out) in pieces(offset, out.len()) {
            match self.page(number).and_then(&choose) {
                Some(bytes) => out[in_out].copy_from_slice(&bytes[in_page]),
                None => out[in_out].fill(0),
            }
        }
    }

    fn page(&self, number: u64) -> Option<&Page> {
        let (group, at) = grouped(number);
        self.groups.get(&group).and_then(|pages| pages[at].as_ref())
    }

    fn page_mut(&mut self, number: u64) -> &mut Option<Page> {
        let (group, at) = grouped(number);
        let none = || Arc::new([const { None }; GROUP]);
        let pages = Arc::make_mut(&mut self.groups).entry(group).or_insert_with(none);
        &mut Arc::make_mut(pages)[at]
    }
}

/// A page with `piece` at `range`, and what it held before elsewhere.
fn overlaid(before: Option<&Arc<Bytes>>, range: Range<usize>, piece: &[u8]) -> Arc<Bytes> {
    if let Ok(whole) = <&Bytes>::try_from(piece) {
        return Arc::new(*whole);
    }
    let mut now = before.map_or_else(|| Arc::new(ZEROS), Arc::clone);
    Arc::make_mut(&mut now)[range].copy_from_slice(piece);
    now
}

/// The pages of a range: the number of each, the part of it, and which part of the range that is.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (number, start) = split(offset + done as u64);
        let piece = (PAGE - start).min(len - done);
        done += piece;
        (piece > 0).then(|| (number, start..start + piece, done - piece..done))
    })
}

/// The number of a page's group, and where in it the page is.
fn grouped(number: u64) -> (u64, usize) {
    let pages = GROUP as u64;
    (number / pages, usize::try_from(number % pages).unwrap_or(0))
}

/// The number of the page that holds a byte, and where in it.
fn split(offset: u64) -> (u64, usize) {
    let page = PAGE as u64;
    (offset / page, usize::try_from(offset % page).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pages: &Pages, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0xEE; len];
        pages.read(offset, &mut out);
        out
    }

    #[test]
    fn copies_part_when_one_is_written() {
        let mut pages = Pages::default();
        pages.write(4000, &[7; 9000]);
        let copy = pages.clone();
        pages.write(4096, &[8; 4096]);
        assert_eq!(read(&pages, 4095, 3), [7, 8, 8]);
        assert_eq!(read(&copy, 4095, 3), [7, 7, 7]);
        assert_eq!(read(&copy, 3999, 2), [0, 7]);
        assert_eq!(read(&copy, 12_999, 2), [7, 0]);
    }

    #[test]
    fn a_page_remembers_what_it_was() {
        let mut pages = Pages::default();
        pages.write(0, &[1; PAGE]);
        pages.write(0, &[2; PAGE]);
        pages.write(0, &[3; 512]);
        let mut out = [0; PAGE];
        pages.read_before(0, &mut out);
        assert!(out.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn what_was_cut_off_is_zero_afterwards_and_zeros_take_no_memory() {
        let mut pages = Pages::default();
        pages.write(0, &[1; 3 * PAGE]);
        pages.truncate(5000);
        assert_eq!(read(&pages, 4999, 2), [1, 0]);
        assert_eq!(read(&pages, 8191, 2), [0, 0]);
        pages.write(1 << 40, &[0; 2 * PAGE]);
        assert_eq!(pages.written().collect::<Vec<_>>(), [0, 1]);
    }
}
