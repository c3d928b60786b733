//! Filters give the rows that satisfy them, and no others, and read as little as they can.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, TimeUnit};
use fastrand::Rng;
use logboom_logtail::{
    Change, ColumnError, ColumnRef, Error, Filter, NewColumn, Op, Projection, ScanOptions, TableId, TableSchema, Tail,
    Timestamp, Value,
};

use crate::{
    counting::{Counting, Get},
    shop::{Shop, create, upsert},
};

const OPS: [Op; 6] = [Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual];

/// A filter, of columns by their positions.
#[derive(Clone, Debug)]
enum Wanted {
    Compares(usize, Op, Value),
    IsNull(usize, bool),
    All(Vec<Wanted>),
    Any(Vec<Wanted>),
}

/// A row that a scan gave: its place, and its values as text.
type Row = (u64, u32, Vec<String>);

#[test]
fn a_filter_gives_the_rows_of_which_it_holds() {
    let seeds = std::env::var("LOGBOOM_SEED").map_or(0..6, |seed| {
        let seed = seed.parse().unwrap();
        seed..seed + 1
    });
    for seed in seeds {
        println!("LOGBOOM_SEED={seed}");
        let mut history = History::new(seed);
        for _ in 0..history.rng.usize(4..10) {
            history.step();
        }
        for _ in 0..60 {
            history.check();
        }
    }
}

/// As a program may make it from what somebody sent: it costs no stack to make, to copy, to refuse and to drop it.
#[test]
fn a_filter_that_is_nested_too_deep_is_refused() {
    let store = Counting::new();
    let (_dir, shop, table) = two_objects(&store);
    let id = |op, value: i64| Filter::new("id", op, value);
    let nested = |depth: i64| {
        (0..depth).fold(id(Op::Less, 20), |filter, at| filter.and(id(Op::NotEqual, at)).or(id(Op::Equal, -at)))
    };
    let rows = |filter: Filter| read(&store, &shop, table, filter.into()).0;
    assert_eq!(rows(nested(0)), 10);
    assert_eq!(rows(nested(1)), 10);
    assert_eq!(rows(nested(100)), 1);
    let tail = shop.open();
    for filter in [nested(101), nested(102), nested(200_000), id(Op::Equal, 0).and(nested(101))] {
        let refused = tail.scan(table, tail.watermark(), filter.clone());
        assert!(matches!(refused, Err(Error::FilterTooDeep { max: 100 })), "{refused:?}");
    }
    drop(tail);
    // Side by side they are not nested, in whichever order.
    let wide = (0..10_000).fold(id(Op::Equal, 2), |filter, at| id(Op::Equal, 20_000 + at).or(filter));
    assert_eq!(rows(wide.or(id(Op::Equal, 4))), 5_002);
    assert_eq!(rows(Filter::any([2, 4, 6, 7].map(|at| id(Op::Equal, at)))), 3);
    assert_eq!(rows(Filter::any([])), 0);
    assert_eq!(rows(Filter::any([id(Op::Equal, 2), Filter::default()])), rows(Filter::default()));
}

#[test]
fn a_filter_reads_what_may_have_its_rows() {
    let store = Counting::new();
    let (_dir, shop, table) = two_objects(&store);
    let read = |options| read(&store, &shop, table, options);
    let of = |column: &str, op, value: i64| read(Filter::new(column, op, value).into());
    let (rows, objects, all) = read(ScanOptions::default());
    assert_eq!((rows, objects), (100_000, 2));
    // By the bounds of keys: one object of two, one block of seven.
    let (rows, objects, bytes) = of("id", Op::Equal, 4242);
    assert_eq!((rows, objects), (1, 1));
    assert!(bytes < all / 8, "{bytes} of {all} bytes");
    let (rows, objects, _) = of("id", Op::GreaterOrEqual, 100_000);
    assert_eq!((rows, objects), (50_000, 1));
    // Nothing is read where no block has such keys.
    assert_eq!(of("id", Op::Greater, 199_998), (0, 0, 0));
    // By the statistics of pages, which are in the footers.
    let (rows, objects, bytes) = of("written", Op::Less, 1_000_200);
    assert_eq!((rows, objects), (100, 2));
    assert!(bytes < all / 8, "{bytes} of {all} bytes");
    // By a bloom filter: the footer, and the filter.
    let (rows, objects, bytes) = of("id", Op::Equal, 4243);
    assert_eq!((rows, objects), (0, 1));
    assert!(bytes < all / 16, "{bytes} of {all} bytes");
    // Columns that are neither given nor compared are not read.
    let mut options = ScanOptions::from(Filter::new("written", Op::Less, 1_000_200));
    options.projection = Projection::of(["id"]);
    let (rows, _, narrow) = read(options);
    assert_eq!(rows, 100);
    assert!(narrow < all / 16, "{narrow} of {all} bytes");
}

