//! Bulk loads, step by step.

use std::time::Duration;

use logboom_logtail::{Error, LoadProgress, TableId, Timestamp};
use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{check::Check, life::Life, loading::Loading};

/// The most loads that are under way at a time.
const LOADS_MAX: usize = 3;

impl History {
    /// Begins a load, adds rows to one, goes on with it, or gives it up.
    pub(super) fn load(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.loads.len() < LOADS_MAX && !life.is_stopped && self.choices.percent(40) {
            self.begin_load(life)?;
        }
        if life.loads.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(life.loads.len());
        if self.choices.percent(3) {
            marks::hit("load: given up");
            drop(life.loads.swap_remove(at));
            return Ok(());
        }
        let loading = &mut life.loads[at];
        if loading.completed.is_none() {
            if self.choices.percent(60) {
                loading.push(&self.model, &mut self.choices, &mut self.serial)?;
            } else {
                loading.load.complete();
                loading.completed = Some(life.tail.watermark());
            }
        }
        for _ in 0..self.choices.range(1..16) {
            if !self.load_goes_on(life, at)? || self.choices.percent(10) {
                break;
            }
        }
        Ok(())
    }

    fn begin_load(&mut self, life: &mut Life) -> Result<(), Failure> {
        let catalog = self.model.last_catalog().clone();
        let Some((table, schema)) = catalog.tables.iter().nth(self.choices.size(catalog.tables.len())) else {
            return Ok(());
        };
        match life.tail.load(TableId(*table)) {
            Ok(load) => {
                self.note(format!("load of table {table}"));
                life.loads.push(Loading::new(load, *table, schema.clone()));
                Ok(())
            }
            Err(error) => Err(Failure::new(Check::Operations, format!("a load of table {table}: {error:?}"))),
        }
    }

    /// Does a step of a load. Returns whether it takes more of them.
    fn load_goes_on(&mut self, life: &mut Life, at: usize) -> Result<bool, Failure> {
        let before = life.tail.watermark();
        let step = life.loads[at].load.step();
        self.note(format!("load {at}: {step:?}"));
        self.note_load(life, at)?;
        match step {
            Ok(LoadProgress::Ready) => return Ok(false),
            Ok(LoadProgress::WaitsForStore) => self.objects.pass(Duration::from_millis(20)),
            Ok(LoadProgress::WaitsForLog) => drop(life.engine.drive_once()),
            Ok(LoadProgress::Done(committed)) => {
                let loading = life.loads.swap_remove(at);
                self.load_is_done(life, &loading, committed, before)?;
                return Ok(false);
            }
            // It has moved.
            Ok(_) => {}
            Err(error) => {
                let loading = life.loads.swap_remove(at);
                self.load_failed(life, &loading, &error)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes when a load commits, as soon as its record is in the log.
    fn note_load(&mut self, life: &mut Life, at: usize) -> Result<(), Failure> {
        let loading = &mut life.loads[at];
        let Some(commits) = loading.load.timestamp().filter(|_| loading.proposed.is_none()) else { return Ok(()) };
        loading.proposed = Some(commits);
        let (table, effects) = (loading.table, loading.effects());
        let wrong = |check, what: String| Err(Failure::new(check, what));
        if let Some(why) = loading.forbidden(&self.model) {
            return wrong(Check::Conflicts, format!("a load commits at {commits}, though {why}: {effects:?}"));
        }
        if life.is_stopped {
            return wrong(Check::Serves, format!("the tail has failed, and {commits} is given to a load"));
        }
        let waits = self.model.next_commit(life.tail.watermark()).is_some();
        marks::hit_if(waits, "load: other transactions wait for the disk");
        self.note(format!("load of table {table} commits at {commits}: {effects:?}"));
        self.given(commits)?;
        self.model.load(table, commits, &effects);
        Ok(())
    }

    fn load_is_done(
        &mut self,
        life: &Life,
        loading: &Loading,
        committed: Timestamp,
        before: Timestamp,
    ) -> Result<(), Failure> {
        let now = life.tail.watermark();
        if !loading.has_rows() && (before..=now).contains(&committed) {
            marks::hit("load: without rows");
            return Ok(());
        }
        if loading.proposed != Some(committed) || now < committed {
            let what = format!("a load is done at {committed}, proposed at {:?}, readers at {now}", loading.proposed);
            return Err(Failure::new(Check::Visible, what));
        }
        marks::hit("load: done");
        let version = life.tail.version(TableId(loading.table));
        let own = version.iter().flat_map(|version| version.objects()).filter(|own| own.flushed_at() == committed);
        marks::hit_if(own.count() > 1, "load: of several objects");
        self.counts.loads += 1;
        self.model.keep(committed);
        Ok(())
    }

    fn load_failed(&self, life: &mut Life, loading: &Loading, error: &Error) -> Result<(), Failure> {
        if let Some(mark) = loading.refusal(&self.model, error).filter(|_| loading.proposed.is_none()) {
            marks::hit(mark);
            return Ok(());
        }
        match error {
            Error::Log(_) | Error::Stopped(_) => self.failed(life, error),
            Error::Store(_) => {
                marks::hit("load: refused, a read of the store is given up");
                Ok(())
            }
            error => Err(Failure::new(Check::Conflicts, format!("a load is refused: {error:?}"))),
        }
    }
}
