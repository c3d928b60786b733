//! Some rows of a tail, by filters and by keys, compared with the model.

use std::cmp::Ordering;

use logboom_logtail::{ColumnId, ColumnRef, Error, Filter, Op, Tail, Timestamp, Value as Literal};
use logboom_sim::{Choices, Failure};
use logboom_wal::marks;

use crate::{
    catalog::Table,
    check::visible,
    model::Model,
    rows::{Key, key_arrays, shown},
    scan::{Seen, get, scan},
    value::Value,
};

/// Compares the rows of a table that satisfy a filter.
///
/// # Errors
/// [`Check::Visible`](crate::check::Check::Visible).
pub(crate) fn compare_filtered(
    tail: &Tail,
    model: &Model,
    at: Timestamp,
    choices: &mut Choices,
) -> Result<(), Failure> {
    let Some((table, schema)) = choose_table(model, at, choices) else { return Ok(()) };
    let rows: Vec<(Vec<Value>, Timestamp)> =
        model.rows(table).live(at).map(|version| (shown(schema, &version.row), version.committed)).collect();
    let (mut filter, mut terms): (Filter, Vec<Term>) = (Filter::default(), Vec::new());
    // All of these, or some of them and otherwise the rest.
    let (count, mut split) = (1 + choices.below(2), None);
    for number in 0..count {
        if number > 0 && choices.percent(30) {
            split = split.or(Some((std::mem::take(&mut filter), terms.len())));
        }
        let position = choices.size(schema.columns.len());
        let Some(column) = schema.columns.get(position) else { continue };
        let named: ColumnRef =
            if choices.percent(50) { ColumnId(column.id).into() } else { column.name.as_str().into() };
        if choices.percent(20) {
            let is_null = choices.percent(50);
            let own = if is_null { Filter::is_null(named) } else { Filter::is_not_null(named) };
            filter = filter.and(own);
            terms.push((position, Test::IsNull(is_null)));
            continue;
        }
        let op = choices.pick(&[Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual]);
        // Mostly a value that is there.
        let there = rows.get(choices.size(rows.len())).and_then(|(values, _)| values.get(position)).cloned();
        let there = there.filter(|value| *value != Value::Null && choices.percent(75));
        let value = there.unwrap_or_else(|| column.kind.choose(choices, false));
        let Some(literal) = literal(&value) else { continue };
        filter = filter.and(Filter::new(named, op, literal));
        terms.push((position, Test::Compares(op, value)));
    }
    let (first, second) = terms.split_at(split.as_ref().map_or(terms.len(), |(_, at)| *at));
    if let Some((other, _)) = split.clone() {
        filter = other.or(filter);
    }
    let hold = |terms: &[Term], values: &[Value]| {
        terms.iter().all(|(at, test)| values.get(*at).is_some_and(|own| test.holds(own)))
    };
    let is_wanted = |values: &[Value]| hold(first, values) || (split.is_some() && hold(second, values));
    let mut ours: Vec<_> = rows.iter().filter(|(values, _)| is_wanted(values)).cloned().collect();
    ours.sort();
    marks::hit_if(!ours.is_empty() && ours.len() < rows.len(), "scan: a filter chooses some rows");
    let mut theirs: Vec<_> = match scan(tail, table, at, None, filter) {
        Ok(rows) => rows.into_iter().map(|Seen { values, committed, .. }| (values, committed)).collect(),
        Err(error) => return failed(at, table, &error),
    };
    theirs.sort();
    if theirs == ours {
        return Ok(());
    }
    visible(at, format_args!("table {table} has {theirs:?} instead of {ours:?} where {first:?} or {second:?}"))
}

/// What is asked of the column of this position.
type Term = (usize, Test);

#[derive(Debug)]
enum Test {
    Compares(Op, Value),
    IsNull(bool),
}

impl Test {
    fn holds(&self, own: &Value) -> bool {
        match self {
            Self::Compares(op, value) => holds(own, *op, value),
            Self::IsNull(is_null) => (*own == Value::Null) == *is_null,
        }
    }
}

/// Compares the rows of some keys, which are there, were there, or never were.
///
/// # Errors
/// As [`compare_filtered`].
pub(crate) fn compare_keys(tail: &Tail, model: &Model, at: Timestamp, choices: &mut Choices) -> Result<(), Failure> {
    let Some((table, schema)) = choose_table(model, at, choices).filter(|(_, schema)| !schema.key.is_empty()) else {
        return Ok(());
    };
    let versions: Vec<_> = model.rows(table).all().collect();
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..=choices.below(4) {
        let version = versions.get(choices.size(versions.len())).filter(|_| choices.percent(80));
        keys.push(match version {
            Some(version) => {
                schema.key.iter().map(|column| version.row.get(column).cloned().unwrap_or(Value::Null)).collect()
            }
            None => schema.key_columns().map(|column| column.kind.choose(choices, false)).collect(),
        });
    }
    let ours: Vec<_> = keys
        .iter()
        .map(|key| model.rows(table).find(schema, key, at))
        .map(|version| version.map(|version| (shown(schema, &version.row), version.committed)))
        .collect();
    marks::hit_if(ours.contains(&None) && ours.iter().any(Option::is_some), "get: some keys are there");
    let theirs = match get(tail, table, at, &key_arrays(schema, &keys)) {
        Ok(rows) => rows,
        Err(error) => return failed(at, table, &error),
    };
    let theirs: Vec<_> =
        theirs.into_iter().map(|seen| seen.map(|Seen { values, committed, .. }| (values, committed))).collect();
    if theirs == ours {
        return Ok(());
    }
    visible(at, format_args!("keys {keys:?} of table {table} have {theirs:?} instead of {ours:?}"))
}

fn choose_table<'m>(model: &'m Model, at: Timestamp, choices: &mut Choices) -> Option<(u64, &'m Table)> {
    let tables = &model.catalog(at).tables;
    let (id, table) = tables.iter().nth(choices.size(tables.len()))?;
    Some((*id, table))
}

fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Null => None,
        Value::Int(int) => Some((*int).into()),
        Value::Text(text) => Some(text.as_ref().into()),
    }
}

fn holds(own: &Value, op: Op, value: &Value) -> bool {
    let order = own.cmp(value);
    *own != Value::Null
        && match op {
            Op::Equal => order == Ordering::Equal,
            Op::NotEqual => order != Ordering::Equal,
            Op::Less => order == Ordering::Less,
            Op::LessOrEqual => order != Ordering::Greater,
            Op::Greater => order == Ordering::Greater,
            Op::GreaterOrEqual => order != Ordering::Less,
        }
}

/// A read may be given up, and may not fail otherwise.
fn failed(at: Timestamp, table: u64, error: &Error) -> Result<(), Failure> {
    if matches!(error, Error::Store(_)) {
        marks::hit("store: a read is given up");
        return Ok(());
    }
    visible(at, format_args!("table {table} cannot be read: {error}"))
}