#[test]
fn alternatives_and_nulls_read_what_may_have_their_rows() {
    let store = Counting::new();
    let (_dir, shop, table) = two_objects(&store);
    let read = |filter: Filter| read(&store, &shop, table, filter.into());
    let (_, _, all) = read(Filter::default());
    // By either: a block of each object; and no others where the alternatives are of another column too.
    let either = |one: i64, other: i64| Filter::new("id", Op::Equal, one).or(Filter::new("id", Op::Equal, other));
    let (rows, objects, bytes) = read(either(4242, 150_000));
    assert_eq!((rows, objects), (2, 2));
    assert!(bytes < all / 4, "{bytes} of {all} bytes");
    assert_eq!(read(either(-2, 200_000)), (0, 0, 0));
    let (rows, objects, _) = read(either(4242, 150_000).and(Filter::new("id", Op::Less, 100_000)));
    assert_eq!((rows, objects), (1, 1));
    let (rows, _, bytes) = read(Filter::new("id", Op::Less, 10).or(Filter::new("written", Op::Less, 1_000_200)));
    assert_eq!(rows, 100);
    assert!(bytes < all / 8, "{bytes} of {all} bytes");
    // By whether pages have nulls, or nothing else.
    let (rows, _, bytes) = read(Filter::is_not_null("note").and(Filter::new("id", Op::Less, 100_000)));
    assert_eq!(rows, 100);
    assert!(bytes < all / 8, "{bytes} of {all} bytes");
    let (rows, _, bytes) = read(Filter::is_null("note").and(Filter::new("id", Op::GreaterOrEqual, 100_000)));
    assert_eq!(rows, 0);
    assert!(bytes < all / 16, "{bytes} of {all} bytes");
    let (rows, _, bytes) = read(Filter::is_null("written"));
    assert_eq!(rows, 0);
    assert!(bytes < all / 16, "{bytes} of {all} bytes");
    let (rows, _, bytes) = read(Filter::is_null("note"));
    assert_eq!(rows, 49_900);
    assert!(bytes < all * 5 / 8, "{bytes} of {all} bytes");
}

/// A table of 100,000 rows.
fn two_objects(store: &Counting) -> (tempfile::TempDir, Shop, TableId) {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), store.choice());
    let tail = shop.open();
    let columns = vec![
        NewColumn::required("id", DataType::Int64),
        NewColumn::required("written", DataType::Int64),
        NewColumn::required("pad", DataType::Utf8),
        NewColumn::nullable("note", DataType::Int64),
    ];
    let table = create(&tail, columns, &["id"]);
    // Two objects of seven blocks, whose columns `written` rise with the keys, which are even.
    let mut rng = Rng::with_seed(5);
    for first in (0..10).map(|part| part * 10_000) {
        let ids = (first..first + 10_000).map(|id| 2 * id);
        let pads =
            (0..10_000).map(|_| Some(std::iter::repeat_with(|| rng.alphanumeric()).take(40).collect::<String>()));
        // Of the 100 first rows and those of the second object.
        let note = |id: i64| (!(200..100_000).contains(&id)).then_some(id);
        let arrays: [ArrayRef; 4] = [
            Arc::new(ids.clone().map(Some).collect::<Int64Array>()),
            Arc::new(ids.clone().map(|id| Some(1_000_000 + id)).collect::<Int64Array>()),
            Arc::new(pads.collect::<StringArray>()),
            Arc::new(ids.map(note).collect::<Int64Array>()),
        ];
        let schema = tail.catalog(tail.watermark()).unwrap();
        let schema = Arc::clone(schema.table(table).unwrap().arrow());
        upsert(&tail, table, &RecordBatch::try_new(schema, arrays.into()).unwrap());
        if first % 50_000 == 40_000 {
            tail.flush(table).unwrap();
        }
    }
    tail.close().unwrap();
    (dir, shop, table)
}

