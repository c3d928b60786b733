//! Small transactions of many threads, beside entries of the same bytes in a bare shard.
//!
//! A round has three windows: the bare shard, the log tail, the bare shard again. The ratios are of the log tail's
//! figures to the mean of the bare shard's two, and the difference between those two is the noise. Both contenders make
//! the rows of each transaction, whose time counts as processor time and not as latency.

use std::time::Instant;

use arrow_schema::SchemaRef;
use logboom::ShardId;
use logboom_logtail::TableId;

use super::{Report, Request, bare_shard::BareShard, orders::Orders, shop::Shop};
use crate::{
    Result, interrupt,
    load::{Gate, Measured, Tally, Window, Worker, drive},
    report::median,
};

const WRITERS: u64 = 16;
const ROWS: usize = 10;

/// Rows that a table with a key has in objects before the measurement, and those of each of its flushes.
const KEYED_ROWS: u64 = 10_000_000;
const FLUSH_ROWS: u64 = 1_000_000;

/// Records whose bytes the bare shard appends.
const RECORDS: u64 = 1024;

/// Measures tables without a key, and then with one.
pub(super) fn measure(request: &Request<'_>, report: &mut Report) -> Result<()> {
    Variant::new(request, false)?.measure(request, report)?;
    Variant::new(request, true)?.measure(request, report)
}

struct Variant {
    shop: Shop,
    table: TableId,
    columns: SchemaRef,
    keyed: bool,
}

impl Variant {
    fn new(request: &Request<'_>, keyed: bool) -> Result<Self> {
        let shop = Shop::open(request)?;
        let table = shop.create("orders", keyed)?;
        if keyed {
            let mut left = request.rows.unwrap_or(KEYED_ROWS);
            for seed in 0.. {
                if left == 0 {
                    break;
                }
                shop.fill(table, left.min(FLUSH_ROWS), seed)?;
                shop.flush(table)?;
                left = left.saturating_sub(FLUSH_ROWS);
                interrupt::check()?;
            }
        }
        let columns = shop.columns(table)?;
        Ok(Self { shop, table, columns, keyed })
    }

    fn measure(self, request: &Request<'_>, report: &mut Report) -> Result<()> {
        let records = self.records()?;
        let window = Window::of_seconds(request.seconds);
        let bare = BareShard::new(&self.shop.engine, ShardId(2));
        let mut rounds = Rounds::default();
        for round in 0..u64::from(request.rounds) {
            rounds.before.push(self.bare(&bare, &records, window, round)?);
            let gets = self.shop.store.gets();
            let measured = self.tail(window, round)?;
            // Those of the warm-up count too: there are few.
            rounds.gets.push((self.shop.store.gets() - gets) as f64 / (measured.ops * ROWS as f64));
            rounds.tail.push(measured);
            rounds.after.push(self.bare(&bare, &records, window, round)?);
            // Rows of the table with a key stay in memory: objects of this round's keys would change the next round.
            if !self.keyed {
                self.shop.flush(self.table)?;
            }
            interrupt::check()?;
        }
        rounds.report(self.keyed, report);
        self.shop.close()
    }

    /// Records of such transactions, as they lie in the log.
    fn records(&self) -> Result<Vec<Vec<u8>>> {
        let mut orders = Orders::new(SchemaRef::clone(&self.columns), ROWS, u64::MAX);
        let mut last = None;
        for _ in 0..RECORDS {
            let mut transaction = self.shop.tail.begin();
            transaction.insert(self.table, &orders.next()?)?;
            last = Some(transaction.submit()?);
        }
        last.map(|commit| commit.wait()).transpose()?;
        self.shop.last_records(RECORDS)
    }

    fn bare(&self, shard: &BareShard<'_>, records: &[Vec<u8>], window: Window, round: u64) -> Result<Figures> {
        let appender = |writer| {
            let at = usize::try_from(writer * RECORDS / WRITERS).unwrap_or_default();
            Appender { shard, records, at, orders: self.orders(round, writer) }
        };
        let measured = drive(&mut (0..WRITERS).map(appender).collect::<Vec<_>>(), window)?;
        shard.compact()?;
        Ok(Figures::of(&measured))
    }

