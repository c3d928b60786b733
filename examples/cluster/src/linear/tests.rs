//! Tests the checker on histories that it must accept or reject, and compares it with an exhaustive search.

use super::*;

fn operation(client: u32, call: Call, invoked: u64, answered: Option<(u64, Answer)>) -> Operation {
    Operation { client, shard: 0, key: 0, call, number: 0, invoked, answered }
}

fn put(value: u64, from: u64, to: u64) -> Operation {
    operation(1, Call::Put(value), from, Some((to, Answer::Written)))
}

fn get(value: Option<u64>, from: u64, to: u64) -> Operation {
    operation(2, Call::Get, from, Some((to, Answer::Value(value))))
}

fn swap(expected: Option<u64>, value: u64, answer: Answer, from: u64, to: u64) -> Operation {
    operation(3, Call::Swap { expected, value }, from, Some((to, answer)))
}

fn lost(call: Call, from: u64) -> Operation {
    operation(4, call, from, None)
}

#[test]
fn histories_and_their_verdicts() {
    use Answer::{Kept, Written};
    let cases: &[(&str, bool, Vec<Operation>)] = &[
        ("nothing", true, vec![]),
        ("what was written is read", true, vec![put(1, 0, 1), get(Some(1), 2, 3)]),
        ("an answer before the question", false, vec![put(1, 5, 1)]),
        ("a lost write", false, vec![put(1, 0, 1), get(None, 2, 3)]),
        ("an old value", false, vec![put(1, 0, 1), put(2, 2, 3), get(Some(1), 4, 5)]),
        ("a value that nobody wrote", false, vec![put(1, 0, 1), get(Some(7), 2, 3)]),
        ("a value before it was written", false, vec![get(Some(1), 0, 1), put(1, 2, 3)]),
        ("reads during a write", true, vec![put(1, 0, 9), get(None, 1, 2), get(Some(1), 3, 4)]),
        ("back in time during a write", false, vec![put(1, 0, 9), get(Some(1), 1, 2), get(None, 3, 4)]),
        ("two writes at once", true, vec![put(1, 0, 9), put(2, 0, 9), get(Some(2), 10, 11), get(Some(2), 12, 13)]),
        (
            "two readers, two orders",
            false,
            vec![put(1, 0, 9), put(2, 0, 9), get(Some(2), 10, 11), get(Some(1), 12, 13)],
        ),
        (
            "an unanswered write shows up late",
            true,
            vec![lost(Call::Put(1), 0), put(2, 1, 2), get(Some(2), 3, 4), get(Some(1), 5, 6)],
        ),
        ("an unanswered write never shows up", true, vec![lost(Call::Put(1), 0), put(2, 1, 2), get(Some(2), 3, 4)]),
        ("an unanswered write before it was asked", false, vec![get(Some(1), 0, 1), lost(Call::Put(1), 2)]),
        (
            "an unanswered write twice",
            false,
            vec![lost(Call::Put(1), 0), get(Some(1), 1, 2), put(2, 3, 4), get(Some(1), 5, 6)],
        ),
        ("a swap of what was there", true, vec![put(1, 0, 1), swap(Some(1), 2, Written, 2, 3), get(Some(2), 4, 5)]),
        ("a swap of what was not there", false, vec![put(1, 0, 1), swap(Some(9), 2, Written, 2, 3)]),
        ("a swap that should have done it", false, vec![put(1, 0, 1), swap(Some(1), 2, Kept(Some(1)), 2, 3)]),
        (
            "a swap that failed and wrote",
            false,
            vec![put(1, 0, 1), swap(None, 2, Kept(Some(1)), 2, 3), get(Some(2), 4, 5)],
        ),
        (
            "two swaps of one value",
            false,
            vec![put(1, 0, 1), swap(Some(1), 2, Written, 2, 9), swap(Some(1), 3, Written, 2, 9)],
        ),
        (
            "an unanswered swap that was seen",
            true,
            vec![
                put(1, 0, 1),
                lost(Call::Swap { expected: Some(1), value: 2 }, 2),
                get(Some(1), 3, 4),
                get(Some(2), 5, 6),
            ],
        ),
        (
            "an unanswered swap that could not",
            false,
            vec![put(1, 0, 1), lost(Call::Swap { expected: None, value: 2 }, 2), get(Some(2), 3, 4)],
        ),
        (
            "seen by a failed swap alone",
            true,
            vec![lost(Call::Put(1), 0), put(2, 0, 1), swap(Some(2), 3, Kept(Some(1)), 2, 3)],
        ),
    ];
    for (name, linearizable, history) in cases {
        assert_eq!(check(history).is_ok(), *linearizable, "{name}");
    }
}

#[test]
fn many_unanswered_writes_are_no_burden() {
    let mut history = Vec::new();
    for round in 0..2000_u64 {
        history.push(lost(Call::Put(1_000_000 + round), round * 10));
        history.push(put(round, round * 10 + 1, round * 10 + 2));
        history.push(get(Some(round), round * 10 + 3, round * 10 + 4));
    }
    assert_eq!(check(&history), Ok(()));
    history.push(get(Some(1998), 30_000, 30_001));
    assert!(matches!(check(&history), Err(Violation::Unexplained(_))));
}

#[test]
fn too_much_at_once_is_said() {
    let history: Vec<_> = (0..=OPEN_MAX as u64).map(|value| put(value, 0, 9)).collect();
    assert_eq!(check(&history), Err(Violation::TooMany(OPEN_MAX)));
}

/// Compares the checker with an exhaustive search, on random short histories of which some are valid and some are
/// spoiled.
#[test]
fn it_agrees_with_trying_all_orders() {
    let seed = std::env::var("LOGBOOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fastrand::u64(..));
    eprintln!("LOGBOOM_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut verdicts = [0, 0];
    for _ in 0..3000 {
        let history: Vec<_> = (0..chance.u64(1..7)).map(|at| random(&mut chance, at + 1)).collect();
        let (fast, slow) = (check(&history).is_ok(), exhaustive(&history, None));
        assert_eq!(fast, slow, "{history:?}");
        verdicts[usize::from(slow)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 100), "both verdicts are common: {verdicts:?}");
}

fn random(chance: &mut fastrand::Rng, value: u64) -> Operation {
    let invoked = chance.u64(0..12);
    let some = |chance: &mut fastrand::Rng| chance.bool().then(|| chance.u64(1..7));
    let (call, answer) = match chance.u8(0..4) {
        0 => (Call::Put(value), Answer::Written),
        1 => (Call::Get, Answer::Value(some(chance))),
        2 => (Call::Swap { expected: some(chance), value }, Answer::Written),
        _ => (Call::Swap { expected: some(chance), value }, Answer::Kept(some(chance))),
    };
    let answered = (call == Call::Get || chance.u8(0..4) > 0).then(|| (invoked + chance.u64(0..6), answer));
    operation(0, call, invoked, answered)
}

/// Whether some order explains the operations, starting from a register with `value`. An operation may come next if it
/// was asked no later than the first answer among those that are left.
fn exhaustive(left: &[Operation], value: Option<u64>) -> bool {
    let first_answer = left.iter().filter_map(|operation| operation.answered.map(|(at, _)| at)).min();
    let Some(first_answer) = first_answer else { return true };
    (0..left.len()).any(|at| {
        let next = &left[at];
        let mut others = left.to_vec();
        others.remove(at);
        next.invoked <= first_answer && effect(next, value).is_some_and(|value| exhaustive(&others, value))
    })
}