/// The rows that a scan gives, the objects that it reads, and the bytes of them.
fn read(store: &Counting, shop: &Shop, table: TableId, options: ScanOptions) -> (usize, usize, u64) {
    let tail = shop.open(); // with empty caches
    store.take();
    let rows: usize = tail.scan(table, tail.watermark(), options).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    let gets = store.take();
    let mut objects: Vec<_> = gets.iter().map(|get| get.name.clone()).collect();
    objects.sort();
    objects.dedup();
    tail.close().unwrap();
    (rows, objects.len(), gets.iter().map(Get::bytes).sum::<u64>())
}

#[test]
fn what_cannot_be_read_is_said_before_anything_is() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::new(dir.path(), Counting::new().choice());
    let tail = shop.open();
    let columns = vec![NewColumn::required("id", DataType::Int64), NewColumn::nullable("text", DataType::Utf8)];
    let table = create(&tail, columns, &["id"]);
    let scan = |options: ScanOptions| tail.scan(table, tail.watermark(), options).map(|_| ()).unwrap_err();
    let error = scan(Filter::new("id", Op::Equal, "7").into());
    let named = matches!(&error, Error::Column(ColumnError::Incomparable { column, .. }) if column == "id");
    assert!(named, "{error:?}");
    assert_eq!(error.to_string(), "column \"id\" is Int64, which does not compare with a string or binary");
    let error = scan(Filter::new("text", Op::Less, 7).into());
    assert!(matches!(&error, Error::Column(ColumnError::Incomparable { .. })), "{error:?}");
    let error = scan(Filter::new("id", Op::Less, 7).and(Filter::new("texts", Op::Equal, "a")).into());
    let named =
        matches!(&error, Error::Column(ColumnError::Absent { column: ColumnRef::Name(name), .. }) if name == "texts");
    assert!(named, "{error:?}");
    let wrong = Filter::new("id", Op::Less, 7).or(Filter::new("text", Op::Less, 7).and(Filter::is_null("id")));
    let error = scan(wrong.into());
    assert!(matches!(&error, Error::Column(ColumnError::Incomparable { .. })), "{error:?}");
    let error = scan(Filter::is_null("texts").into());
    assert!(matches!(&error, Error::Column(ColumnError::Absent { .. })), "{error:?}");
    let error = scan(Projection::of(["id", "texts"]).into());
    assert!(matches!(&error, Error::Column(ColumnError::Absent { .. })), "{error:?}");
    assert_eq!(error.to_string(), format!("table {table} has no column \"texts\""));
}

