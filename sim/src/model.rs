//! The model: the state of the shards after each operation, in memory and without any of the engine's code.

use std::{collections::BTreeMap, rc::Rc};

use logboom::{EntryId, EntryRef};

/// All shards. Those that were never touched may be absent.
pub(crate) type Models = BTreeMap<u64, Rc<Model>>;

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// The entry before the first one, if it is known.
    pub(crate) boundary: Option<EntryId>,
    /// The index of the first entry, or of the next one of an empty log behind its boundary.
    pub(crate) first: u64,
    /// The entries from `first` on.
    pub(crate) entries: Vec<Written>,
    /// The bytes that the caller keeps for the shard.
    pub(crate) hard_state: Option<Vec<u8>>,
    /// Like `hard_state`, but it may be written lazily.
    pub(crate) commit_hint: Option<Vec<u8>>,
    /// Keys and values.
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The registered snapshots, oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A snapshot that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Its last index and the term of that, by which snapshots are ordered.
    pub(crate) order: (u64, u64),
    /// Its id in the engine.
    pub(crate) id: u64,
    /// The number in its file's name.
    pub(crate) file: u64,
    /// The tag that its bytes are derived from.
    pub(crate) tag: u64,
}

impl Model {
    /// Makes a snapshot the newest one, of which `kept` stay.
    pub(crate) fn register(&mut self, snapshot: Snapshot, kept: usize) {
        self.snapshots.push(snapshot);
        let too_many = self.snapshots.len().saturating_sub(kept);
        self.snapshots.drain(..too_many);
    }

    /// The index that an append would have.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether the log may begin at any index.
    pub(crate) fn is_vacant(&self) -> bool {
        self.entries.is_empty() && self.boundary.is_none()
    }

    /// The entry at an index.
    pub(crate) fn entry(&self, index: u64) -> Option<&Written> {
        self.entries.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Drops the entries from `next` on.
    pub(crate) fn truncate(&mut self, next: u64) {
        self.entries.truncate(usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX));
        if self.is_vacant() {
            self.first = 0;
        }
    }

    /// Drops the entries up to and including `index`, which becomes the boundary.
    pub(crate) fn compact(&mut self, index: u64) {
        let Some(entry) = self.entry(index) else { return };
        self.boundary = Some(EntryId { index, term: entry.term });
        let gone = usize::try_from(index - self.first + 1).unwrap_or(usize::MAX);
        self.entries.drain(..gone.min(self.entries.len()));
        self.first = index + 1;
    }

    /// Adds entries, of which the first has the index `first`.
    pub(crate) fn append(&mut self, first: u64, entries: &[Written]) {
        if self.is_vacant() {
            self.first = first;
        }
        self.entries.extend_from_slice(entries);
    }

    /// Empties the log, which goes on behind `boundary`.
    pub(crate) fn reset(&mut self, boundary: Option<EntryId>) {
        self.boundary = boundary;
        self.first = boundary.map_or(0, |boundary| boundary.index + 1);
        self.entries.clear();
    }
}

/// An entry that was written. Its bytes are derived from its tag, which is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The term.
    pub(crate) term: u64,
    /// The kind.
    pub(crate) kind: u8,
    /// The length of the context.
    pub(crate) context_len: u8,
    /// The length of the payload.
    pub(crate) len: u32,
    /// A unique number that its bytes are derived from.
    pub(crate) tag: u64,
}

/// Contexts are parts of this.
static CONTEXTS: [u8; 512] = contexts();

impl Written {
    /// The context.
    pub(crate) fn context(&self) -> &'static [u8] {
        let at = usize::from(self.tag.to_le_bytes()[0]);
        &CONTEXTS[at..at + usize::from(self.context_len)]
    }

    /// The payload: every eight bytes of it tell where they belong.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let len = self.len as usize;
        let mut payload = Vec::with_capacity(len + 8);
        let mut word = self.tag.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while payload.len() < len {
            payload.extend_from_slice(&word.to_le_bytes());
            word = word.wrapping_add(0xd134_2543_de82_ef95);
        }
        payload.truncate(len);
        payload
    }

    /// Whether the engine's entry is this one.
    pub(crate) fn is(&self, entry: &EntryRef<'_>) -> bool {
        (entry.term, entry.kind) == (self.term, self.kind)
            && entry.context == self.context()
            && entry.payload == self.payload()
    }
}

const fn contexts() -> [u8; 512] {
    let mut bytes = [0; 512];
    let mut at = 0;
    let mut byte = 0u8;
    while at < bytes.len() {
        byte = byte.wrapping_mul(5).wrapping_add(17);
        bytes[at] = byte;
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(term: u64) -> Written {
        Written { term, kind: 0, context_len: 3, len: 21, tag: term }
    }

    #[test]
    fn a_shard_follows_the_rules() {
        let mut model = Model::default();
        model.append(5, &[written(1), written(2), written(3)]);
        assert_eq!((model.first, model.next()), (5, 8));
        model.compact(6);
        assert_eq!((model.first, model.boundary), (7, Some(EntryId { index: 6, term: 2 })));
        model.truncate(7);
        assert_eq!((model.first, model.next(), model.is_vacant()), (7, 7, false));
        model.reset(None);
        model.append(90, &[written(4)]);
        assert_eq!((model.first, model.entry(90).map(|entry| entry.term)), (90, Some(4)));
        model.truncate(90);
        assert_eq!((model.first, model.is_vacant()), (0, true));
    }

    #[test]
    fn payloads_differ_in_every_word() {
        let (one, other) = (written(1).payload(), written(2).payload());
        assert_eq!(one.len(), 21);
        assert!(one.chunks(8).zip(other.chunks(8)).all(|(one, other)| one != other));
    }
}
