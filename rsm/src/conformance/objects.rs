//! Sending and receiving logical objects, of any size, with repetitions and new beginnings.

use super::{OnDiskSubject, Rule, Subject, Violation, bench::Bench, disk};
use crate::{
    machine::OnDisk,
    objects::{Object, ObjectSnapshots, ReadObjects, Transfer},
};

/// Objects after which a transfer of a history this small will never end.
const OBJECTS_MAX: u64 = 100_000;

type Reading<S> = <<S as Subject>::Machine as ObjectSnapshots>::Reading;
type Receiving<S> = <<S as Subject>::Machine as ObjectSnapshots>::Receiving;

pub(super) fn check<S: Subject<Machine: ObjectSnapshots>>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for object_bytes in [1, 7, 64, 1 << 10, 1 << 20] {
        for first in [true, false] {
            let end = if first { 2 } else { bench.end() };
            check_transfer(bench, object_bytes, end)?;
        }
    }
    Ok(())
}

/// A recovery from objects over another state, a sync, and a crash.
pub(super) fn check_on_disk<S>(bench: &mut Bench<'_, S>) -> Result<(), Violation>
where
    S: OnDiskSubject<Machine: OnDisk + ObjectSnapshots>,
{
    for object_bytes in [7, 1 << 10] {
        let (end, before) = (bench.end(), bench.end());
        let (sender, mut receiver) = (bench.machine_at(end)?, bench.machine_at(before)?);
        let (reading, receiving) = (sender.read_objects(object_bytes), receiver.receive_objects());
        let mut reading = bench.unfailing("read_objects", reading)?;
        let mut transfer = Transfer::new(bench.unfailing("receive_objects", receiving)?);
        send(bench, &mut reading, &mut transfer)?;
        recover(bench, &mut receiver, transfer, end)?;
        disk::sync(bench, &receiver)?;
        let (_, next) = disk::crash(bench, receiver)?;
        if next != end {
            let what = format!("recovered up to {} and synced, after a crash at {}", end - 1, next - 1);
            return Err(bench.violation(Rule::SyncedSurvives, what));
        }
    }
    Ok(())
}

/// A transfer of the state at `end` to a machine that has another, while both are updated.
fn check_transfer<S: Subject<Machine: ObjectSnapshots>>(
    bench: &mut Bench<'_, S>,
    object_bytes: usize,
    end: u64,
) -> Result<(), Violation> {
    let before = bench.end();
    let (mut sender, mut receiver) = (bench.machine_at(end)?, bench.machine_at(before)?);
    let (reading, receiving) = (sender.read_objects(object_bytes), receiver.receive_objects());
    let mut reading = bench.unfailing("read_objects", reading)?;
    let mut transfer = Transfer::new(bench.unfailing("receive_objects", receiving)?);
    let last = bench.log.end();
    bench.update(&mut sender, end..last)?;
    bench.update(&mut receiver, before..last)?;
    send(bench, &mut reading, &mut transfer)?;

    let untouched = bench.machine_at(last)?;
    bench.same(Rule::SavingChangesNothing, "a machine whose objects were read", &sender, &untouched)?;
    bench.same(Rule::ReceivingChangesNothing, "a machine that received objects", &receiver, &untouched)?;
    recover(bench, &mut receiver, transfer, end)?;
    let mut then = bench.machine_at(end)?;
    let what = format!("recovered from objects of {object_bytes} bytes");
    bench.same_from(Rule::RecoveryIsWhole, &what, &mut receiver, &mut then, end)
}

fn recover<S: Subject<Machine: ObjectSnapshots>>(
    bench: &Bench<'_, S>,
    machine: &mut S::Machine,
    transfer: Transfer<Receiving<S>>,
    end: u64,
) -> Result<(), Violation> {
    let received = transfer.finish().map_err(|error| bench.violation(Rule::ObjectsEnd, format!("{error:#}")))?;
    bench.unfailing("recover_from_objects", machine.recover_from_objects(received, end - 1))
}

/// Sends all objects, some of them read again, the transfer begun again at times.
fn send<S: Subject<Machine: ObjectSnapshots>>(
    bench: &mut Bench<'_, S>,
    reading: &mut Reading<S>,
    transfer: &mut Transfer<Receiving<S>>,
) -> Result<(), Violation> {
    let mut restarts = 1;
    let mut sent = 0;
    while let Some(wanted) = transfer.wanted() {
        let object = read::<S>(bench, reading, wanted)?;
        if bench.random.u8(..8) == 0 && read::<S>(bench, reading, wanted)? != object {
            return Err(bench.violation(Rule::ObjectsRepeat, format!("object {wanted} is another when read again")));
        }
        let received = transfer.receive(&object);
        received.map_err(|error| bench.violation(Rule::NoFailure, format!("{error:#}")))?;
        if restarts > 0 && sent > 0 && bench.random.u8(..4) == 0 {
            restarts -= 1;
            let first = read::<S>(bench, reading, 0)?;
            let received = transfer.receive(&first);
            received.map_err(|error| bench.violation(Rule::NoFailure, format!("{error:#}")))?;
        }
        sent += 1;
        if sent > OBJECTS_MAX {
            return Err(bench.violation(Rule::ObjectsEnd, format!("{OBJECTS_MAX} objects, and none was the last")));
        }
    }
    Ok(())
}

fn read<S: Subject<Machine: ObjectSnapshots>>(
    bench: &Bench<'_, S>,
    reading: &mut Reading<S>,
    id: u64,
) -> Result<Object, Violation> {
    let object = bench.unfailing("read_object", reading.read_object(id))?;
    if object.id != id {
        return Err(bench.violation(Rule::ObjectsRepeat, format!("object {} instead of {id}", object.id)));
    }
    Ok(object)
}
