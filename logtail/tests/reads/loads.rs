//! Bulk loads read objects to look for keys, and no commit waits for them meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::DataType;
use logboom::Clock;
use logboom_logtail::{Error, Load, LoadProgress, NewColumn, Projection, Result, TableId, Tail, Timestamp};

use crate::{
    counting::Counting,
    shop::{Shop, create},
};

/// A commit that has not ended after this time waits for the read that it was made beside.
const STUCK: Duration = Duration::from_secs(20);

fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

fn insert(tail: &Tail, table: TableId, id: i64) -> Result<Timestamp> {
    let mut transaction = tail.begin();
    transaction.insert(table, &rows([id]))?;
    transaction.commit()
}

fn ids(tail: &Tail, table: TableId) -> Vec<i64> {
    let batches = tail.scan(table, tail.watermark(), Projection::default()).unwrap().map(Result::unwrap);
    let mut ids: Vec<i64> = batches.flat_map(|rows| rows["id"].as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

/// A load of each tenth id below 40,000 in several objects, over all of which the others spread. All rows are put.
fn load(tail: &Tail, table: TableId) -> Load {
    let mut ids: Vec<i64> = (0..4000).map(|id| id * 10).collect();
    fastrand::Rng::with_seed(5).shuffle(&mut ids);
    let mut load = tail.load(table).unwrap();
    ids.chunks(500).for_each(|ids| load.write(&rows(ids.iter().copied())).unwrap());
    load
}

/// Inserts a row beside each read of the load, and flushes beside one, until there are none left of `inserted`.
/// Returns what came of the inserts.
fn insert_beside_reads(
    store: &Counting,
    tail: &Tail,
    table: TableId,
    inserted: Vec<i64>,
) -> Arc<Mutex<Vec<Option<Result<Timestamp>>>>> {
    let (outcomes, tail) = (Arc::new(Mutex::new(Vec::new())), tail.clone());
    let (ended, mut left) = (Arc::clone(&outcomes), inserted.into_iter().enumerate());
    store.meanwhile(move || {
        let is_stuck = ended.lock().unwrap().iter().any(Option::is_none);
        let Some((nth, id)) = left.next().filter(|_| !is_stuck) else { return };
        let (sender, outcome) = mpsc::channel();
        let tail = tail.clone();
        thread::spawn(move || {
            let outcome = insert(&tail, table, id);
            if nth == 3 {
                tail.flush(table).unwrap();
            }
            sender.send(outcome).ok(); // Given up.
        });
        ended.lock().unwrap().push(outcome.recv_timeout(STUCK).ok());
    });
    outcomes
}

fn with_table(store: &Counting, dir: &std::path::Path, bloom_filters: bool) -> (Shop, Tail, TableId) {
    let mut shop = Shop::new(dir, store.choice());
    shop.options.load_bytes = 32 << 10;
    shop.options.objects.bloom_filters = bloom_filters;
    if !bloom_filters {
        shop.options.page_cache_bytes = 0; // so that each check reads
    }
    let tail = shop.open();
    let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &["id"]);
    (shop, tail, table)
}

#[test]
fn commits_do_not_wait_while_a_load_reads() {
    for bloom_filters in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = Counting::new();
        let (_shop, tail, table) = with_table(&store, dir.path(), bloom_filters);
        // In an object that the first check reads, and in memory.
        insert(&tail, table, 7).unwrap();
        insert(&tail, table, 39_993).unwrap();
        tail.flush(table).unwrap();
        insert(&tail, table, 13).unwrap();
        let load = load(&tail, table);
        assert!(tail.version(table).unwrap().objects().len() == 1);
        let inserted: Vec<i64> = (1..=60).map(|nth| nth * 661).filter(|id| id % 10 != 0).collect();
        let outcomes = insert_beside_reads(&store, &tail, table, inserted.clone());
        let at = load.commit().unwrap();
        store.meanwhile(|| {});
        let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
        for (id, outcome) in inserted.iter().zip(outcomes.iter()) {
            let committed = outcome.as_ref().unwrap_or_else(|| panic!("the insert of {id} waits for a read"));
            assert!(matches!(committed, Ok(committed) if *committed < at), "{id}: {committed:?}");
        }
        assert!(outcomes.len() > 10, "{} inserts were made beside reads", outcomes.len());
        let mut expected: Vec<i64> = (0..4000).map(|id| id * 10).chain([7, 39_993, 13]).collect();
        expected.extend(&inserted[..outcomes.len()]);
        expected.sort_unstable();
        assert_eq!(ids(&tail, table), expected);
        // Each time that it had sealed the table and found something to read.
        assert!(bloom_filters || tail.metrics().load_give_ways > 0);
    }
}

