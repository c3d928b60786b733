//! A durable note of the state that an on-disk machine is about to install.
//!
//! The machine and the log cannot change in one write: a crash between the two would leave a machine ahead of its log.
//! The note says how the log has to follow.

use logboom::EntryId;

use super::Driver;
use crate::{error::Result, machine::StateMachine};

/// The key of the shard that holds the note.
const KEY: &[u8] = b"logboom-rsm: installing";

/// The last entry of the new state, and its hard state.
#[derive(Debug, PartialEq, Eq)]
struct Intent {
    at: EntryId,
    hard_state: Option<Vec<u8>>,
}

impl<M: StateMachine> Driver<M> {
    /// Records durably that the machine is about to include everything up to and including `at`.
    pub(super) fn note_intent(&self, at: EntryId, hard_state: Option<&[u8]>) -> Result<()> {
        let intent = Intent { at, hard_state: hard_state.map(<[u8]>::to_vec) };
        let mut batch = self.engine.batch();
        batch.put(self.shard.id(), KEY, &intent.encode())?;
        Ok(self.engine.write(batch)?)
    }

    /// Resets the log to follow a machine whose new state is synced.
    pub(super) fn fulfil_intent(&self, at: EntryId, hard_state: Option<&[u8]>) -> Result<()> {
        let mut batch = self.engine.batch();
        let shard = self.shard.id();
        batch.reset_to(shard, Some(at))?.delete(shard, KEY)?;
        if let Some(hard_state) = hard_state {
            batch.hard_state(shard, hard_state)?;
        }
        Ok(self.engine.write(batch)?)
    }

    /// Finishes an interrupted installation: `kept` is the machine's last index.
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
        let at = EntryId { index: u64::from_le_bytes(*index), term: u64::from_le_bytes(*term) };
        Some(Self { at, hard_state: rest.split_first().map(|(_, hard_state)| hard_state.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let at = EntryId { index: 7, term: 3 };
        for hard_state in [None, Some(vec![]), Some(b"term 3".to_vec())] {
            let intent = Intent { at, hard_state };
            assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }
        assert_eq!(Intent::decode(b"short"), None);
    }
}
