//! Flushes of tables, step by step, and the store that they put objects in.

use std::time::Duration;

use logboom_logtail::{CheckpointKind, Error, FlushParts, FlushProgress, TableId};
use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{check::Check, life::Life};

/// The most flushes that are under way at a time.
const FLUSHES_MAX: usize = 3;

impl History {
    /// Begins a flush, goes on with one, or gives one up.
    pub(super) fn flush(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.flushes.len() < FLUSHES_MAX && self.choices.percent(40) {
            let tables: Vec<u64> = self.model.tables().into_iter().collect();
            let Some(table) = tables.get(self.choices.size(tables.len())) else { return Ok(()) };
            let parts = self.choices.pick(&[FlushParts::ALL, FlushParts::ROWS, FlushParts::DELETES]);
            let begun = life.tail.begin_flush(TableId(*table), parts);
            self.steps.push(format!("flush of table {table}, {parts:?}: {}", begun.is_some()));
            life.flushes.extend(begun.map(|flush| (*table, flush)));
        }
        if life.flushes.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(life.flushes.len());
        if self.choices.percent(3) {
            let (_, given_up) = life.flushes.swap_remove(at);
            marks::hit("flush: given up");
            marks::hit_if(given_up.objects_put() > 0, "flush: given up, with objects in the store");
            return Ok(());
        }
        for _ in 0..self.choices.range(1..12) {
            if self.choices.percent(self.weights.deletes_beside) {
                self.delete_beside(life, life.flushes[at].0)?;
                self.observe(life)?;
                if self.world.has_halted() {
                    return Ok(());
                }
            }
            let (_, flush) = &mut life.flushes[at];
            let step = flush.step();
            self.note(format!("flush {at}: {step:?}"));
            match step {
                Ok(FlushProgress::Done) => {
                    marks::hit("flush: done");
                    marks::hit_if(flush.objects_put() > 1, "flush: of several objects");
                    marks::hit_if(flush.tombstone_rounds() > 1, "flush: tombstones of several rounds");
                    self.counts.flushes += 1;
                    drop(life.flushes.swap_remove(at));
                    break;
                }
                Ok(FlushProgress::WaitsForStore) => self.objects.pass(Duration::from_millis(20)),
                Ok(FlushProgress::WaitsForLog) => drop(life.engine.drive_once()),
                // It has moved; nothing is encoded on another thread here.
                Ok(_) => {}
                Err(error) => {
                    drop(life.flushes.swap_remove(at));
                    return self.flush_failed(life, &error);
                }
            }
        }
        Ok(())
    }

    /// Writes a checkpoint, by which the log is dropped up to the oldest row in memory.
    pub(super) fn checkpoint(&mut self, life: &mut Life) -> Result<(), Failure> {
        let kind = self.choices.pick(&[CheckpointKind::Global, CheckpointKind::Incremental]);
        let written = self.objects.hurry(|| life.tail.checkpoint(kind));
        self.note(format!("checkpoint {kind:?}: {written:?}"));
        match written {
            Ok(true) => {
                marks::hit("checkpoint: written");
                self.counts.checkpoints += 1;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => self.flush_failed(life, &error),
        }
    }

    /// Lets time pass at the store, or cuts it off.
    #[expect(clippy::unnecessary_wraps, reason = "a step of a history")]
    pub(super) fn store(&mut self) -> Result<(), Failure> {
        if self.choices.percent(20) {
            marks::hit("store: cut off");
            self.objects.cut_off(Duration::from_secs(self.choices.below(30)));
        }
        self.objects.pass(Duration::from_millis(self.choices.below(8000)));
        Ok(())
    }

    fn flush_failed(&mut self, life: &mut Life, error: &Error) -> Result<(), Failure> {
        match error {
            Error::Log(_) | Error::Stopped(_) => self.failed(life, error),
            error => Err(Failure::new(Check::Flushes, format!("{error:?}"))),
        }
    }
}