/// The store answers no reads, or no puts, while a load waits for them: it ends when the engine is closed.
#[test]
fn a_load_that_waits_for_a_store_hears_that_the_engine_is_closed() {
    for holds_gets in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = Counting::new();
        let mut shop = Shop::new(dir.path(), store.choice());
        shop.options.threads = true;
        let tail = shop.open();
        let table = create(&tail, vec![NewColumn::required("id", DataType::Int64)], &["id"]);
        insert(&tail, table, 7).unwrap();
        tail.flush(table).unwrap();
        let mut load = tail.load(table).unwrap();
        load.write(&rows([6, 8])).unwrap();
        if holds_gets {
            store.hold_gets(true)
        } else {
            store.hold_puts(true)
        }
        let loading = thread::spawn(move || load.commit());
        while store.held_gets() + store.held_puts() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        shop.engine.close().unwrap();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(loading.join().unwrap()).unwrap());
        let outcome = ended.recv_timeout(STUCK).expect("the load ends");
        assert!(matches!(outcome, Err(Error::Log(logboom::Error::Closed))), "{outcome:?}");
        store.hold_gets(false);
        store.hold_puts(false);
    }
}

/// A clock that the test moves.
#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Others write once more while a load looks for what they have written, and each read of this look takes longer than
/// the load has patience: it ends in the middle.
#[test]
fn a_load_is_overtaken_in_the_middle_of_a_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = Counting::new();
    let hands = Arc::new(Hands::default());
    let (mut shop, tail, table) = with_table(&store, dir.path(), false);
    drop(tail);
    shop.options.clock = Some(Arc::clone(&hands) as _);
    let tail = shop.open();
    let mut load = load(&tail, table);
    load.complete();
    let write = |from: i64| (0..40).for_each(|nth| _ = insert(&tail, table, from + nth * 1000).unwrap());
    let look = |load: &mut Load| loop {
        store.take();
        let step = load.step();
        if matches!(step, Ok(LoadProgress::WaitsForStore)) {
            thread::yield_now();
        }
        let reads = store.take().len();
        if reads > 1 || step.is_err() {
            return (step, reads);
        }
    };
    // For its keys among each other: the next looks are for what is written meanwhile.
    assert!(look(&mut load).0.is_ok());
    write(1);
    let (first, first_reads) = look(&mut load);
    assert!(first.is_ok());
    write(2);
    let moves = Arc::clone(&hands);
    store.meanwhile(move || _ = moves.0.fetch_add(400, Ordering::Relaxed));
    let (second, second_reads) = look(&mut load);
    assert!(matches!(second, Err(Error::Overtaken { .. })), "{second:?}");
    assert!(second_reads < first_reads / 2, "{second_reads} reads after {first_reads}");
}

#[test]
fn keys_that_are_written_while_a_load_reads_are_found() {
    // The key is written beside the read of this number.
    for read in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let store = Counting::new();
        let (_shop, tail, table) = with_table(&store, dir.path(), true);
        insert(&tail, table, 7).unwrap();
        tail.flush(table).unwrap();
        let load = load(&tail, table);
        let key = 3000 * (i64::from(read) + 1);
        let inserted: Vec<i64> = (0..read).map(|nth| i64::from(nth) * 1999 + 1).chain([key]).collect();
        let outcomes = insert_beside_reads(&store, &tail, table, inserted.clone());
        let outcome = load.commit();
        store.meanwhile(|| {});
        let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Ok(_)))), "{outcomes:?}");
        assert_eq!(outcomes.len(), inserted.len(), "there are reads enough");
        assert!(matches!(outcome, Err(Error::Conflict { .. })), "{read}: {outcome:?}");
        let mut expected = [&[7], inserted.as_slice()].concat();
        expected.sort_unstable();
        assert_eq!(ids(&tail, table), expected);
    }
}
