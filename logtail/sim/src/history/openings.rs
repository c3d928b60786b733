//! Ends a process in one of several ways, and opens its log again.

use logboom::Engine;
use logboom_logtail::{Error, Tail, Timestamp};
use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{
    check::Check,
    life::{Life, SHARD, restored_from},
};

impl History {
    /// Ends the process, and opens the log again.
    pub(super) fn end_and_reopen(&mut self, life: Life) -> Result<Life, Failure> {
        let may_close = !self.world.has_halted();
        match self.choices.below(10) {
            0 | 1 if may_close => self.close(life)?,
            _ => {
                self.crash();
                life.end();
            }
        }
        let mut life = self.open()?;
        // Like a service that crashes at start.
        while self.choices.percent(15) {
            marks::hit("opening: again and again");
            self.crash();
            life.end();
            life = self.open()?;
        }
        Ok(life)
    }

    /// Closes tail and engine: all is durable then.
    fn close(&mut self, life: Life) -> Result<(), Failure> {
        let Life { engine, tail, replaced, drafts, waiting, flushes, loads, .. } = life;
        drop((drafts, waiting, replaced, flushes, loads));
        let closed = tail.close().and_then(|()| engine.close().map_err(Error::Log));
        match closed {
            Ok(()) => {
                marks::hit("ending: closed");
                let last = self.model.commits().last().copied();
                last.into_iter().for_each(|last| self.model.keep(last));
                self.objects.restart(&mut self.choices);
                Ok(())
            }
            Err(_) if self.is_troubled() => {
                self.crash();
                Ok(())
            }
            Err(error) => Err(Failure::new(Check::Serves, format!("closing: {error:?}"))),
        }
    }

    fn crash(&mut self) {
        self.note("crash");
        match self.choices.below(2) {
            0 => self.world.process_crash(),
            _ => self.world.power_cut(),
        }
        self.objects.restart(&mut self.choices);
    }

    /// Opens engine and tail, perhaps after openings that are cut short.
    pub(super) fn open(&mut self) -> Result<Life, Failure> {
        let mut left = if self.choices.percent(self.weights.interruptions) { self.choices.range(1..4) } else { 0 };
        loop {
            if left > 0 {
                self.world.plan_halt(&mut self.choices, 60);
                left -= 1;
            }
            let opened = self.world.open().map_err(Error::Log);
            let opened = opened.and_then(|engine| Ok((self.open_tail(&engine)?, engine)));
            self.has_halted |= self.world.has_halted();
            match opened {
                Ok((tail, engine)) => {
                    let life = self.resume(Life::new(engine, tail))?;
                    if !self.world.has_halted() {
                        return Ok(life);
                    }
                    self.crash();
                    life.end();
                }
                Err(_) if self.is_troubled() => {
                    marks::hit("opening: cut short, and begun again");
                    self.crash();
                }
                Err(Error::Store(_)) => marks::hit("opening: a read of the store is given up"),
                Err(error) => return Err(Failure::new(Check::Opens, format!("{error:?}"))),
            }
        }
    }

    fn open_tail(&self, engine: &Engine) -> Result<Tail, Error> {
        Tail::open(engine, SHARD, self.options.clone())
    }

    /// Finds which transactions are there, and goes on from them.
    fn resume(&mut self, mut life: Life) -> Result<Life, Failure> {
        self.counts.openings += 1;
        let can_be_read = self.read_records(&mut life)?;
        let now = life.watermark;
        let wrong = |what: String| Err(Failure::new(Check::Kept, what));
        if now < self.model.kept() {
            return wrong(format!("it ends at {now}, and {} was acknowledged or seen", self.model.kept()));
        }
        if now != self.model.commits().range(..=now).next_back().copied().unwrap_or_default() {
            return wrong(format!("it ends at {now}, which is none of {:?}", self.model.commits()));
        }
        marks::hit_if(now > self.model.kept(), "recovery: transactions are there, though not acknowledged");
        marks::hit_if(
            self.model.next_commit(now).is_some(),
            "recovery: transactions are gone that were not acknowledged",
        );
        self.note(format!("opened at {now}, horizon {}", life.tail.horizon()));
        let loads = self.model.loads_after(self.model.kept());
        marks::hit_if(loads.iter().any(|at| *at <= now), "recovery: a load is there, though not acknowledged");
        marks::hit_if(loads.iter().any(|at| *at > now), "recovery: a load is gone that was not acknowledged");
        let (change, lost) = self.model.lose_after(now);
        marks::hit_if(lost, "recovery: a change of the catalog is gone");
        if let Some((at, change)) = change {
            marks::hit("recovery: a change of the catalog is there, though not acknowledged");
            let number = self.find_number(&life.tail, &change)?;
            if !self.model.change(at, &change, number) {
                return Err(Failure::new(Check::Changes, format!("{change:?} has the number {number} of another one")));
            }
        }
        marks::hit_if(life.restored > Timestamp::ZERO, "opening: from a checkpoint");
        marks::hit_if(life.tail.horizon() > Timestamp::ZERO, "opening: the horizon was raised");
        self.model.keep(now);
        if can_be_read {
            self.check_epoch(&life)?;
        }
        self.compare_all(&life)?;
        Ok(life)
    }

    /// The opening has an epoch of its own, and its record is durable.
    fn check_epoch(&mut self, life: &Life) -> Result<(), Failure> {
        let (epoch, durable) = (life.records.epoch, life.durable());
        if epoch.number <= self.epoch.number || epoch.nonce == self.epoch.nonce || epoch.index > durable {
            let what = format!("{epoch:?} after {:?}, durable up to {durable}", self.epoch);
            return Err(Failure::new(Check::Epochs, what));
        }
        self.epoch = epoch;
        Ok(())
    }

    /// Opens another tail on the shard beside the one that there is, which is refused from then on.
    pub(super) fn take_over(&mut self, life: &mut Life) -> Result<(), Failure> {
        let tail = match self.open_tail(&life.engine) {
            Ok(tail) => tail,
            Err(Error::Store(_)) => return Ok(()),
            Err(error) => return self.failed(life, &error),
        };
        self.note(format!("another tail takes over at {}", tail.watermark()));
        marks::hit("opening: another writer takes over");
        self.counts.openings += 1;
        let can_be_read = self.read_records(life)?;
        let last = self.model.commits().last().copied().unwrap_or_default();
        if tail.watermark() != last {
            let what = format!("the next writer is at {}, and {last} was proposed", tail.watermark());
            return Err(Failure::new(Check::Kept, what));
        }
        life.restored = restored_from(&tail);
        let old = std::mem::replace(&mut life.tail, tail);
        life.replaced.push(old);
        life.drafts.retain(|draft| !draft.is_replaced);
        life.drafts.iter_mut().for_each(|draft| draft.is_replaced = true);
        life.flushes.clear();
        life.loads.clear();
        self.model.keep(last);
        if can_be_read { self.check_epoch(life) } else { Ok(()) }
    }
}
