//! A thread that reads orders, and checks them.

use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use logboom_logtail::{Filter, Op};

use crate::{Result, shop::Shop};

/// Reads until `stop`. Returns what it has done, as text.
///
/// What is there at a timestamp never changes: while others write and rows move to objects, a second reading gives what
/// the first one gave, and a filter gives of that the orders that satisfy it.
pub(crate) fn run(shop: &Shop, stop: &AtomicBool) -> Result<String> {
    let mut rng = Rng::with_seed(99);
    let (mut readings, mut orders) = (0_u64, 0);
    while !stop.load(Ordering::Relaxed) {
        let at = shop.tail.watermark();
        let all = shop.all(at)?;
        let cents = rng.i64(..100_000);
        let dear =
            shop.scan(at, Filter::new("cents", Op::GreaterOrEqual, cents).and(Filter::new("note", Op::NotEqual, "")))?;
        let expected = all.iter().filter(|(_, order)| order.cents >= cents && order.note.is_some());
        if !dear.iter().eq(expected) {
            return Err(format!("a filter gave other orders at {at}").into());
        }
        if shop.all(at)? != all {
            return Err(format!("the orders at {at} have changed").into());
        }
        (readings, orders) = (readings + 1, orders + all.len());
    }
    Ok(format!("{orders} orders were read at {readings} timestamps, twice and with a filter, and did not change"))
}
