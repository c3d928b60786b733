//! The limits of one group: at the limit, and one above.

use std::sync::Arc;

use logboom_disk::{SimDisk, SimOptions};
use logboom_wal::{
    Durability, Error, GROUP_RECORDS_MAX, ManualClock, Opening, Options, RECORD_HEADER, Runtime, Wal, open,
};

use crate::support::*;

/// As many of the shortest records as a group takes are a quarter of it.
const SEGMENT: u64 = 4 * (GROUP_RECORDS_MAX as u64) * (RECORD_HEADER as u64);

fn opening(disk: &Arc<SimDisk>, clock: &Arc<ManualClock>) -> Opening {
    let options = Options { segment_bytes: SEGMENT, ..options() };
    open(disk.clone(), options, Runtime::Manual(clock.clone())).unwrap()
}

fn write_all(wal: &Wal, bodies: &[&[u8]]) -> Result<(), Error> {
    submit(wal, bodies, Durability::Durable)?.0.wait()
}

#[test]
fn a_batch_at_both_limits_is_written_and_found_again() {
    let (disk, clock) = (SimDisk::new(1, SimOptions::default()), ManualClock::new(1));
    let wal = opening(&disk, &clock).start().unwrap();
    let most = GROUP_RECORDS_MAX as usize;
    let shortest = vec![&b""[..]; most + 1];
    assert_eq!(wal.batch_bytes_max(), most * RECORD_HEADER);
    for records in [most - 1, most] {
        write_all(&wal, &shortest[..records]).unwrap();
    }
    let many = write_all(&wal, &shortest);
    assert!(matches!(many, Err(Error::TooMany { records }) if records == most + 1), "{many:?}");

    let (long, limit) = (vec![7; wal.batch_bytes_max()], wal.batch_bytes_max());
    for body in [limit - RECORD_HEADER - 8, limit - RECORD_HEADER] {
        write_all(&wal, &[&long[..body]]).unwrap();
    }
    let large = write_all(&wal, &[&long[..limit - RECORD_HEADER + 1]]);
    let is_named = |bytes, named| (bytes, named) == (limit + 8, limit);
    assert!(matches!(large, Err(Error::TooLarge { bytes, limit }) if is_named(bytes, limit)), "{large:?}");
    assert_eq!(wal.metrics().admitted_bytes, 0, "what is refused is not in flight");

    let mut bytes = Vec::new();
    let disk = disk.power_cut();
    let mut again = opening(&disk, &clock);
    again
        .replay(&mut |scanned| {
            bytes.push(record(scanned).body().len());
            Ok(())
        })
        .unwrap();
    assert_eq!((bytes.len(), bytes.iter().sum::<usize>()), (2 * most + 1, 2 * limit - 2 * RECORD_HEADER - 8));
}

#[test]
fn records_are_moved_by_the_same_limits() {
    let sim = Sim::new(1);
    let limit = sim.wal.batch_bytes_max();
    let places = [limit - RECORD_HEADER, 8].map(|len| write(&sim.wal, &body(1, len)).unwrap());
    let mut records = Vec::new();
    sim.wal.read(&places, &mut records).unwrap();
    let large = sim.wal.move_records(&records);
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
    let many = sim.wal.move_records(&vec![records[1].clone(); GROUP_RECORDS_MAX as usize + 1]);
    assert!(matches!(many, Err(Error::TooMany { records: 65_537 })), "{many:?}");
    let copies = sim.wal.move_records(&records[..1]).unwrap();
    let mut read = Vec::new();
    sim.wal.read(&copies, &mut read).unwrap();
    assert_eq!(read[0].body(), records[0].body());
}
