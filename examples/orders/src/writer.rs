//! A thread that writes orders.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arrow_array::{ArrayRef, Int64Array};
use fastrand::Rng;

use crate::{
    Result,
    order::{Order, Orders, to_batch},
    shop::Shop,
};

/// Writes orders until `stop`, in transactions of up to `rows` of them. Returns those that are there then.
///
/// Each of the `writers` has the ids that leave its `number` when they are divided by `writers`, so that no two write
/// the same order: that would be refused, as one of two that are written at once has to begin again.
pub(crate) fn run(shop: &Shop, number: u8, writers: u8, rows: u16, stop: &AtomicBool) -> Result<Orders> {
    let mut rng = Rng::with_seed(number.into());
    let mut written = Orders::new();
    let mut next = i64::from(number);
    while !stop.load(Ordering::Relaxed) {
        let mut transaction = shop.tail.begin();
        let mut new = Orders::new();
        for _ in 0..rng.u16(1..=rows) {
            new.insert(next, order(&mut rng));
            next += i64::from(writers);
        }
        transaction.insert(shop.orders, &to_batch(&new)?)?;

        // Some of the older ones are changed, and a few go.
        let mut old = |count| -> Vec<i64> {
            (0..count).filter_map(|_| Some(*written.range(rng.i64(0..next)..).next()?.0)).collect()
        };
        let (changed, gone) = (old(rows / 8), old(rows / 16));
        let changed: Orders = changed.into_iter().map(|id| (id, order(&mut rng))).collect();
        if !changed.is_empty() {
            transaction.upsert(shop.orders, &to_batch(&changed)?)?;
        }
        let ids: ArrayRef = Arc::new(Int64Array::from(gone.clone()));
        transaction.delete(shop.orders, &[ids])?;
        transaction.commit()?;

        written.extend(new);
        written.extend(changed);
        gone.iter().for_each(|id| drop(written.remove(id)));
    }
    Ok(written)
}

fn order(rng: &mut Rng) -> Order {
    let note = (rng.u8(..10) == 0).then(|| format!("waits for part {}", rng.u16(..)));
    Order { buyer: format!("buyer {}", rng.u16(..5000)), cents: rng.i64(100..100_000), note }
}
