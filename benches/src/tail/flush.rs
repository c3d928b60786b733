//! Flushes, beside the `parquet` crate, and commits beside a flush.
//!
//! Each round fills a table, flushes it, and reads the rows back in their order. Then the encoder of objects and the
//! `parquet` crate's writer each write those batches to a file of their own, with the same properties, and sync it.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use logboom_logtail::{FlushParts, FlushProgress, Projection, TableId, TableSchema};
use logboom_logtail_blocks::{ObjectMemory, ObjectSpec, ObjectWriter, WriteOptions};
use logboom_logtail_core::{ObjectId, block_meta::ObjectKind};
use parquet::file::properties::WriterProperties;

use super::{
    Report, Request, bare_parquet,
    orders::Orders,
    shop::{DIR, Shop},
};
use crate::{
    Result, interrupt,
    load::{Gate, Pacer, Tally, Window, Worker, drive},
    report::median,
};

const ROWS: u64 = 1_000_000;

/// Commits beside a flush: a rate that a flush leaves room for, by so many threads that none waits for its last commit.
const WRITERS: u32 = 16;
const COMMITS_PER_S: u32 = 2000;
const COMMIT_ROWS: usize = 10;

/// Measures the speed of a flush, and what it costs commits.
pub(super) fn measure(request: &Request<'_>, report: &mut Report) -> Result<()> {
    let shop = Shop::open(request)?;
    let rows = request.rows.unwrap_or(ROWS);
    let mut rounds = Rounds::default();
    for round in 0..request.rounds {
        rounds.speed(&shop, request, rows, round)?;
        rounds.commits(&shop, request, rows, round)?;
        interrupt::check()?;
    }
    rounds.report(rows as f64, report);
    shop.close()
}

/// What the rounds measured: seconds a flush of all rows, and microseconds a commit.
#[derive(Default)]
struct Rounds {
    flush: Vec<f64>,
    encode: Vec<f64>,
    parquet: Vec<f64>,
    parquet_after: Vec<f64>,
    /// Where the encoder's objects lie. A round leaves it to the next, as a flush of a log tail does.
    memory: ObjectMemory,
    p99_before: Vec<f64>,
    p99_flushing: Vec<f64>,
    p99_after: Vec<f64>,
    /// Of the speed of flushes alone, what is left beside commits.
    speed_kept: Vec<f64>,
}

impl Rounds {
    fn speed(&mut self, shop: &Shop, request: &Request<'_>, rows: u64, round: u32) -> Result<()> {
        let table = shop.create(format!("orders-{round}"), true)?;
        shop.fill(table, rows, u64::from(round))?;
        self.flush.push(seconds(|| Ok(shop.tail.flush(table)?))?);
        let sorted = Sorted::read(shop, table)?;
        let dir = request.place.path().join(DIR);
        let objects = shop.files(table)?;
        let first = Bytes::from(std::fs::read(objects.first().ok_or("the flush wrote no object")?)?);
        let properties = bare_parquet::properties_of(&first)?;
        self.parquet.push(seconds(|| sorted.write_parquet(&dir, &properties))?);
        self.encode.push(seconds(|| sorted.encode(&dir, &self.memory))?);
        self.parquet_after.push(seconds(|| sorted.write_parquet(&dir, &properties))?);
        Ok(())
    }