/// A table that was written and changed, and the timestamps that it was changed at.
struct History {
    rng: Rng,
    tail: Tail,
    table: TableId,
    seen: Vec<Timestamp>,
    _shop: Shop,
    _dir: tempfile::TempDir,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let shop = Shop::new(dir.path(), Counting::new().choice());
        let tail = shop.open();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let columns = vec![
            NewColumn::required("text", DataType::Utf8),
            NewColumn::required("id", DataType::Int64),
            NewColumn::nullable("small", DataType::Int16),
            NewColumn::nullable("float", DataType::Float64),
            NewColumn::nullable("flag", DataType::Boolean),
            NewColumn::nullable("time", micros),
        ];
        let keys: [&[&str]; 3] = [&["id"], &["text", "id"], &[]];
        let key = keys[rng.usize(..3)];
        let table = create(&tail, columns, key);
        let seen = vec![tail.watermark()];
        Self { rng, tail, table, seen, _shop: shop, _dir: dir }
    }

    fn schema(&self, at: Timestamp) -> Arc<TableSchema> {
        Arc::clone(self.tail.catalog(at).unwrap().table(self.table).unwrap())
    }

    /// Writes rows, flushes them, or changes the table.
    fn step(&mut self) {
        match self.rng.u8(0..10) {
            0..5 => self.write(),
            5..8 => self.tail.flush(self.table).unwrap(),
            _ => self.change(),
        }
        self.seen.push(self.tail.watermark());
    }

    fn write(&mut self) {
        let rows = if self.rng.u8(0..4) == 0 { self.rng.usize(8000..20_000) } else { self.rng.usize(1..500) };
        let schema = self.schema(self.tail.watermark());
        // Ids of one transaction lie close, so that pages differ in what they have.
        let base = self.rng.i64(0..40) * 1000;
        let columns = schema.columns().iter();
        let arrays =
            columns.map(|column| array(&mut self.rng, &column.data_type, rows, base, column.nullable)).collect();
        let rows = RecordBatch::try_new(Arc::clone(schema.arrow()), arrays).unwrap();
        upsert(&self.tail, self.table, &rows);
    }

    fn change(&mut self) {
        let schema = self.schema(self.tail.watermark());
        let of = |name: &str| schema.find(&name.into()).map(|column| column.id);
        let table = self.table;
        let change = match self.rng.u8(0..4) {
            0 => match of("extra") {
                Some(column) => Change::DropColumn { table, column },
                None => Change::AddColumn { table, column: NewColumn::nullable("extra", DataType::Int32) },
            },
            1 => match schema.find(&"small".into()).map(|column| (column.id, column.data_type.clone())) {
                Some((column, DataType::Int16)) => Change::WidenColumn { table, column, data_type: DataType::Int32 },
                Some((column, DataType::Int32)) => Change::WidenColumn { table, column, data_type: DataType::Float64 },
                _ => return,
            },
            2 => match of("flag") {
                Some(column) => Change::RenameColumn { table, column, name: "marked".into() },
                None => return,
            },
            _ => match of("time") {
                Some(column) => Change::DropColumn { table, column },
                None => return,
            },
        };
        self.tail.change(&change).unwrap();
    }

    /// Compares a scan with a filter with the rows of a whole scan of which it holds.
    fn check(&mut self) {
        let at = self.seen[self.rng.usize(..self.seen.len())];
        let schema = self.schema(at);
        let (filter, choice) = filter(&mut self.rng, &schema, 3);
        let given: Vec<usize> = (0..schema.columns().len()).filter(|_| self.rng.u8(0..3) > 0).collect();
        let mut all = Projection::default();
        all.row_ids = true;
        let mut options = ScanOptions::default();
        options.projection = Projection::of(given.iter().map(|at| schema.columns()[*at].id));
        options.projection.row_ids = true;
        options.filter = filter;
        let description = format!("{choice:?} of {:?} at {at}", schema.columns());
        let whole = self.tail.scan(self.table, at, all).unwrap().map(Result::unwrap);
        let expected: Vec<Row> = whole.flat_map(|batch| wanted(&batch, &choice, &given)).collect();
        let found = self.tail.scan(self.table, at, options).unwrap().map(Result::unwrap);
        let found: Vec<Row> = found
            .flat_map(|batch| wanted(&batch, &Wanted::All(vec![]), &(0..given.len()).collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expected, "{description}");
    }
}

/// A random filter of a table, which nests this deep.
fn filter(rng: &mut Rng, schema: &TableSchema, depth: u8) -> (Filter, Wanted) {
    let several = |rng: &mut Rng| -> (Vec<Filter>, Vec<Wanted>) {
        (0..rng.usize(1..4)).map(|_| filter(rng, schema, depth - 1)).unzip()
    };
    match rng.u8(0..10) {
        0..3 if depth > 0 => {
            let (filters, all) = several(rng);
            (filters.into_iter().fold(Filter::default(), Filter::and), Wanted::All(all))
        }
        3..6 if depth > 0 => {
            let (filters, any) = several(rng);
            (filters.into_iter().reduce(Filter::or).unwrap(), Wanted::Any(any))
        }
        choice => {
            let position = rng.usize(..schema.columns().len());
            let column = &schema.columns()[position];
            let named: ColumnRef = if rng.bool() { column.id.into() } else { column.name.as_str().into() };
            match choice {
                8 => (Filter::is_null(named), Wanted::IsNull(position, true)),
                9 => (Filter::is_not_null(named), Wanted::IsNull(position, false)),
                _ => {
                    let (op, value) = (OPS[rng.usize(..OPS.len())], literal(rng, &column.data_type));
                    (Filter::new(named, op, value.clone()), Wanted::Compares(position, op, value))
                }
            }
        }
    }
}

impl Wanted {
    fn holds(&self, batch: &RecordBatch, row: usize) -> bool {
        match self {
            Self::Compares(at, op, value) => compares(value_of(batch.column(*at), row), *op, value),
            Self::IsNull(at, is_null) => value_of(batch.column(*at), row).is_none() == *is_null,
            Self::All(all) => all.iter().all(|own| own.holds(batch, row)),
            Self::Any(any) => any.iter().any(|own| own.holds(batch, row)),
        }
    }
}

