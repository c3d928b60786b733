//! Limits: what is at one is taken and comes back, what is one above is refused, and the error names the limit.

use bytes::Bytes;
use logboom::{
    Capacity, Durability, Engine, Error,
    disk::{Disk, SimDisk, SimOptions},
};

use crate::support::*;

const SEGMENT: u64 = 1 << 20;

fn ground(segment_bytes: u64) -> Ground {
    let mut ground = Ground::sim(1);
    ground.config.segment_bytes = segment_bytes;
    ground
}

#[test]
fn the_bound_of_a_log_is_of_its_own_segments() {
    let least = 8 * SEGMENT;
    // Made with segments of `SEGMENT`, and opened with other wishes since.
    let mut ground = ground(SEGMENT);
    let open = |ground: &mut Ground, segment_bytes: u64, bound: u64| {
        ground.config.segment_bytes = segment_bytes;
        ground.config.space_bytes_max = Some(bound);
        let opened = ground.try_open();
        match opened {
            Err(Error::Config { reason }) => {
                assert!(reason.contains("space_bytes_max") && reason.contains(&least.to_string()), "{reason}");
                false
            }
            opened => {
                opened.unwrap().close().unwrap();
                true
            }
        }
    };
    assert!(!open(&mut ground, SEGMENT, least - 1), "nothing is created");
    assert_eq!(ground.disk().list().unwrap(), [""; 0]);
    assert!(open(&mut ground, SEGMENT, least));
    for segment_bytes in [256 << 10, SEGMENT, 64 << 20] {
        for (bound, good) in [(2 << 20, false), (least - 1, false), (least, true), (least + 1, true)] {
            assert_eq!(open(&mut ground, segment_bytes, bound), good, "{segment_bytes} {bound}");
        }
    }
    let mut config = small(temp_dir().path().join("log"));
    config.space_bytes_max = Some(8 * config.segment_bytes - 1);
    assert!(matches!(Engine::open(config.clone()), Err(Error::Config { .. })));
    assert!(!config.dir.exists());
}

#[test]
fn a_full_log_says_what_is_full() {
    let fill = |ground: &Ground| {
        let engine = ground.open();
        let full = (0..).find_map(|index| {
            let mut batch = engine.batch();
            batch.append_payload(A, index, 1, Bytes::from(vec![7; 20_000])).unwrap();
            engine.submit(batch, Durability::Durable).and_then(|ticket| ticket.wait()).err()
        });
        full.unwrap()
    };
    let mut bounded = Ground::sim(1);
    bounded.config.space_bytes_max = Some(2 << 20);
    let error = fill(&bounded);
    assert!(matches!(error, Error::Full(Capacity::Bound { bytes_max: 2_097_152 })), "{error:?}");
    assert!(error.to_string().contains("space_bytes_max") && error.to_string().contains("2097152"), "{error}");

    let ground = Ground::on(SimDisk::new(1, SimOptions { capacity: 4 << 20, ..SimOptions::default() }), 1);
    let error = fill(&ground);
    assert!(matches!(error, Error::Full(Capacity::Device)), "{error:?}");
    assert_eq!(error.to_string(), "the device is full");
}

/// A log from a device of smaller blocks, as if it had been copied to one of larger ones.
#[test]
fn a_log_of_smaller_blocks_says_so() {
    let mut ground = Ground::real();
    let engine = ground.open();
    let of_log = engine.open_report().disk.pad_unit;
    append(&engine, A, 0..9, 1);
    engine.close().unwrap();
    for (pad_unit, good) in [(of_log / 2, true), (of_log, true), (2 * of_log, false), (64 << 10, false)] {
        ground.config.disk.pad_unit = Some(pad_unit);
        for opened in [ground.try_open().map(drop), Engine::open_read_only(ground.config.clone()).map(drop)] {
            match opened {
                Ok(()) => assert!(good, "{pad_unit}"),
                Err(Error::Config { reason }) => {
                    let names = |bytes: usize| reason.contains(&format!(" {bytes}"));
                    assert!(!good && names(of_log) && names(pad_unit), "{reason}");
                }
                Err(error) => panic!("{pad_unit}: {error:?}"),
            }
        }
    }
    ground.config.disk.pad_unit = None;
    let engine = ground.open();
    check(&engine.shard(A), 0..9, 1);
    engine.close().unwrap();
}
