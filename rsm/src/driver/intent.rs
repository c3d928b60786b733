//! What a machine that keeps its own state is about to become, noted beside its log.
//!
//! Such a machine and the log cannot change in one write. Between the one and the other a crash would leave a machine
//! that is ahead of its log: the note says that the log is to follow, and how.

use logboom::Boundary;

use super::Driver;
use crate::{error::Result, machine::StateMachine};

/// The key of the shard that holds the note.
const KEY: &[u8] = b"logboom-rsm: installing";

/// The last entry that the new state stands for, and the hard state that goes with it.
#[derive(Debug, PartialEq, Eq)]
struct Intent {
    at: Boundary,
    hard_state: Option<Vec<u8>>,
}

impl<M: StateMachine> Driver<M> {
    /// Notes, durably, that the machine is about to stand for everything up to and including `at`.
    pub(super) fn note_intent(&self, at: Boundary, hard_state: Option<&[u8]>) -> Result<()> {
        let intent = Intent { at, hard_state: hard_state.map(<[u8]>::to_vec) };
        let mut batch = self.engine.batch();
        batch.put(self.shard.id(), KEY, &intent.encode())?;
        Ok(self.engine.write(batch)?)
    }

    /// Has the log follow a machine that has its new state, as its sync has returned.
    pub(super) fn fulfil_intent(&self, at: Boundary, hard_state: Option<&[u8]>) -> Result<()> {
        let mut batch = self.engine.batch();
        let shard = self.shard.id();
        batch.reset_to(shard, Some(at))?.delete(shard, KEY)?;
        if let Some(hard_state) = hard_state {
            batch.hard_state(shard, hard_state)?;
        }
        Ok(self.engine.write(batch)?)
    }

    /// Ends what a crash interrupted: `kept` is the last index that the machine has.
    pub(super) fn settle_intent(&self, kept: Option<u64>) -> Result<()> {
        let Some(note) = self.shard.get(KEY)? else { return Ok(()) };
        match Intent::decode(&note) {
            Some(intent) if kept == Some(intent.at.index) => {
                self.fulfil_intent(intent.at, intent.hard_state.as_deref())
            }
            _ => {
                let mut batch = self.engine.batch();
                batch.delete(self.shard.id(), KEY)?;
                Ok(self.engine.write(batch)?)
            }
        }
    }
}

impl Intent {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.at.index.to_le_bytes());
        bytes.extend_from_slice(&self.at.term.to_le_bytes());
        if let Some(hard_state) = &self.hard_state {
            bytes.push(1);
            bytes.extend_from_slice(hard_state);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (index, rest) = bytes.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let at = Boundary { index: u64::from_le_bytes(*index), term: u64::from_le_bytes(*term) };
        Some(Self { at, hard_state: rest.split_first().map(|(_, hard_state)| hard_state.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let at = Boundary { index: 7, term: 3 };
        for hard_state in [None, Some(vec![]), Some(b"term 3".to_vec())] {
            let intent = Intent { at, hard_state };
            assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }
        assert_eq!(Intent::decode(b"short"), None);
    }
}
