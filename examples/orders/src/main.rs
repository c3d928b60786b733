//! Orders in a table of a log tail: threads write them, a reader reads them as of timestamps, and at the end, and after
//! a restart, the table has what was written.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it does")]

mod order;
mod reader;
mod report;
mod shop;
mod writer;

use std::{
    error::Error,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use clap::Parser;

use order::Orders;
use report::Report;
use shop::Shop;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Writes orders to a table, reads them, and checks what was read.
#[derive(Parser)]
struct Options {
    /// Where the log and the objects are: a new directory, or an empty one. Default: a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How long it writes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many threads write.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    writers: u8,
    /// The most orders of a transaction.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rows: u16,
    /// The memory for rows, in MiB; a table is flushed at an eighth of it.
    #[arg(long, default_value_t = 64)]
    memory_mib: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let temporary = tempfile::tempdir()?;
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().join("shop"));

    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty: what a run leaves there is for others to read", dir.display()).into());
    }
    let shop = Shop::open(&dir, options.memory_mib)?;
    let written = run(&shop, &options)?;
    check(&shop, &written)?;
    println!("{} orders are as they were written", written.len());
    shop.close()?;

    let shop = Shop::open(&dir, options.memory_mib)?;
    check(&shop, &written)?;
    println!("and after a restart");
    shop.close()
}

/// Writes and reads for a while. Returns the orders that there are then.
fn run(shop: &Shop, options: &Options) -> Result<Orders> {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let write = |number| move || writer::run(shop, number, options.writers, options.rows, stop);
        let writers: Vec<_> = (0..options.writers).map(|number| scope.spawn(write(number))).collect();
        let reader = scope.spawn(|| reader::run(shop, stop));
        let end = Instant::now() + Duration::from_secs(options.seconds);
        let mut report = Report::new(shop);
        // A thread that ends before has failed.
        while Instant::now() < end && !reader.is_finished() && !writers.iter().any(ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_secs(1).min(end.saturating_duration_since(Instant::now())));
            report.print(shop);
        }
        stop.store(true, Ordering::Relaxed);
        let mut written = Orders::new();
        for writer in writers {
            written.extend(writer.join().map_err(|_| "a writer panicked")??);
        }
        println!("{}", reader.join().map_err(|_| "the reader panicked")??);
        Ok(written)
    })
}

/// Compares the table with what was written: as a whole, and some orders by their ids.
fn check(shop: &Shop, written: &Orders) -> Result<()> {
    let now = shop.tail.watermark();
    let found = shop.all(now)?;
    if found != *written {
        return Err(format!("{} orders were written, and the table has {} others", written.len(), found.len()).into());
    }
    let some: Vec<i64> = written.keys().copied().step_by(written.len() / 100 + 1).chain([-1]).collect();
    let expected = some.iter().map(|id| written.get(id).cloned());
    if shop.by_ids(&some, now)?.into_iter().eq(expected) {
        Ok(())
    } else {
        Err("an order is not found by its id".into())
    }
}
