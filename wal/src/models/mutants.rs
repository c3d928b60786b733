//! The test of the models: each deliberate bug that needs an unlucky interleaving fails one of them.

use std::process::Command;

use crate::types::mutants::{Mutant, switch_on};

/// The model that finds each bug.
const FOUND_BY: &[(Mutant, &str)] = &[
    (Mutant::WakeupNotPassedOn, "models::commit::a_waiter_that_leaves_is_not_taken_for_one_that_commits"),
    (Mutant::HandOverUnfenced, "models::commit::two_waiting_writers_commit_for_each_other"),
    (Mutant::FreedBetweenLooks, "models::freeing::a_checkpoint_names_a_segment_that_is_freed_meanwhile"),
];

/// The bug to switch on, in a process that runs one model.
const NAMED: &str = "LOGBOOM_MUTANT";

pub(super) fn switch_on_what_is_named() {
    let named = std::env::var(NAMED).ok();
    let mutant = Mutant::MODELLED.iter().find(|mutant| named.as_deref() == Some(mutant.name()));
    mutant.into_iter().for_each(|&mutant| switch_on(mutant));
}

/// Each runs in a process of its own: a failing model may leave the process unusable.
#[test]
fn every_bug_fails_its_model() {
    assert!(Mutant::MODELLED.iter().all(|mutant| FOUND_BY.iter().any(|(found, _)| found == mutant)));
    let mut missed = Vec::new();
    for (mutant, model) in FOUND_BY {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let ran = command.args([model, "--exact"]).env(NAMED, mutant.name()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(said.contains("running 1 test"), "{model} is no model: {said}");
        // A deadlock, or an assertion of the model's; some end the process while they unwind.
        if ran.status.success() {
            missed.push(mutant.name());
        }
    }
    assert!(missed.is_empty(), "no model fails with {missed:?}");
}
