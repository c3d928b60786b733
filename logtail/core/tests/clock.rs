//! The clock of a writer, beside wall clocks that jump, logs that lose bounds, and restarts.

use std::time::Duration;

use fastrand::Rng;
use logboom_logtail_core::{BoundReached, HybridClock, RESERVE, Timestamp};

const NOON: Duration = Duration::from_secs(1_764_504_000);
const MINUTE: Duration = Duration::from_secs(60);

/// A clock whose bound at `unix` is durable.
fn running(unix: Duration) -> HybridClock {
    let mut clock = HybridClock::recovered(Timestamp::ZERO);
    clock.bound_to_log(unix).expect("a new clock has no bound");
    clock.bound_is_durable();
    clock
}

/// A timestamp for somebody who waits, with a log that makes each bound durable at once.
fn give(clock: &mut HybridClock, unix: Duration) -> Timestamp {
    if clock.bound_to_log(unix).is_some() {
        clock.bound_is_durable();
    }
    clock.next(unix).expect("the bound is above")
}

#[test]
fn a_clock_gives_nothing_before_its_bound_is_durable() {
    let mut clock = HybridClock::recovered(Timestamp::ZERO);
    assert_eq!(clock.next(NOON), Err(BoundReached { bound: Timestamp::ZERO }));
    let bound = clock.bound_to_log(NOON).unwrap();
    assert_eq!(bound, Timestamp::from_unix(NOON + RESERVE));
    assert!(clock.next(NOON).is_err());
    clock.bound_is_durable();
    assert_eq!(clock.next(NOON), Ok(Timestamp::from_unix(NOON)));
}

#[test]
fn one_bound_is_asked_for_at_a_time_and_none_while_there_is_room() {
    let mut clock = running(NOON);
    assert_eq!(clock.bound_to_log(NOON + RESERVE / 2), None);
    assert!(clock.bound_to_log(NOON + RESERVE).is_some());
    assert_eq!(clock.bound_to_log(NOON + RESERVE), None);
    clock.bound_is_lost();
    assert!(clock.bound_to_log(NOON + RESERVE).is_some());
}

#[test]
fn timestamps_rise_while_the_clock_stands_still_or_jumps() {
    let mut clock = running(NOON);
    let walk = [NOON, NOON, NOON, NOON - 10 * MINUTE, NOON + 10 * MINUTE, NOON, NOON + 11 * MINUTE];
    let given = walk.map(|unix| give(&mut clock, unix));
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    // Set back, it is as of the time that it was: a reader of *ten to noon* finds nothing of it.
    assert_eq!(given[3].unix(), NOON);
    assert_eq!(given[6], Timestamp::from_unix(NOON + 11 * MINUTE));
}

#[test]
fn a_clock_that_was_set_back_shows_its_drift() {
    let mut clock = running(NOON);
    give(&mut clock, NOON);
    assert_eq!(clock.drift(NOON), Duration::ZERO);
    assert_eq!(clock.drift(NOON - 10 * MINUTE), 10 * MINUTE);
    assert_eq!(clock.drift(NOON + MINUTE), Duration::ZERO);
}

#[test]
fn a_jump_ahead_waits_for_a_higher_bound_and_changes_nothing() {
    let mut clock = running(NOON);
    let bound = Timestamp::from_unix(NOON + RESERVE);
    assert_eq!(clock.next(NOON + 10 * MINUTE), Err(BoundReached { bound }));
    assert_eq!(clock.next(NOON), Ok(Timestamp::from_unix(NOON)));
    assert_eq!(give(&mut clock, NOON + 10 * MINUTE), Timestamp::from_unix(NOON + 10 * MINUTE));
}

#[test]
fn a_clock_at_the_end_of_time_gives_nothing_and_asks_for_nothing() {
    let mut clock = HybridClock::recovered(Timestamp::MAX);
    assert!(clock.next(Duration::MAX).is_err());
    assert_eq!(clock.bound_to_log(Duration::MAX), None);
}

/// Whatever a wall clock says, it does not use up the timestamps: not for those that come after it was put right.
#[test]
fn a_wall_clock_at_the_end_of_time_leaves_timestamps() {
    let mut clock = running(NOON);
    for unix in [Duration::MAX, Duration::from_secs(9_000_000_000), NOON] {
        for _ in 0..100 {
            let last = clock.last();
            assert!(give(&mut clock, unix) > last);
        }
        clock = HybridClock::recovered(clock.bound());
    }
    let left = Timestamp::MAX.to_i64() - clock.last().to_i64();
    assert!(left > 1 << 51, "{left} timestamps are left");
}

#[test]
fn restarts_do_not_add_up() {
    let mut clock = HybridClock::recovered(Timestamp::ZERO);
    for _ in 0..1000 {
        let bound = clock.bound_to_log(NOON).expect("a restart needs a bound");
        clock.bound_is_durable();
        assert!(clock.next(NOON).is_ok());
        clock = HybridClock::recovered(bound);
    }
    assert!(clock.drift(NOON) < RESERVE + Duration::from_secs(3), "{:?}", clock.drift(NOON));
}

/// What a log has of bounds after a crash: those that were durable, and maybe the one on its way.
#[test]
fn no_timestamp_is_given_twice_over_restarts() {
    let seed = std::env::var("LOGBOOM_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut rng = Rng::with_seed(seed);
    let (mut unix, mut durable, mut on_its_way) = (NOON, Timestamp::ZERO, None);
    let mut clock = HybridClock::recovered(durable);
    let (mut last, mut given) = (Timestamp::ZERO, 0);
    for _ in 0..20_000 {
        match rng.u32(0..20) {
            0 => unix = unix.saturating_sub(Duration::from_millis(rng.u64(0..600_000))),
            1 => unix += Duration::from_millis(rng.u64(0..600_000)),
            2 => {
                // A crash: what was on its way may have landed.
                durable = durable.max(on_its_way.take().filter(|_| rng.bool()).unwrap_or_default());
                clock = HybridClock::recovered(durable);
            }
            3 if on_its_way.take().is_some() => clock.bound_is_lost(),
            4..=6 => {
                if let Some(bound) = on_its_way.take() {
                    durable = durable.max(bound);
                    clock.bound_is_durable();
                }
            }
            _ => {
                unix += Duration::from_millis(rng.u64(0..3));
                on_its_way = clock.bound_to_log(unix).or(on_its_way);
                let Ok(next) = clock.next(unix) else { continue };
                assert!(next > last && next <= durable, "LOGBOOM_SEED={seed}: {next} after {last}, below {durable}");
                (last, given) = (next, given + 1);
            }
        }
    }
    assert!(given > 1000, "LOGBOOM_SEED={seed}: {given} timestamps");
}
