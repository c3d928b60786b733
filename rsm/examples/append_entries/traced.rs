//! A log that says what is written to it.

use std::ops::Range;

use bytes::Bytes;
use logboom::EntryId;
use logboom_rsm::log_store::{Compacted, LogEntry, LogStore, Notice, Result, ServerState, ShardLog, StateStore};

use super::transcript::Transcript;

/// A log, and who has it.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) log: ShardLog,
    pub(crate) owner: &'static str,
    pub(crate) transcript: Transcript,
}

impl Traced {
    fn note(&self, what: String) {
        self.transcript.line(self.owner, "log", what);
    }
}

impl LogStore for Traced {
    fn next_slot(&self) -> u64 {
        self.log.next_slot()
    }

    fn start_index(&self) -> u64 {
        self.log.start_index()
    }

    fn last_entry(&self) -> Result<LogEntry> {
        self.log.last_entry()
    }

    fn last_id(&self) -> Result<EntryId> {
        self.log.last_id()
    }

    fn append(&self, entry: LogEntry) -> Result<u64> {
        let term = entry.term;
        let index = self.log.append(entry)?;
        self.note(format!("append -> {index} of term {term}"));
        Ok(index)
    }

    fn write_at(&self, index: u64, entry: LogEntry) -> Result<()> {
        self.note(format!("write_at {index} of term {}", entry.term));
        self.log.write_at(index, entry)
    }

    fn end_of_append_batch(&self, start: u64, count: u64) -> Result<()> {
        self.log.end_of_append_batch(start, count)?;
        self.note(format!("end_of_append_batch {start}, {count}; durable is {}", self.last_durable_index()));
        Ok(())
    }

    fn last_durable_index(&self) -> u64 {
        self.log.last_durable_index()
    }

    fn on_append_completion(&self, notice: Notice) {
        self.log.on_append_completion(notice);
    }

    fn flush(&self) -> Result<()> {
        self.note("flush".into());
        self.log.flush()
    }

    fn log_entries_ext(&self, range: Range<u64>, hint_bytes: i64) -> Result<Option<Vec<LogEntry>>> {
        self.log.log_entries_ext(range, hint_bytes)
    }

    fn entry_at(&self, index: u64) -> Result<Option<LogEntry>> {
        self.log.entry_at(index)
    }

    fn term_at(&self, index: u64) -> Result<u64> {
        self.log.term_at(index)
    }

    fn pack(&self, index: u64, count: u64) -> Result<Option<Bytes>> {
        self.note(format!("pack {index}, {count}"));
        self.log.pack(index, count)
    }

    fn apply_pack(&self, index: u64, pack: &[u8]) -> Result<()> {
        self.log.apply_pack(index, pack)?;
        self.note(format!("apply_pack {index}; next is {}", self.next_slot()));
        Ok(())
    }

    fn compact(&self, index: u64) -> Result<()> {
        self.note(format!("compact {index}"));
        self.log.compact(index)
    }

    fn compact_async(&self, index: u64, done: Compacted) {
        self.note(format!("compact_async {index}"));
        self.log.compact_async(index, done);
    }

    fn install(&self, at: EntryId) -> Result<()> {
        self.note(format!("install {} of term {}", at.index, at.term));
        self.log.install(at)
    }
}

impl StateStore for Traced {
    fn save_state(&self, state: &ServerState) -> Result<()> {
        let receiving = if state.receiving_snapshot { ", receiving a snapshot" } else { "" };
        self.transcript.line(self.owner, "state", format!("save_state: term {}{receiving}", state.term));
        self.log.save_state(state)
    }

    fn read_state(&self) -> Result<Option<ServerState>> {
        self.log.read_state()
    }

    fn save_config(&self, config: &[u8]) -> Result<()> {
        self.log.save_config(config)
    }

    fn load_config(&self) -> Result<Option<Bytes>> {
        self.log.load_config()
    }
}
