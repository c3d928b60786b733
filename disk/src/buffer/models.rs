//! Models: the buffers under loom, which runs each of them through every interleaving of its threads.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release -p logboom-disk --lib models

use loom::{model, thread};

use super::{LINE, Pool};

#[test]
fn what_is_seen_frozen_is_seen_written() {
    model(|| {
        let mut carver = Pool::new(0).carver(1);
        let chunk = carver.chunk().clone();
        let (mut first, mut second) = (carver.carve(LINE).unwrap(), carver.carve(LINE).unwrap());
        let writer = thread::spawn(move || {
            first.fill(1);
            first.freeze();
        });
        second.fill(2);
        second.freeze();
        if let Some(both) = chunk.slice(0..2 * LINE) {
            assert_eq!((both[0], both[LINE]), (1, 2));
        }
        assert_eq!(chunk.slice(LINE..2 * LINE).unwrap()[0], 2);
        writer.join().unwrap();
        assert_eq!(chunk.slice(0..1).unwrap()[0], 1);
    });
}

#[test]
fn memory_is_used_again_after_its_last_reader() {
    model(|| {
        let pool = Pool::new(1 << 20);
        let mut region = pool.region(LINE);
        region.fill(1);
        let slice = region.freeze();
        let readers = [slice.clone(), slice].map(|slice| {
            thread::spawn(move || {
                assert_eq!(slice[0], 1);
            })
        });
        pool.region(LINE).fill(2);
        for reader in readers {
            reader.join().unwrap();
        }
        pool.region(LINE).fill(3);
        assert!(pool.bytes() <= 2 * 4096, "at most one chunk stood beside the one that was read");
    });
}

#[test]
fn an_abandoned_half_leaves_the_other_alone() {
    model(|| {
        let pool = Pool::new(1 << 20);
        let (mut kept, mut given_up) = pool.region(2 * LINE).split_at(LINE);
        let other = thread::spawn(move || given_up.fill(1));
        kept.fill(2);
        let kept = kept.freeze();
        other.join().unwrap();
        assert_eq!(kept[LINE - 1], 2);
        drop(kept);
        pool.region(LINE).fill(3);
        assert_eq!(pool.bytes(), 4096);
    });
}
