//! Blocking durable writers, a shard each.

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    job::{Job, Outcome},
    load::{Gate, Pacer, Tally, Window, Worker, drive},
    payload::Payloads,
    system::{Retention, System, Tuning, Writer, floor},
};

/// Writers that each always have one entry outstanding.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Load {
    /// The number of writers.
    pub writers: u32,
    /// The size of an entry's payload.
    pub payload: usize,
}

/// Measures in this process. An operation is one entry; its latency lasts from before its submission until it is
/// durable.
pub fn measure(job: &Job, load: &Load) -> Result<Outcome> {
    let window = Window::of_seconds(job.seconds);
    if job.system == System::Floor {
        return floor::measure(job, load.writers as usize, load.payload, window);
    }
    let log = job.system.open(&job.dir, Tuning::Load)?;
    let retention = Retention::for_load(u64::from(load.writers), load.payload);
    let mut workers: Vec<_> = (0..load.writers)
        .map(|shard| Blocking {
            writer: log.writer(shard.into(), retention),
            payloads: Payloads::new(load.payload, shard.into()),
            pacer: Pacer::new(job.rate, shard, load.writers),
        })
        .collect();
    let measured = drive(&mut workers, window)?;
    drop(workers);
    let mut outcome = Outcome::of(measured, load.payload as u64)?;
    log.describe(&mut outcome);
    log.close()?;
    Ok(outcome)
}

struct Blocking<'a> {
    writer: Box<dyn Writer + 'a>,
    payloads: Payloads,
    pacer: Pacer,
}

impl Worker for Blocking<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        while !gate.is_over() {
            let began = self.pacer.wait();
            self.writer.append(self.payloads.next())?;
            tally.add(gate, began.elapsed(), 1);
        }
        Ok(())
    }
}
