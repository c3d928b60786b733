//! How a peer that joins is given a log.

use super::{
    Row, Rule, Subject, Violation,
    bench::{Bench, entries, other},
};
use crate::log_store::{Error, LogStore};

pub(super) fn rows<'s, S: Subject>() -> [Row<'s, S>; 4] {
    [
        (Rule::PacksArriveWhole, packs_arrive_whole),
        (Rule::PackReplaces, pack_replaces),
        (Rule::PackRefusesDamage, pack_refuses_damage),
        (Rule::PackRefusesGaps, pack_refuses_gaps),
    ]
}

/// The entries of a log, packed.
fn packed<S: Subject>(bench: &Bench<'_, S>, store: &S::Store, index: u64, count: u64) -> Result<Vec<u8>, Violation> {
    let pack = bench.ok("pack", store.pack(index, count))?;
    pack.map(Vec::from).ok_or_else(|| bench.violation(format!("pack({index}, {count}): none")))
}

fn packs_arrive_whole<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    for start in [1, 13] {
        let from = bench.log_from(start, 60)?;
        let to = bench.subject.store();
        let mut next = start;
        while next < 60 {
            let count = bench.random.u64(1..=(60 - next).min(25));
            let pack = packed(bench, &from, next, count)?;
            bench.ok("apply_pack", to.apply_pack(next, &pack))?;
            if to.next_slot() <= next || to.next_slot() > next + count {
                return Err(bench.violation(format!("a pack of {count} from {next} on leads to {}", to.next_slot())));
            }
            next = to.next_slot();
        }
        bench.holds(&to, start, &entries(start..60))?;
    }
    Ok(())
}

fn pack_replaces<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let from = bench.log(10)?;
    let pack = packed(bench, &from, 4, 3)?;
    for end in [4, 5, 9, 30] {
        let to = bench.subject.store();
        for index in 1..end {
            bench.append(&to, index, other(index))?;
        }
        bench.ok("apply_pack", to.apply_pack(4, &pack))?;
        let expected = [(1..4).map(other).collect(), entries(4..7)].concat();
        bench.holds(&to, 1, &expected)?;
    }
    Ok(())
}

fn pack_refuses_damage<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let from = bench.log(10)?;
    let pack = packed(bench, &from, 4, 5)?;
    let to = bench.subject.store();
    for index in 1..8 {
        bench.append(&to, index, other(index))?;
    }
    let before: Vec<_> = (1..8).map(other).collect();
    let refuse = |index, bytes: &[u8], what: String| match to.apply_pack(index, bytes) {
        Err(Error::Pack { .. }) => bench.holds(&to, 1, &before),
        outcome => Err(bench.violation(format!("a pack {what}: {outcome:?}"))),
    };
    refuse(5, &pack, "of another index".into())?;
    refuse(4, &[], "without a byte".into())?;
    refuse(4, &[&pack[..], &[0]].concat(), "and a byte behind it".into())?;
    for at in 0..pack.len() {
        refuse(4, &pack[..at], format!("of which {at} bytes came"))?;
        let mut damaged = pack.clone();
        damaged[at] ^= 1 << bench.random.clone().u32(0..8);
        refuse(4, &damaged, format!("damaged at {at}"))?;
    }
    bench.ok("apply_pack", to.apply_pack(4, &pack))
}

fn pack_refuses_gaps<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Violation> {
    let from = bench.log(20)?;
    let to = bench.log_from(5, 10)?;
    match to.apply_pack(12, &packed(bench, &from, 12, 2)?) {
        Err(Error::Gap { next: 10, index: 12 }) => {}
        outcome => return Err(bench.violation(format!("a pack of 12 for a log up to 9: {outcome:?}"))),
    }
    match to.apply_pack(3, &packed(bench, &from, 3, 6)?) {
        Err(Error::Compacted { start: 5 }) => {}
        outcome => return Err(bench.violation(format!("a pack of 3 for a log from 5 on: {outcome:?}"))),
    }
    bench.holds(&to, 5, &entries(5..10))
}