    fn tail(&self, window: Window, round: u64) -> Result<Figures> {
        let committer = |writer| Committer { variant: self, orders: self.orders(round, writer) };
        let measured = drive(&mut (0..WRITERS).map(committer).collect::<Vec<_>>(), window)?;
        Ok(Figures::of(&measured))
    }

    /// Other ones for each round and writer, and the same for both contenders but for what a round took.
    fn orders(&self, round: u64, writer: u64) -> Orders {
        Orders::new(SchemaRef::clone(&self.columns), ROWS, 1 << 32 | round << 16 | writer)
    }
}

struct Committer<'a> {
    variant: &'a Variant,
    orders: Orders,
}

impl Worker for Committer<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        while !gate.is_over() {
            let rows = self.orders.next()?;
            let began = Instant::now();
            let mut transaction = self.variant.shop.tail.begin();
            transaction.insert(self.variant.table, &rows)?;
            transaction.commit()?;
            tally.add(gate, began.elapsed(), 1);
        }
        Ok(())
    }
}

struct Appender<'a> {
    shard: &'a BareShard<'a>,
    records: &'a [Vec<u8>],
    at: usize,
    orders: Orders,
}

impl Worker for Appender<'_> {
    fn work(&mut self, gate: &Gate, tally: &mut Tally) -> Result<()> {
        while !gate.is_over() {
            std::hint::black_box(self.orders.next()?);
            let payload = self.records.get(self.at).ok_or("there are no records")?;
            self.at = (self.at + 1) % self.records.len();
            let began = Instant::now();
            self.shard.append(payload)?;
            tally.add(gate, began.elapsed(), 1);
        }
        Ok(())
    }
}

/// What a window measured.
#[derive(Clone, Copy, Debug)]
struct Figures {
    ops: f64,
    ops_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

impl Figures {
    fn of(measured: &Measured) -> Self {
        let (tally, ops) = (&measured.tally, measured.tally.ops.max(1) as f64);
        Self {
            ops,
            ops_per_s: measured.rate(),
            p50_us: tally.latencies.quantile_us(0.5),
            p99_us: tally.latencies.quantile_us(0.99),
            cpu_us: measured.cpu.as_secs_f64() * 1e6 / ops,
        }
    }
}

/// What the rounds measured, one of each a round.
#[derive(Default)]
struct Rounds {
    before: Vec<Figures>,
    tail: Vec<Figures>,
    after: Vec<Figures>,
    gets: Vec<f64>,
}

impl Rounds {
    fn report(&self, keyed: bool, report: &mut Report) {
        let suffix = if keyed { "_keyed" } else { "" };
        let table = if keyed { "with a key" } else { "without a key" };
        line(report, format!("engine beside a table {table}"), &self.before);
        line(report, "the same, after".to_owned(), &self.after);
        line(report, format!("tail, a table {table}"), &self.tail);
        for (name, of) in FIGURES {
            let ratio = |(tail, (before, after)): (&Figures, (&Figures, &Figures))| {
                of(tail) / f64::midpoint(of(before), of(after))
            };
            let ratios = self.tail.iter().zip(self.before.iter().zip(&self.after)).map(ratio).collect();
            report.figure(format!("{name}_ratio{suffix}"), median(ratios).unwrap_or_default());
            let noise = self.before.iter().zip(&self.after).map(|(before, after)| of(after) / of(before)).collect();
            report.figure(format!("noise_{name}_ratio{suffix}"), median(noise).unwrap_or_default());
        }
        if keyed {
            report.figure("gets_per_row", median(self.gets.clone()).unwrap_or_default());
        }
    }
}

type Figure = (&'static str, fn(&Figures) -> f64);

const FIGURES: [Figure; 3] =
    [("p50", |figures| figures.p50_us), ("p99", |figures| figures.p99_us), ("cpu", |figures| figures.cpu_us)];

fn line(report: &mut Report, what: String, rounds: &[Figures]) {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect()).unwrap_or_default();
    let values = [
        ("ops_per_s", of(|figures| figures.ops_per_s)),
        ("p50_us", of(|figures| figures.p50_us)),
        ("p99_us", of(|figures| figures.p99_us)),
        ("cpu_us_per_op", of(|figures| figures.cpu_us)),
    ];
    report.line(what, values);
}
