//! Checks whether a history of one register is linearizable.
//!
//! The search of Wing and Gong, in the order of time as Lowe does it ("Testing for linearizability", 2017). It keeps
//! the set of all states that the register can be in, each with the pending operations that have taken effect in it. An
//! answer removes the states in which its operation cannot have taken effect with that answer. If none is left, no
//! order explains the history.

use std::collections::HashSet;

use crate::history::{Answer, Call, Operation};

/// The most operations that can be pending at the same time.
const OPEN_MAX: usize = 128;

/// The reason why a history is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// No order of the operations explains this one's answer.
    Unexplained(Box<Operation>),
    /// The operation was answered before it was asked, so the times cannot be trusted.
    Backwards(Box<Operation>),
    /// More operations are pending at once than the search can represent.
    TooMany(usize),
}

/// A possible state of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    value: Option<u64>,
    /// The pending operations that have taken effect, a bit for each slot.
    done: u128,
}

/// Searches for an order of the operations of a register that explains all answers. The register begins without a
/// value. An operation that was answered before another was asked comes first. An operation without an answer may have
/// taken effect at any time after it was asked, or never.
///
/// Values must be unique. An operation without an answer whose value no other operation has seen is left out: it
/// changes nothing for the others. (A swap that fails has seen the value that it returns; a swap without an answer may
/// have seen the value that it expects.)
pub(crate) fn check(history: &[Operation]) -> Result<(), Violation> {
    let mut candidates = HashSet::from([Candidate { value: None, done: 0 }]);
    let mut slots: Vec<Option<&Operation>> = Vec::new();
    for event in events(history) {
        match event {
            Event::Asked(operation) => match slots.iter().position(Option::is_none) {
                Some(free) => slots[free] = Some(operation),
                None if slots.len() == OPEN_MAX => return Err(Violation::TooMany(OPEN_MAX)),
                None => slots.push(Some(operation)),
            },
            Event::Answered(operation) => {
                let slot = slots.iter().position(|open| open.is_some_and(|open| std::ptr::eq(open, operation)));
                let Some(slot) = slot else { return Err(Violation::Backwards(Box::new(operation.clone()))) };
                candidates = answered(&candidates, &slots, slot);
                slots[slot] = None;
                if candidates.is_empty() {
                    return Err(Violation::Unexplained(Box::new(operation.clone())));
                }
                candidates = retire(candidates, &mut slots);
            }
        }
    }
    Ok(())
}

enum Event<'h> {
    Asked(&'h Operation),
    Answered(&'h Operation),
}

/// The events in the order of time. Of two at the same time the question comes first, since the operations may overlap.
fn events(history: &[Operation]) -> impl Iterator<Item = Event<'_>> {
    let seen: HashSet<u64> = history.iter().filter_map(seen).collect();
    let mut events = Vec::with_capacity(history.len() * 2);
    for operation in history {
        match operation.answered {
            Some((at, _)) => events.push((at, 1, Event::Answered(operation))),
            None if written(operation).is_none_or(|value| !seen.contains(&value)) => continue,
            None => {}
        }
        events.push((operation.invoked, 0, Event::Asked(operation)));
    }
    events.sort_by_key(|(at, rank, _)| (*at, *rank));
    events.into_iter().map(|(_, _, event)| event)
}

/// The value that the operation writes, if it is a write.
fn written(operation: &Operation) -> Option<u64> {
    match operation.call {
        Call::Get => None,
        Call::Put(value) | Call::Swap { value, .. } => Some(value),
    }
}

/// The value that the operation has seen, if it has taken effect.
fn seen(operation: &Operation) -> Option<u64> {
    match (operation.call, operation.answered.map(|(_, answer)| answer)) {
        (_, Some(Answer::Value(value) | Answer::Kept(value))) => value,
        (Call::Swap { expected, .. }, Some(Answer::Written) | None) => expected,
        _ => None,
    }
}

/// The states after the operation in `slot` has taken effect with its answer, in every order in which it and other
/// pending operations can have taken effect.
fn answered(before: &HashSet<Candidate>, slots: &[Option<&Operation>], slot: usize) -> HashSet<Candidate> {
    let (mut found, mut visited, mut open) = (HashSet::new(), before.clone(), Vec::from_iter(before.iter().copied()));
    let bit = 1 << slot;
    while let Some(candidate) = open.pop() {
        if candidate.done & bit != 0 {
            // The search stops here: any other operation can still take effect after this answer.
            found.insert(Candidate { done: candidate.done & !bit, ..candidate });
            continue;
        }
        for (at, operation) in slots.iter().enumerate() {
            let Some(operation) = operation else { continue };
            if candidate.done & (1 << at) == 0
                && let Some(value) = effect(operation, candidate.value)
            {
                let next = Candidate { value, done: candidate.done | 1 << at };
                if visited.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    found
}

/// Frees the slots of operations without an answer that have taken effect in every remaining state.
fn retire(candidates: HashSet<Candidate>, slots: &mut [Option<&Operation>]) -> HashSet<Candidate> {
    let everywhere = candidates.iter().fold(u128::MAX, |all, candidate| all & candidate.done);
    if everywhere == 0 {
        return candidates;
    }
    for (at, slot) in slots.iter_mut().enumerate() {
        if everywhere & (1 << at) != 0 && slot.is_some_and(|operation| operation.answered.is_none()) {
            *slot = None;
        }
    }
    let open = slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
    let open = open.fold(0, |open, (at, _)| open | 1_u128 << at);
    candidates.into_iter().map(|candidate| Candidate { done: candidate.done & open, ..candidate }).collect()
}

/// The value after the operation took effect on a register with the value `found`; `None` if it cannot have taken
/// effect with the answer that it got.
fn effect(operation: &Operation, found: Option<u64>) -> Option<Option<u64>> {
    let answer = operation.answered.map(|(_, answer)| answer);
    match (operation.call, answer) {
        (Call::Get, Some(Answer::Value(value))) => (value == found).then_some(found),
        (Call::Put(value), Some(Answer::Written) | None) => Some(Some(value)),
        (Call::Swap { expected, value }, Some(Answer::Written) | None) => (expected == found).then_some(Some(value)),
        (Call::Swap { expected, .. }, Some(Answer::Kept(kept))) => {
            (kept == found && expected != found).then_some(found)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
