//! The test of the models: each deliberate bug that needs an unlucky interleaving fails one of them.

use std::process::Command;

use crate::mutants::{Mutant, switch_on};

/// The model that finds each bug.
const FOUND_BY: &[(Mutant, &str)] = &[
    (Mutant::ChangeLetGoEarly, "models::watermark::no_reader_sees_a_commit_and_not_the_change_before_it"),
    (Mutant::WatermarkSetBack, "models::watermark::the_watermark_never_goes_back"),
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
        if ran.status.success() {
            missed.push(mutant.name());
        }
    }
    assert!(missed.is_empty(), "no model fails with {missed:?}");
}
