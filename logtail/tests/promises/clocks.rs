//! Wall clocks that jump, and that stand still.

use std::time::Duration;

use logboom_logtail::{CheckpointKind, Timestamp};

use crate::machine::{Machine, NOON, create, rows, upsert};

/// Timestamps rise, commits go on, each timestamp shows what it showed, and the drift is told.
#[test]
fn timestamps_rise_and_show_their_rows_whatever_the_wall_clock_does() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let machine = Machine::new();
    let mut process = machine.start();
    let table = create(&process.tail);
    let mut seen: Vec<(Timestamp, Vec<_>)> = Vec::new();
    let walls =
        [NOON, NOON + minutes(10), NOON + minutes(10), NOON, NOON, NOON - minutes(10), NOON + minutes(11), NOON];
    for (round, wall) in (0..).zip(walls) {
        machine.clock.set_unix(wall);
        for id in 0..3 {
            let last = process.tail.watermark();
            let at = upsert(&process.tail, table, &[(id, Some(round)), (10 + round, Some(id))]).unwrap();
            assert!(at > last, "{at} behind {last}");
            assert!(at.unix() >= wall, "{at} is behind the wall clock");
            let ahead = at.unix() - wall;
            assert!(process.tail.drift() <= ahead && process.tail.drift() + Duration::from_secs(1) >= ahead);
            seen.push((at, rows(&process.tail, table, at)));
        }
        match round % 3 {
            0 => process.tail.flush(table).unwrap(),
            1 => _ = process.tail.checkpoint(CheckpointKind::Incremental).unwrap(),
            _ => process = machine.restart(process),
        }
        for (at, expected) in seen.iter().filter(|(at, _)| *at >= process.tail.horizon()) {
            assert_eq!(rows(&process.tail, table, *at), *expected, "at {at} in round {round}");
        }
    }
    assert!(process.tail.drift() >= minutes(11));
    assert!(seen.iter().filter(|(at, _)| *at >= process.tail.horizon()).count() > 8);
    machine.clock.set_unix(NOON + minutes(12));
    assert_eq!(process.tail.drift(), Duration::ZERO);
}

/// A wall clock that is far wrong for a moment does not use up the timestamps, of which there are none behind the last.
#[test]
fn a_wall_clock_at_the_end_of_time_is_outlived() {
    let machine = Machine::new();
    let mut process = machine.start();
    let table = create(&process.tail);
    let mut expected = Vec::new();
    for (id, wall) in (0..).zip([Duration::from_secs(1 << 40), Duration::MAX, NOON]) {
        machine.clock.set_unix(wall);
        upsert(&process.tail, table, &[(id, None)]).unwrap();
        process.tail.flush(table).unwrap();
        upsert(&process.tail, table, &[(10 + id, Some(1))]).unwrap();
        process.tail.checkpoint(CheckpointKind::Global).unwrap();
        process = machine.restart(process);
        expected.extend([(id, None), (10 + id, Some(1))]);
        expected.sort_unstable();
        assert_eq!(rows(&process.tail, table, process.tail.watermark()), expected);
    }
}
