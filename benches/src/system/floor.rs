//! The machine's own limit: a bare loop of writes with the same payload and the same number of outstanding operations.
//!
//! It frames, checks, copies and wakes nothing, and rewrites one zero-filled file in a cycle.

use std::time::Duration;

use logboom_disk::DiskOptions;

use crate::{
    Result,
    job::{Job, Outcome},
    load::{Measured, Pacer, Window, drive},
    stream::{Manner, Method, Preparation, Source, Stream, Track},
};

/// Measures in this process. Short trials choose the best manner of writing, which is then measured.
pub fn measure(job: &Job, outstanding: usize, payload: usize, window: Window) -> Result<Outcome> {
    let disk = logboom_disk::open(&job.dir, &DiskOptions::default())?;
    let track = Track::prepare(&disk, "track", TRACK_BYTES, Preparation::Zeroed, true)?;
    let run = |manner, rate, window| run(&track, manner, outstanding, payload, rate, window);
    let mut best: Option<(f64, Manner)> = None;
    let manners = manners(outstanding, payload);
    let trial = trial(window, manners.len());
    for manner in manners {
        let rate = run(manner, None, trial)?.rate();
        if best.is_none_or(|(most, _)| rate > most) {
            best = Some((rate, manner));
        }
    }
    let (_, best) = best.ok_or("no manner")?;
    let mut outcome = Outcome::of(run(best, job.rate, window)?, payload as u64)?;
    outcome.note("method", best.method.to_string());
    outcome.note("backend", if best.inline { "inline".to_owned() } else { disk.facts().backend.to_string() });
    outcome.note("writes_in_flight", best.depth);
    Ok(outcome)
}

const TRACK_BYTES: u64 = 256 << 20;

/// The most bytes that are coalesced into one write, unless one operation is larger.
const WRITE_BYTES: usize = 256 << 10;

/// The window of each trial. All trials together take a little longer than the measurement.
fn trial(window: Window, manners: usize) -> Window {
    let share = u32::try_from(manners).unwrap_or(u32::MAX);
    Window { warmup: Duration::from_millis(20), measured: window.measured * 5 / 4 / share }
}

/// The manners that could be best: each write is just large enough for `depth` of them to carry all outstanding
/// operations.
fn manners(outstanding: usize, payload: usize) -> Vec<Manner> {
    let mut manners = Vec::new();
    for depth in [1, 2, 4, 8, 16].into_iter().filter(|depth| *depth <= outstanding) {
        let coalesced = outstanding.div_ceil(depth).min(WRITE_BYTES / payload).max(1);
        for method in [Method::Dsync, Method::Rolling] {
            manners.push(Manner { inline: false, method, depth, coalesced, gated: true });
        }
        if depth == 1 {
            manners.push(Manner { inline: true, method: Method::Dsync, depth, coalesced, gated: true });
        }
    }
    manners
}

fn run(
    track: &Track,
    manner: Manner,
    outstanding: usize,
    payload: usize,
    rate: Option<u32>,
    window: Window,
) -> Result<Measured> {
    let source = Source::Closed { free: outstanding, pacer: Pacer::new(rate, 0, 1) };
    drive(&mut [Stream::new(track.clone(), manner, source, payload)], window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_large_enough_to_carry_all_and_no_larger() {
        for (outstanding, payload) in [(1, 1 << 10), (64, 1 << 10), (1024, 256), (64, 16 << 10), (8, 1 << 20)] {
            for manner in manners(outstanding, payload) {
                assert!(manner.depth <= outstanding);
                assert!(manner.coalesced * payload <= WRITE_BYTES.max(payload), "{manner:?}");
                let carried = manner.coalesced * manner.depth;
                assert!(carried >= outstanding || manner.coalesced == (WRITE_BYTES / payload).max(1), "{manner:?}");
            }
        }
    }
}