    fn commits(&mut self, shop: &Shop, request: &Request<'_>, rows: u64, round: u32) -> Result<()> {
        let orders = shop.create(format!("recent-{round}"), true)?;
        let window = Window::of_seconds(request.seconds);
        let fill = |name: &str| -> Result<Vec<TableId>> {
            let tables = (0..FLUSHES).map(|number| shop.create(format!("{name}-{round}-{number}"), true));
            let tables = tables.collect::<Result<Vec<_>>>()?;
            tables.iter().try_for_each(|table| shop.fill(*table, rows / FLUSHES, u64::from(round)))?;
            Ok(tables)
        };
        let flush = |tables: &[TableId]| seconds(|| tables.iter().try_for_each(|table| give_way(shop, *table)));
        // All that fills the log comes before what is measured: the disk is busy with it for a while.
        let (flushed_alone, flushed_beside) = (fill("alone")?, fill("beside")?);
        shop.settle()?;
        // Commits that were a moment ago slow flushes down.
        thread::sleep(QUIET);
        let alone = flush(&flushed_alone)?;
        self.p99_before.push(commit(shop, orders, window, &AtomicBool::new(true))?);
        let is_flushing = AtomicBool::new(false);
        let p99 = thread::scope(|scope| {
            let flushing = scope.spawn(|| {
                thread::sleep(window.warmup);
                is_flushing.store(true, Ordering::Relaxed);
                let flushed = flush(&flushed_beside);
                is_flushing.store(false, Ordering::Relaxed);
                flushed
            });
            let p99 = commit(shop, orders, window, &is_flushing);
            let beside = flushing.join().map_err(|_| "the flushing thread panicked")??;
            self.speed_kept.push(alone / beside);
            p99
        });
        self.p99_flushing.push(p99?);
        self.p99_after.push(commit(shop, orders, window, &AtomicBool::new(true))?);
        shop.flush(orders)
    }

    fn report(&self, rows: f64, report: &mut Report) {
        let of = |times: &[f64]| median(times.to_vec()).unwrap_or_default();
        let lines = [
            ("flush, sort counted", &self.flush),
            ("objects of sorted rows", &self.encode),
            ("parquet, of the same rows", &self.parquet),
            ("the same, after", &self.parquet_after),
        ];
        for (what, times) in lines {
            report.line(what, [("rows_per_s", rows / of(times))]);
        }
        report.line("commits alone", [("p99_us", of(&self.p99_before))]);
        report.line("commits beside a flush", [("p99_us", of(&self.p99_flushing))]);
        report.line("commits alone, after", [("p99_us", of(&self.p99_after))]);
        let parquet = mean(&self.parquet, &self.parquet_after);
        let p99_alone = mean(&self.p99_before, &self.p99_after);
        report.figure("sorted_ratio", ratio(&parquet, &self.encode));
        report.figure("sorting_ratio", ratio(&parquet, &self.flush));
        report.figure("noise_ratio", ratio(&self.parquet, &self.parquet_after));
        report.figure("commit_p99_ratio", ratio(&self.p99_flushing, &p99_alone));
        report.figure("noise_commit_p99_ratio", ratio(&self.p99_after, &self.p99_before));
        report.figure("flush_speed_beside_commits", of(&self.speed_kept));
    }
}

/// Tables that are flushed one after the other, alone and beside commits.
const FLUSHES: u64 = 4;
/// After so long there are no commits.
const QUIET: Duration = Duration::from_millis(300);

