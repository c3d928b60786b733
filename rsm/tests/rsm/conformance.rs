//! The suite: machines that keep the contract pass, and each that breaks a rule is told which.

use std::sync::{Arc, Mutex};

use logboom::snapshot::Stop;
use logboom_rsm::{
    Files, SaveSnapshot,
    conformance::{self, OnDiskSubject, Rule, Subject, Violation},
};

use crate::{
    kv::Kv,
    model::{Fault, Model},
};

/// The key-value store of the example.
struct KvSubject;

impl Subject for KvSubject {
    type Machine = Kv;

    fn machine(&self) -> Kv {
        Kv::default()
    }

    fn payload(&self, random: u64) -> Vec<u8> {
        payload(random)
    }

    fn query(&self, random: u64) -> Box<str> {
        key(random).into()
    }

    fn state(&self, machine: &Kv) -> Vec<u8> {
        let mut bytes = Vec::new();
        machine.save_snapshot(&mut bytes, &mut Files::default(), &Stop::new()).unwrap();
        bytes
    }
}

/// A machine that is wrong in one way, or right.
struct ModelSubject {
    fault: Option<Fault>,
    on_disk: bool,
    random: Mutex<fastrand::Rng>,
}

impl ModelSubject {
    fn new(fault: Option<Fault>, on_disk: bool, seed: u64) -> Self {
        Self { fault, on_disk, random: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }
}

impl Subject for ModelSubject {
    type Machine = Model;

    fn machine(&self) -> Model {
        if self.on_disk { Model::on_disk(self.fault, Arc::default()) } else { Model::new(self.fault) }
    }

    fn payload(&self, random: u64) -> Vec<u8> {
        payload(random)
    }

    fn query(&self, random: u64) -> Box<str> {
        key(random).into()
    }

    fn state(&self, machine: &Model) -> Vec<u8> {
        machine.visible()
    }
}

impl OnDiskSubject for ModelSubject {
    fn crash(&self, machine: Model) -> Model {
        Model::on_disk(self.fault, Model::crash(&machine.disk(), self.random.lock().unwrap().u64(..)))
    }
}

/// A few keys, so that entries meet, and values of different lengths.
fn payload(random: u64) -> Vec<u8> {
    Kv::put(&key(random), &"v".repeat(1 + (random >> 32) as usize % 40))
}

fn key(random: u64) -> String {
    format!("key {}", random % 30)
}

#[test]
fn the_key_value_store_keeps_the_contract() {
    for seed in 0..8 {
        conformance::blocking(&KvSubject, seed).unwrap();
        conformance::concurrent(&KvSubject, seed).unwrap();
        conformance::objects(&KvSubject, seed).unwrap();
    }
}

#[test]
fn the_model_keeps_the_contract() {
    for seed in 0..8 {
        all(None, seed).unwrap();
    }
}

#[test]
fn each_rule_is_found_broken() {
    use Fault as F;
    use Rule as R;
    for (fault, rule) in [
        (F::UsesAGlobalCounter, R::Deterministic),
        (F::AppliesBatchesAsOne, R::Deterministic),
        (F::ForgetsOutputs, R::OneOutputEach),
        (F::CountsLookups, R::LookupChangesNothing),
        (F::CountsSaves, R::SavingChangesNothing),
        (F::SavesTheMapOnly, R::RecoveryIsWhole),
        (F::RecoversOnTop, R::RecoveryReplaces),
        (F::ReadsPastTheEndOnly, R::RecoveryReadsAll),
        (F::WritesOnce, R::AnyChunking),
        (F::ReadsOnce, R::AnyChunking),
        (F::SwallowsWriteErrors, R::PassesWriteErrors),
        (F::SwallowsReadErrors, R::PassesReadErrors),
        (F::SharesItsState, R::Isolated),
        (F::StoresTheIndexFirst, R::OpensAtItsIndex),
        (F::DoesNotSync, R::SyncedSurvives),
        (F::NeverEnds, R::ObjectsEnd),
        (F::NumbersByTime, R::ObjectsRepeat),
        (F::ReceivesInPlace, R::ReceivingChangesNothing),
        (F::ReceivesInMemory, R::SyncedSurvives),
        (F::AppliesEarly, R::PreparedIsNoState),
        (F::CannotRollBack, R::RollbackUndoes),
    ] {
        for seed in 0..4 {
            match all(Some(fault), seed) {
                Err(violation) => assert_eq!(violation.rule, rule, "{fault:?}: {violation}"),
                Ok(()) => panic!("{fault:?} was not found with seed {seed}"),
            }
        }
    }
}

fn all(fault: Option<Fault>, seed: u64) -> Result<(), Violation> {
    conformance::blocking(&ModelSubject::new(fault, false, seed), seed)?;
    conformance::concurrent(&ModelSubject::new(fault, false, seed), seed)?;
    conformance::on_disk(&ModelSubject::new(fault, true, seed), seed)?;
    conformance::objects(&ModelSubject::new(fault, false, seed), seed)?;
    conformance::on_disk_objects(&ModelSubject::new(fault, true, seed), seed)?;
    conformance::pre_commit(&ModelSubject::new(fault, false, seed), seed)
}
