//! `Verdict`: the checks at the end of a run.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use logboom_rsm::Failure;

use crate::{
    cluster::Cluster,
    history::{Answer, Call, Operation},
    kv::State,
    linear,
    options::NODES,
    wire::{Ask, Reply},
};

/// The longest that replicas may take to agree once writes have stopped.
const AGREEMENT_MAX: Duration = Duration::from_secs(60);

/// What was checked, and the faults that were found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) replicas: u64,
    pub(crate) acknowledged: u64,
    pub(crate) registers: u64,
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    /// Reads every replica of every shard, and compares it with the other replicas and with the answers to clients.
    /// `now` must be later than all answers. Leaves the history sorted by register.
    pub(crate) fn reach(
        cluster: &mut Cluster,
        shards: u64,
        history: &mut [Operation],
        now: u64,
    ) -> Result<Self, Failure> {
        let mut verdict = Self::default();
        history.sort_by_key(|operation| (operation.shard, operation.key, operation.invoked));
        let mut rest = &*history;
        for shard in 0..shards {
            let (of_shard, others) = rest.split_at(rest.partition_point(|operation| operation.shard == shard));
            rest = others;
            let Some(state) = verdict.agree(cluster, shard)? else { continue };
            verdict.check_receipts(shard, &state, of_shard);
            for of_register in of_shard.chunk_by(|one, two| one.key == two.key) {
                verdict.check_register(&state, of_register, now);
            }
        }
        if !rest.is_empty() {
            verdict.faults.push(format!("{} operations are of shards that were not compared", rest.len()));
        }
        Ok(verdict)
    }

    /// Fails a run that tested nothing: each client must have an answer, and at least one write must have succeeded.
    pub(crate) fn weigh(&mut self, clients: u32, history: &[Operation]) {
        for client in 1..=clients {
            let answered = history.iter().any(|operation| operation.client == client && operation.answered.is_some());
            if !answered {
                self.faults.push(format!("client {client} was never answered: it has checked nothing"));
            }
        }
        if self.acknowledged == 0 {
            self.faults.push("no write was acknowledged: none can have been lost".into());
        }
        if self.replicas == 0 || self.registers == 0 {
            self.faults.push(format!("{} replicas and {} registers were looked at", self.replicas, self.registers));
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The state of a shard, if all replicas reach the same.
    fn agree(&mut self, cluster: &mut Cluster, shard: u64) -> Result<Option<State>, Failure> {
        let begun = Instant::now();
        loop {
            let mut dumps = BTreeMap::new();
            for node in 1..=NODES {
                if let Reply::Dump { applied, state } = cluster.ask(node, &Ask::Dump { shard })? {
                    dumps.insert(node, (applied, state));
                }
            }
            let mut states = dumps.values();
            if let Some(first) = states.next()
                && dumps.len() as u64 == NODES
                && states.all(|other| other == first)
            {
                self.replicas += NODES;
                return Ok(Some(State::decode(&first.1)?));
            }
            if begun.elapsed() > AGREEMENT_MAX {
                let sizes = dumps.iter().map(|(node, (applied, state))| (node, applied, state.len()));
                let sizes = sizes.collect::<Vec<_>>();
                self.faults.push(format!("shard {shard}: the replicas differ; node, applied, bytes: {sizes:?}"));
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks that the state has every acknowledged write once, and no write that no client sent.
    fn check_receipts(&mut self, shard: u64, state: &State, history: &[Operation]) {
        let writes = || history.iter().filter(|operation| operation.number > 0);
        let mut applied = 0;
        for write in writes() {
            let is_there = state.receipts.contains(write.client, write.number);
            applied += u64::from(is_there);
            if write.answered.is_some() {
                self.acknowledged += 1;
                if !is_there {
                    self.faults.push(format!("an acknowledged write is lost: {write:?}"));
                }
            }
        }
        let count = state.receipts.count();
        let unknown = count.saturating_sub(applied);
        if unknown > 0 {
            self.faults.push(format!("shard {shard}: {unknown} writes were applied that nobody asked for"));
        }
        if state.repeated > 0 {
            self.faults.push(format!("shard {shard}: {} writes were applied twice", state.repeated));
        }
    }

    /// Checks that some order of the operations on a register explains all answers and its final value.
    fn check_register(&mut self, state: &State, history: &[Operation], now: u64) {
        let Some(first) = history.first() else { return };
        let last = Answer::Value(state.get(first.key));
        let read = Operation { call: Call::Get, number: 0, invoked: now, answered: Some((now, last)), ..first.clone() };
        let history: Vec<_> = history.iter().cloned().chain([read]).collect();
        self.registers += 1;
        if let Err(violation) = linear::check(&history) {
            let (shard, key) = (first.shard, first.key);
            self.faults.push(format!("register {key} of shard {shard} is not linearizable: {violation:?}"));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replicas, acknowledged, registers, faults } = self;
        if faults.is_empty() {
            return write!(
                f,
                "all {replicas} replicas agree, all {acknowledged} acknowledged writes are there once, \
                 the histories of all {registers} registers are linearizable"
            );
        }
        writeln!(f, "{} faults:", faults.len())?;
        faults.iter().take(20).try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_saw_nothing_finds_nothing_good() {
        let get = |client| Operation {
            client,
            shard: 0,
            key: 0,
            call: Call::Get,
            number: 0,
            invoked: 1,
            answered: Some((2, Answer::Value(None))),
        };
        let check = |replicas, acknowledged, registers, history: &[Operation], faults| {
            let mut verdict = Verdict { replicas, acknowledged, registers, faults: Vec::new() };
            verdict.weigh(2, history);
            assert_eq!(verdict.faults.len(), faults, "{verdict}");
            assert_eq!(verdict.is_good(), faults == 0);
        };
        check(3, 5, 1, &[get(1), get(2)], 0);
        check(3, 5, 1, &[get(1), Operation { answered: None, ..get(2) }], 1);
        check(3, 5, 1, &[get(2)], 1);
        check(3, 0, 1, &[get(1), get(2)], 1);
        check(0, 5, 0, &[get(1), get(2)], 1);
        check(0, 0, 0, &[], 4);
    }
}
