//! Limits: what is at one is taken and comes back, what is one above is refused, and the error names the limit.

use logboom::{Engine, Error};

use crate::support::*;

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