/// Flushes a table as the tail does on its own, so that it gives way to commits: one that is asked for does not.
fn give_way(shop: &Shop, table: TableId) -> Result<()> {
    let mut flushing = shop.tail.begin_flush(table, FlushParts::ALL).ok_or("there is nothing to flush")?;
    loop {
        match flushing.step()? {
            FlushProgress::Done => return Ok(()),
            FlushProgress::Moved => {}
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect()).unwrap_or_default()
}

/// Of what was measured before and after something else.
fn mean(before: &[f64], after: &[f64]) -> Vec<f64> {
    before.iter().zip(after).map(|(before, after)| f64::midpoint(*before, *after)).collect()
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The rows of a table in the order of its key, with their commits.
struct Sorted {
    table: TableId,
    schema: Arc<TableSchema>,
    rows: Vec<(RecordBatch, Int64Array)>,
    /// The same with the commits as a column, as objects have them.
    with_commits: Vec<RecordBatch>,
    columns: SchemaRef,
}

impl Sorted {
    fn read(shop: &Shop, table: TableId) -> Result<Self> {
        let schema = shop.schema(table)?;
        let mut projection = Projection::default();
        projection.commit_timestamps = true;
        let scan = shop.tail.scan(table, shop.tail.watermark(), projection)?;
        let columns = Arc::clone(scan.schema());
        let with_commits = scan.collect::<logboom_logtail::Result<Vec<_>>>()?;
        let split = |batch: &RecordBatch| {
            let own: Vec<usize> = (0..schema.columns().len()).collect();
            let commits = batch.column(own.len()).as_primitive::<Int64Type>().clone();
            let rows = RecordBatch::try_new(Arc::clone(schema.arrow()), batch.project(&own)?.columns().to_vec())?;
            Ok((rows, commits))
        };
        let rows = with_commits.iter().map(split).collect::<Result<_>>()?;
        Ok(Self { table, schema, rows, with_commits, columns })
    }

    /// Writes objects to a file, which is durable on return.
    fn encode(&self, dir: &Path, memory: &ObjectMemory) -> Result<()> {
        let mut file = File::create(dir.join("objects.parquet"))?;
        let spec = ObjectSpec {
            id: ObjectId { nonce: 1, number: 1 },
            table: self.table,
            schema_version: self.schema.version(),
            kind: ObjectKind::Rows,
            schema: Arc::clone(self.schema.arrow()),
            key: self.schema.key().to_vec(),
            sorted: true,
        };
        let total: usize = self.rows.iter().map(|(rows, _)| rows.num_rows()).sum();
        let mut written = 0;
        while written < total {
            let mut writer = ObjectWriter::new(spec.clone(), WriteOptions::default())?.reusing(memory);
            for (rows, commits) in self.behind(written) {
                writer.write(&rows, &commits)?;
                if writer.is_full() {
                    break;
                }
            }
            // It leaves out rows that did not fit any more.
            let object = writer.finish()?;
            written += object.meta.rows() as usize;
            file.write_all(&object.bytes)?;
        }
        Ok(file.sync_all()?)
    }

    /// The rows from position `from` on, batch by batch.
    fn behind(&self, from: usize) -> impl Iterator<Item = (RecordBatch, Int64Array)> {
        let mut skipped = from;
        self.rows.iter().filter_map(move |(rows, commits)| {
            let start = skipped.min(rows.num_rows());
            skipped -= start;
            let len = rows.num_rows() - start;
            (len > 0).then(|| (rows.slice(start, len), commits.slice(start, len)))
        })
    }

    fn write_parquet(&self, dir: &Path, properties: &WriterProperties) -> Result<()> {
        bare_parquet::write(&dir.join("bare.parquet"), &self.columns, &self.with_commits, properties.clone())
    }
}

/// The p99 of commits at a fixed rate, in microseconds, of those that ended while `counts`.
fn commit(shop: &Shop, table: TableId, window: Window, counts: &AtomicBool) -> Result<f64> {
    let columns = shop.columns(table)?;
    let committer = |writer| Committer {
        shop,
        table,
        counts,
        orders: Orders::new(Arc::clone(&columns), COMMIT_ROWS, fastrand::u64(..)),
        pacer: Pacer::new(Some(COMMITS_PER_S), writer, WRITERS),
    };
    let measured = drive(&mut (0..WRITERS).map(committer).collect::<Vec<_>>(), window)?;
    match measured.tally.ops {
        0 => Err("no commit ended while a flush was under way".into()),
        _ => Ok(measured.tally.latencies.quantile_us(0.99)),
    }
}

struct Committer<'a> {
    shop: &'a Shop,
    table: TableId,
    counts: &'a AtomicBool,
    orders: Orders,
    pacer: Pacer,
}

impl Worker for Committer<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        while !gate.is_over() {
            let rows = self.orders.next()?;
            let began = self.pacer.wait();
            let mut transaction = self.shop.tail.begin();
            transaction.insert(self.table, &rows)?;
            transaction.commit()?;
            if self.counts.load(Ordering::Relaxed) {
                tally.add(gate, began.elapsed(), 1);
            }
        }
        Ok(())
    }
}
