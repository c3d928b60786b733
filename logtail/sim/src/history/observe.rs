//! Looks at what readers see, after each step.

use std::time::Duration;

use logboom_logtail::{Error, Timestamp};
use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{
    check::{Check, compare, compare_some},
    chosen::{compare_filtered, compare_keys},
    life::{Life, SHARD},
};

/// The timestamps of commits at which everything is compared at the end of a life, at most.
const COMPARED_MAX: usize = 12;

impl History {
    /// Lets the engine work for a while.
    pub(super) fn drive(&mut self, life: &Life) -> Result<(), Failure> {
        if self.choices.percent(20) {
            return self.world.pass(&life.engine, Duration::from_millis(60));
        }
        for _ in 0..self.choices.below(6) {
            life.engine.drive_once();
        }
        Ok(())
    }

    /// Looks at the log and the watermark, and at the tables at some timestamp.
    pub(super) fn observe(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.engine.health().poisoned().is_some() && !self.is_troubled() {
            return Err(Failure::new(Check::Serves, format!("{:?}", life.engine.health())));
        }
        if self.read_records(life)? {
            self.check_records(life)?;
        }
        self.check_watermark(life)?;
        let at = if self.choices.percent(50) { life.watermark } else { self.old_timestamp(life) };
        self.counts.comparisons += 1;
        compare_some(&life.tail, &self.model, at, &mut self.choices)?;
        if self.choices.percent(30) {
            compare_filtered(&life.tail, &self.model, at, &mut self.choices)?;
            compare_keys(&life.tail, &self.model, at, &mut self.choices)?;
        }
        if self.choices.percent(20) {
            compare(&life.tail, &self.model, at)?;
            self.check_future(life)?;
        }
        let Some(replaced) = life.replaced.last() else { return Ok(()) };
        compare_some(replaced, &self.model, replaced.watermark(), &mut self.choices)
    }

    /// Compares all tables at many timestamps, those between commits included.
    pub(super) fn compare_all(&mut self, life: &Life) -> Result<(), Failure> {
        let now = life.tail.watermark();
        let mut timestamps: Vec<Timestamp> = self.model.commits().range(..=now).copied().collect();
        while timestamps.len() > COMPARED_MAX {
            timestamps.swap_remove(self.choices.size(timestamps.len()));
        }
        let before = timestamps.clone().into_iter().filter_map(|at| Timestamp::from_i64(at.to_i64() - 1));
        timestamps.extend(before.take(COMPARED_MAX / 2));
        timestamps.extend([now, life.tail.horizon()]);
        for at in timestamps.into_iter().filter(|at| *at >= life.tail.horizon()) {
            self.counts.comparisons += 1;
            compare(&life.tail, &self.model, at)?;
        }
        Ok(())
    }

    /// A timestamp between horizon and watermark, of a commit or between two.
    pub(super) fn old_timestamp(&mut self, life: &Life) -> Timestamp {
        let (horizon, now) = (life.tail.horizon(), life.tail.watermark());
        let commits = self.model.commits().range(horizon..=now);
        let Some(commit) = commits.clone().nth(self.choices.size(commits.count())) else { return now };
        let between = Timestamp::from_i64(commit.to_i64() + self.choices.below(3).cast_signed() - 1);
        between.unwrap_or(*commit).clamp(horizon, now)
    }

    /// Reads what is new in the log, and notes the flushes. Returns whether it can be read: not where the machine has
    /// stopped.
    pub(super) fn read_records(&mut self, life: &mut Life) -> Result<bool, Failure> {
        let read = life.records.read(&life.engine.shard(SHARD));
        life.records.flushes.drain(..).for_each(|at| self.model.flush(at));
        match read {
            Ok(Ok(())) => Ok(true),
            Err(_) if self.is_troubled() => Ok(false),
            wrong => Err(Failure::new(Check::Logged, format!("{wrong:?}"))),
        }
    }

    /// The log has the transactions that were proposed.
    fn check_records(&self, life: &Life) -> Result<(), Failure> {
        // The others were dropped by a checkpoint.
        let Some((first, _)) = life.records.commits.first_key_value() else { return Ok(()) };
        if life.records.commits.keys().eq(self.model.commits().range(*first..)) {
            return Ok(());
        }
        let what = format!("{:?} instead of {:?}", life.records.commits, self.model.commits());
        Err(Failure::new(Check::Logged, what))
    }

    /// The watermark does not go back, is that of a transaction, and that is durable. What is seen must not be lost.
    fn check_watermark(&mut self, life: &mut Life) -> Result<(), Failure> {
        let now = life.tail.watermark();
        let wrong = |check, what: String| Err(Failure::new(check, what));
        if now < life.watermark {
            return wrong(Check::Durable, format!("the watermark {now} was at {}", life.watermark));
        }
        if now != Timestamp::ZERO && !self.model.commits().contains(&now) {
            return wrong(Check::Durable, format!("the watermark {now} is no transaction's"));
        }
        let durable = life.durable();
        if let Some(index) = life.records.commits.get(&now).filter(|index| **index > durable) {
            return wrong(Check::Durable, format!("record {index} is seen, and {durable} are durable"));
        }
        marks::hit_if(self.model.next_commit(now).is_some(), "watch: transactions wait for the disk");
        life.watermark = now;
        self.model.keep(now);
        Ok(())
    }

    /// What comes after the watermark is not known yet, and cannot be asked for.
    fn check_future(&self, life: &Life) -> Result<(), Failure> {
        let Some(future) = life.watermark.next() else { return Ok(()) };
        let asked = [life.tail.begin_at(future).map(drop), life.tail.catalog(future).map(drop)];
        match asked.into_iter().find(|asked| !matches!(asked, Err(Error::Future { .. }))) {
            None => Ok(()),
            Some(answered) => Err(Failure::new(Check::Durable, format!("at {future}: {answered:?}"))),
        }
    }
}
