//! Scans of whole tables, beside the record batch reader of the `parquet` crate on the same objects.
//!
//! Everything is in memory: the reader's files, and the pages that the log tail keeps of them. The contenders take
//! turns scan by scan; a ratio is of rows a second, each of its own rows.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Int64Array, cast::AsArray, types::Int64Type};
use bytes::Bytes;
use logboom_logtail::{Projection, TableId};

use super::{Report, Request, bare_parquet, shop::Shop};
use crate::{Result, interrupt, report::median};

const ROWS: u64 = 2_000_000;

/// Of so many rows one is deleted.
const DELETED_OF: usize = 100;

/// Keys of a transaction that deletes rows.
const DELETES: usize = 10_000;

/// Ranges of keys whose deletes go to a tombstone object each.
const TOMBSTONE_OBJECTS: usize = 10;

/// Scans a table that is in objects, then with rows deleted; another one with as many deleted whose deletes are in
/// objects too; and one of which a tenth is in memory.
pub(super) fn measure(request: &Request<'_>, report: &mut Report) -> Result<()> {
    let rows = request.rows.unwrap_or(ROWS);
    let shop = Shop::open(request)?;
    let table = shop.create("orders", true)?;
    shop.fill(table, rows, 1)?;
    shop.flush(table)?;
    compare(&shop, table, request, "clean", report)?;
    let keys = keys_to_delete(&shop, table)?;
    delete(&shop, table, &keys)?;
    compare(&shop, table, request, "deleted", report)?;
    let table = shop.create("persisted", true)?;
    shop.fill(table, rows, 5)?;
    shop.flush(table)?;
    let mut keys = keys_to_delete(&shop, table)?;
    keys.sort_unstable();
    for keys in keys.chunks(keys.len().div_ceil(TOMBSTONE_OBJECTS).max(1)) {
        delete(&shop, table, keys)?;
        shop.flush(table)?;
    }
    compare(&shop, table, request, "persisted", report)?;
    let table = shop.create("recent", true)?;
    shop.fill(table, rows - rows / 10, 2)?;
    shop.flush(table)?;
    shop.fill(table, rows / 10, 3)?;
    compare(&shop, table, request, "tail", report)?;
    shop.close()
}

fn compare(shop: &Shop, table: TableId, request: &Request<'_>, name: &'static str, report: &mut Report) -> Result<()> {
    let files = shop.files(table)?.into_iter().map(|file| Ok(Bytes::from(std::fs::read(file)?)));
    let (files, columns) = (files.collect::<Result<Vec<_>>>()?, shop.columns(table)?.fields().len());
    let ours = || scan(shop, table);
    let bare = || files.iter().map(|file| bare_parquet::read(file, columns)).sum::<Result<u64>>();
    // Pages are checked and kept when they are read for the first time.
    ours()?;
    bare()?;
    let (mut ratios, mut noise, mut rates) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..request.rounds {
        let mut speeds = [Speed::default(); 3];
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < request.seconds {
            speeds[0].time(bare)?;
            speeds[1].time(ours)?;
            speeds[2].time(bare)?;
            interrupt::check()?;
        }
        let [before, own, after] = speeds.map(|speed| speed.rows_per_s());
        ratios.push(own / f64::midpoint(before, after));
        noise.push(after / before);
        rates[0].push(f64::midpoint(before, after));
        rates[1].push(own);
    }
    let [bare, ours] = rates.map(|rates| median(rates).unwrap_or_default());
    report.line(format!("parquet, {name}"), [("rows_per_s", bare)]);
    report.line(format!("tail, {name}"), [("rows_per_s", ours)]);
    report.figure(format!("{name}_ratio"), median(ratios).unwrap_or_default());
    report.figure(format!("noise_{name}_ratio"), median(noise).unwrap_or_default());
    Ok(())
}

fn scan(shop: &Shop, table: TableId) -> Result<u64> {
    let mut rows = 0;
    for batch in shop.tail.scan(table, shop.tail.watermark(), Projection::default())? {
        rows += black_box(batch?).num_rows() as u64;
    }
    Ok(rows)
}

/// The keys of some rows here and there.
fn keys_to_delete(shop: &Shop, table: TableId) -> Result<Vec<i64>> {
    let schema = shop.schema(table)?;
    let mut projection = Projection::default();
    projection.columns = Some(schema.key().iter().map(|column| (*column).into()).collect());
    let mut keys: Vec<i64> = Vec::new();
    for batch in shop.tail.scan(table, shop.tail.watermark(), projection)? {
        let batch = batch?;
        let ids = batch.column(0).as_primitive::<Int64Type>();
        keys.extend(ids.values());
    }
    fastrand::Rng::with_seed(4).shuffle(&mut keys);
    keys.truncate(keys.len() / DELETED_OF);
    Ok(keys)
}

fn delete(shop: &Shop, table: TableId, keys: &[i64]) -> Result<()> {
    for keys in keys.chunks(DELETES) {
        let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let mut transaction = shop.tail.begin();
        transaction.delete(table, &[keys])?;
        transaction.commit()?;
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Speed {
    rows: u64,
    time: Duration,
}

impl Speed {
    fn time(&mut self, scan: impl Fn() -> Result<u64>) -> Result<()> {
        let began = Instant::now();
        self.rows += scan()?;
        self.time += began.elapsed();
        Ok(())
    }

    fn rows_per_s(self) -> f64 {
        self.rows as f64 / self.time.as_secs_f64()
    }
}
