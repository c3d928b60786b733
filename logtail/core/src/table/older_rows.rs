//! `OlderRows`: which row had the key of a row before it.

/// By row, the one with the same key before it.
///
/// In pages of rows, which are made when one of their rows gets its first: a commit that waits meanwhile waits for one
/// page, and rows whose keys are new have none.
#[derive(Debug, Default)]
pub(crate) struct OlderRows {
    pages: Vec<Option<Box<Page>>>,
    /// How many pages there are.
    made: usize,
}

/// The rows of a page. No row has the greatest number: one that stands before another is less.
type Page = [u32; PAGE_ROWS];
const PAGE_ROWS: usize = 1024;
const NONE: u32 = u32::MAX;

impl OlderRows {
    pub(crate) fn get(&self, row: u32) -> Option<u32> {
        let page = self.pages.get(row as usize / PAGE_ROWS)?.as_ref()?;
        Some(page[row as usize % PAGE_ROWS]).filter(|older| *older != NONE)
    }

    /// The row before `row` is `older`.
    pub(crate) fn set(&mut self, row: u32, older: u32) {
        let number = row as usize / PAGE_ROWS;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let made = &mut self.made;
        let page = self.pages[number].get_or_insert_with(|| {
            *made += 1;
            Box::new([NONE; PAGE_ROWS])
        });
        page[row as usize % PAGE_ROWS] = older;
    }

    /// Forgets the row before `row`, and returns it.
    pub(crate) fn remove(&mut self, row: u32) -> Option<u32> {
        let page = self.pages.get_mut(row as usize / PAGE_ROWS)?.as_mut()?;
        Some(std::mem::replace(&mut page[row as usize % PAGE_ROWS], NONE)).filter(|older| *older != NONE)
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.made * size_of::<Page>() + self.pages.capacity() * size_of::<Option<Box<Page>>>()
    }
}
