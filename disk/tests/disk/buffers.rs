//! Chunks that are filled, frozen and read by several threads at once.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use logboom_disk::{Chunk, LINE, Pool};

/// An interpreter checks every access, and takes its time.
const ROUNDS: u8 = if cfg!(miri) { 2 } else { 40 };

/// Writers fill and freeze regions of one chunk while readers slice whatever they can: each sees a line whole or
/// not at all.
#[test]
fn readers_see_frozen_lines_only() {
    const WRITERS: usize = 3;
    for round in 0..ROUNDS {
        let pool = Pool::new(1 << 20);
        let mut carver = pool.carver(64 * 1024);
        let chunk = carver.chunk().clone();
        let regions: Vec<_> = (0..).map_while(|at| Some((at, carver.carve(LINE * (1 + at % 5))?))).collect();
        let mut shares: Vec<Vec<_>> = (0..WRITERS).map(|_| Vec::new()).collect();
        for (at, region) in regions {
            shares[at % WRITERS].push(region);
        }
        let (start, finished) = (Barrier::new(WRITERS + 1), AtomicBool::new(false));
        thread::scope(|scope| {
            let writers: Vec<_> = shares
                .into_iter()
                .map(|share| {
                    scope.spawn(|| {
                        start.wait();
                        for (at, mut region) in share.into_iter().enumerate() {
                            region.fill(1 + round);
                            // Some are abandoned, half written.
                            if at % 11 != 0 {
                                region.freeze();
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                start.wait();
                while !finished.load(Ordering::Relaxed) {
                    check(&chunk, 1 + round);
                }
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            finished.store(true, Ordering::Relaxed);
        });
        assert!(check(&chunk, 1 + round) > 0);
    }
}

#[test]
fn memory_goes_round_between_threads() {
    let pool = Pool::new(4 << 20);
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let pool = pool.clone();
            scope.spawn(move || {
                for round in 0..10 * usize::from(ROUNDS) {
                    let mut region = pool.region((64 * 1024) << (round % 3));
                    region.fill(thread);
                    let slice = region.freeze();
                    let bytes = slice.slice(64..128).into_bytes();
                    drop(slice);
                    assert_eq!(bytes, [thread; 64][..]);
                }
            });
        }
    });
    assert!(pool.bytes() <= 4 << 20);
}

fn check(chunk: &Chunk, byte: u8) -> usize {
    let lines = (0..chunk.len() / LINE).filter_map(|line| chunk.slice(line * LINE..(line + 1) * LINE));
    lines.inspect(|line| assert!(line.iter().all(|other| *other == byte))).count()
}
