//! Whether a history of one register is linearizable.
//!
//! Wing and Gong's search, in the order of time as Lowe does it ("Testing for linearizability", 2017): what is kept is
//! the set of all states that the register can be in, each with the operations under way that have taken effect in it.
//! An answer leaves those in which its operation can have taken effect with that answer. None left: no order explains
//! the history.

use std::collections::HashSet;

use crate::history::{Answer, Call, Operation};

/// Operations that can be under way at the same time.
const OPEN_MAX: usize = 128;

/// Why a history is not linearizable, as far as anybody can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// No order of the operations explains this one's answer.
    Unexplained(Box<Operation>),
    /// It was answered before it was asked: the times cannot be trusted.
    Backwards(Box<Operation>),
    /// More operations at once than the search can tell apart.
    TooMany(usize),
}

/// A way in which things can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    value: Option<u64>,
    /// The operations under way that have taken effect, by their slots.
    done: u128,
}

/// Looks for an order of the operations of a register, which begins without a value, that explains all answers and
/// respects time: what was answered before another was asked comes before it. An operation without an answer may have
/// taken effect at any time after it was asked, or never.
///
/// Values must be unique, and an operation without an answer whose value nobody has seen is left out: with or without
/// it, the others are explained alike. (A swap that fails says what it found, so it has seen that; so may one without
/// an answer have seen what it expects.)
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

/// The events in the order of time. Of two at the same moment the question comes first: they may overlap.
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

/// The value that an operation writes, if it does.
fn written(operation: &Operation) -> Option<u64> {
    match operation.call {
        Call::Get => None,
        Call::Put(value) | Call::Swap { value, .. } => Some(value),
    }
}

/// The value that an operation has found, if it has taken effect.
fn seen(operation: &Operation) -> Option<u64> {
    match (operation.call, operation.answered.map(|(_, answer)| answer)) {
        (_, Some(Answer::Value(value) | Answer::Kept(value))) => value,
        (Call::Swap { expected, .. }, Some(Answer::Written) | None) => expected,
        _ => None,
    }
}

/// The candidates in which the operation in `slot` has taken effect with its answer, from all orders in which it and
/// others that are under way can have done so by now.
fn answered(before: &HashSet<Candidate>, slots: &[Option<&Operation>], slot: usize) -> HashSet<Candidate> {
    let (mut found, mut visited, mut open) = (HashSet::new(), before.clone(), Vec::from_iter(before.iter().copied()));
    let bit = 1 << slot;
    while let Some(candidate) = open.pop() {
        if candidate.done & bit != 0 {
            // It stays no longer than it has to: everything else can still happen behind the answer.
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

/// Lets go of operations that will never be answered, once they have taken effect in every candidate that is left.
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

/// The value after the operation took effect on a register with the value `found`; `None` if it cannot have, with the
/// answer that it got.
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