/// The rows of a batch, whose last columns are their places, which are wanted: of columns `given`.
fn wanted(batch: &RecordBatch, choice: &Wanted, given: &[usize]) -> Vec<Row> {
    let rowsets = batch["_rowset"].as_primitive::<UInt64Type>();
    let positions = batch["_row"].as_primitive::<UInt32Type>();
    let text = |row: usize| given.iter().map(|at| format!("{:?}", value_of(batch.column(*at), row))).collect();
    let rows = (0..batch.num_rows()).filter(|row| choice.holds(batch, *row));
    rows.map(|row| (rowsets.value(row), positions.value(row), text(row))).collect()
}

fn compares(own: Option<Value>, op: Op, value: &Value) -> bool {
    let Some(own) = own else { return false };
    let order = own.compare(value);
    match op {
        Op::Equal => order == Some(Ordering::Equal),
        Op::NotEqual => order != Some(Ordering::Equal),
        Op::Less => order == Some(Ordering::Less),
        Op::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Op::Greater => order == Some(Ordering::Greater),
        Op::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn value_of(array: &ArrayRef, row: usize) -> Option<Value> {
    fn of<T: ArrowPrimitiveType<Native: Into<Value>>>(array: &ArrayRef, row: usize) -> Value {
        array.as_primitive::<T>().value(row).into()
    }
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Int16 => of::<Int16Type>(array, row),
        DataType::Int32 => of::<Int32Type>(array, row),
        DataType::Int64 => of::<Int64Type>(array, row),
        DataType::Float32 => of::<Float32Type>(array, row),
        DataType::Float64 => of::<Float64Type>(array, row),
        _ => of::<TimestampMicrosecondType>(array, row),
    })
}

/// Random values of a column. Numbers lie near `base`.
fn array(rng: &mut Rng, data_type: &DataType, rows: usize, base: i64, nullable: bool) -> ArrayRef {
    // Whole pages of nulls, some nulls, or none.
    let nulls = if nullable { [0, 30, 100][rng.usize(..3)] } else { 0 };
    let each = |rng: &mut Rng| (rng.u8(0..100) >= nulls).then(|| base + rng.i64(-600..600));
    let values: Vec<Option<i64>> = (0..rows).map(|_| each(rng)).collect();
    let values = values.into_iter();
    match data_type {
        DataType::Boolean => Arc::new(values.map(|value| Some(value? % 2 == 0)).collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(values.map(|value| Some(text(value?))).collect::<StringArray>()),
        DataType::Int16 => {
            let narrow = values.map(|value| i16::try_from(value? % 30_000).ok());
            Arc::new(narrow.collect::<Int16Array>())
        }
        DataType::Int32 => Arc::new(values.map(|value| i32::try_from(value?).ok()).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(values.collect::<Int64Array>()),
        DataType::Float64 => Arc::new(values.map(|value| Some(float(value?))).collect::<Float64Array>()),
        _ => Arc::new(values.collect::<TimestampMicrosecondArray>()),
    }
}

fn text(value: i64) -> String {
    // With bytes that keys escape, and a few that bounds are cut within.
    let tail = if value % 7 == 0 { "x".repeat(80) } else { String::new() };
    format!(
        "{}{}{tail}{value}",
        ["", "\0", "\u{1}", "\u{e9}"][usize::try_from(value.rem_euclid(4)).unwrap()],
        value / 50
    )
}

fn float(value: i64) -> f64 {
    match value.rem_euclid(50) {
        0 => f64::NAN,
        1 => -0.0,
        2 => 0.0,
        _ => f64::from(i32::try_from(value).unwrap()) / 4.0,
    }
}

/// A value that a column of the type is compared with: mostly one that it may have.
fn literal(rng: &mut Rng, data_type: &DataType) -> Value {
    let value = rng.i64(-1000..41_000);
    match data_type {
        DataType::Boolean => rng.bool().into(),
        DataType::Utf8 => text(value).into(),
        DataType::Float64 => match rng.u8(0..8) {
            0 => f64::NAN.into(),
            1 => (-0.0).into(),
            2 => value.into(),
            _ => float(value).into(),
        },
        DataType::Timestamp(..) => value.into(),
        _ => match rng.u8(0..8) {
            0 => (i64::MAX - value).into(),
            1 => float(value).into(),
            _ => value.into(),
        },
    }
}
