//! Compares the log's defaults on a disk with the measurements: a pure function of a survey.

use comfy_table::{ContentArrangement, Table, presets};
use logboom_disk::{SyncMethod, WriteCache};

use super::{
    shots::{IoPath, Shot},
    survey::{PADDED, SMALL, Survey},
};
use crate::stream::{Method, Preparation};

/// One default of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The name of the default.
    pub default: &'static str,
    /// Its value on this disk.
    pub here: String,
    /// The measurements that support or contradict it.
    pub measured: String,
    /// The contradiction between default and measurements, if there is one, and the remedy.
    pub objection: Option<String>,
}

/// The defaults that depend on the disk.
pub fn rows(survey: &Survey) -> Vec<Row> {
    let rules = [backend, lone_writes, preparation, sync_method, gate, pad_unit, write_cache, sequential];
    rules.iter().filter_map(|rule| rule(survey)).collect()
}

/// Formats the rows as a table.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["default", "on this disk", "measured"]);
    for row in rows {
        table.add_row([row.default, &row.here, &row.measured]);
    }
    table
}

/// Measurements closer than this count as equal.
const NOISE: f64 = 1.2;

fn backend(survey: &Survey) -> Option<Row> {
    let rate = |way| survey.several(way, Method::Rolling, 16).map(|shot| shot.writes_per_s / 1e3);
    let (ring, blocking) = (rate(IoPath::Ring), rate(IoPath::Blocking)?);
    let measured = match ring {
        Some(ring) => format!("16 x 4 KiB in flight: ring {ring:.1}k/s, blocking {blocking:.1}k/s"),
        None => format!("16 x 4 KiB in flight: blocking {blocking:.1}k/s; the ring is closed here"),
    };
    let slower = survey.way() == IoPath::Ring && ring.is_some_and(|ring| ring * NOISE < blocking);
    let objection = slower.then(|| "blocking calls are faster here: `LOGBOOM_BACKEND=blocking`".to_owned());
    Some(Row { default: "backend", here: survey.facts.backend.to_string(), measured, objection })
}

fn lone_writes(survey: &Survey) -> Option<Row> {
    let p50 = |way| survey.lone(way, Method::Dsync, SMALL).map(|shot| shot.p50_us);
    let inline = p50(IoPath::Inline)?;
    let others = [IoPath::Ring, IoPath::Blocking].into_iter().filter_map(|way| Some((way, p50(way)?)));
    let others: Vec<_> = others.map(|(way, us)| format!("{way} {us:.0}")).collect();
    Some(Row {
        default: "a lone write",
        here: "in the caller's thread, RWF_DSYNC".to_owned(),
        measured: format!("4 KiB durable after, p50 us: caller's thread {inline:.0}, {}", others.join(", ")),
        objection: None,
    })
}

fn preparation(survey: &Survey) -> Option<Row> {
    let p50 = |preparation| survey.prepared(preparation).map(|shot| shot.p50_us);
    let (reserved, zeroed) = (p50(Preparation::Allocated)?, p50(Preparation::Zeroed)?);
    Some(Row {
        default: "segments",
        here: "zero-filled before use".to_owned(),
        measured: format!("a write of 4 KiB, p50 us: zero-filled {zeroed:.0}, only reserved {reserved:.0}"),
        objection: None,
    })
}

fn sync_method(survey: &Survey) -> Option<Row> {
    let shot = |method| survey.several(survey.way(), method, 16);
    let (dsync, batched, rolling) = (shot(Method::Dsync)?, shot(Method::Batched)?, shot(Method::Rolling)?);
    let by_itself = survey.facts.sync_method == SyncMethod::Dsync;
    let (taken, other) = if by_itself { (dsync, rolling) } else { (rolling, dsync) };
    let slower = taken.writes_per_s * NOISE < other.writes_per_s;
    let figures = |shot: Shot| format!("{:.1}k/s p50 {:.0}", shot.writes_per_s / 1e3, shot.p50_us);
    Some(Row {
        default: "sync method, several in flight",
        here: survey.facts.sync_method.to_string(),
        measured: format!(
            "16 x 4 KiB, p50 in us: dsync {}, batched {}, rolling {}",
            figures(dsync),
            figures(batched),
            figures(rolling)
        ),
        objection: slower.then(|| "the other method is faster here: `Config::disk.sync_method`".to_owned()),
    })
}

fn gate(survey: &Survey) -> Option<Row> {
    let (with, without) = (survey.bulk(true)?, survey.bulk(false)?);
    let ms = |us: f64| us / 1e3;
    Some(Row {
        default: "writes during a pending sync",
        here: "wait once 1 MiB went out".to_owned(),
        measured: format!(
            "16 x 256 KiB, p99 of an acknowledgement: {:.1} ms, without {:.1} ms",
            ms(with.p99_us),
            ms(without.p99_us)
        ),
        objection: None,
    })
}

fn pad_unit(survey: &Survey) -> Option<Row> {
    let lone = |size| Some((size, survey.lone(IoPath::Inline, Method::Dsync, size)?.p50_us));
    let costs: Vec<(usize, f64)> = PADDED.into_iter().filter_map(lone).collect();
    let cost_of = |bytes| costs.iter().find(|(size, _)| *size == bytes).map(|(_, us)| *us);
    let partial = cost_of(512).zip(cost_of(SMALL)).is_some_and(|(sector, block)| sector > block * NOISE);
    let text: Vec<_> = costs.iter().map(|(size, us)| format!("{size} B {us:.0}")).collect();
    Some(Row {
        default: "pad unit",
        here: format!("{} bytes", survey.facts.pad_unit),
        measured: format!("a lone write, p50 us: {}", text.join(", ")),
        objection: partial.then(|| {
            "a sector costs more than a block of 4096: the device below has larger blocks than it says, \
             so raise `Config::disk.pad_unit` to 4096"
                .to_owned()
        }),
    })
}

fn write_cache(survey: &Survey) -> Option<Row> {
    let p50 = |method| survey.lone(IoPath::Inline, method, SMALL).map(|shot| shot.p50_us);
    let (plain, durable) = (p50(Method::Plain)?, p50(Method::Dsync)?);
    let fua = match survey.facts.fua {
        Some(true) => "FUA",
        Some(false) => "no FUA",
        None => "FUA unknown",
    };
    let through = survey.facts.cache == WriteCache::WriteThrough;
    let free = durable < plain * NOISE;
    let objection = match (through, free) {
        // Without direct IO a plain write only writes to memory.
        (true, false) if survey.facts.direct => Some(
            "the device says that it has no cache, yet making a write durable costs extra: find out what is below it",
        ),
        (false, true) => Some(
            "making a write durable costs nothing: the cache is protected, or flushes are not passed on; the second \
             loses acknowledged entries in a power cut",
        ),
        _ => None,
    };
    Some(Row {
        default: "write cache",
        here: format!("{}, {fua}", survey.facts.cache),
        measured: format!("4 KiB, p50 us: written {plain:.0}, durable {durable:.0}"),
        objection: objection.map(str::to_owned),
    })
}

fn sequential(survey: &Survey) -> Option<Row> {
    let rates = survey.sequential?;
    let io = if survey.facts.direct { "direct" } else { "BUFFERED" };
    let objection = (!survey.facts.direct).then(|| format!("no direct IO: {}", survey.facts.direct_reason));
    Some(Row {
        default: "bulk",
        here: format!("{io}, 256 KiB a write, up to 8 MiB in flight"),
        measured: format!("sequential: writes {:.0} MB/s, reads {:.0} MB/s", rates.write, rates.read),
        objection,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logboom_disk::{Disk, SimDisk, SimOptions};

    use super::*;
    use crate::device::{
        shots::{Cell, Shots},
        survey::Sequential,
    };

    #[test]
    fn a_disk_as_expected_meets_no_objection() {
        let survey = survey(|_| 1.0);
        let rows = rows(&survey);
        assert_eq!(rows.len(), 8);
        assert!(rows.iter().all(|row| row.objection.is_none()), "{rows:?}");
        let table = table(&rows).to_string();
        assert!(table.contains("| pad unit ") && table.contains("| rolling "), "{table}");
    }

    #[test]
    fn what_contradicts_a_default_is_said() {
        // Writes of the cells that the closure selects take ten times as long.
        let dear = |dear: fn(&Cell) -> bool| survey(move |cell| if dear(cell) { 10.0 } else { 1.0 });
        for (survey, default, said) in [
            (dear(|cell| cell.method == Method::Rolling), "sync method", "the other method"),
            (dear(|cell| cell.method == Method::Plain), "write cache", "costs nothing"),
            (dear(|cell| cell.size == 512), "pad unit", "raise `Config::disk.pad_unit`"),
        ] {
            let objections: Vec<_> = rows(&survey).into_iter().filter(|row| row.objection.is_some()).collect();
            assert_eq!(objections.len(), 1, "{objections:?}");
            assert!(objections[0].default.starts_with(default), "{objections:?}");
            assert!(objections[0].objection.as_deref().is_some_and(|text| text.contains(said)), "{objections:?}");
        }
        let mut survey = survey(|_| 1.0);
        survey.facts.cache = WriteCache::WriteThrough;
        assert!(write_cache(&survey).unwrap().objection.is_some_and(|text| text.contains("no cache")));
        survey.facts.direct = false;
        assert!(sequential(&survey).unwrap().objection.is_some());
    }

    /// A survey in which every cell was measured: a plain write takes 50 us and any other 100 us, times `factor`.
    fn survey(factor: impl Fn(&Cell) -> f64) -> Survey {
        let disk: Arc<dyn Disk> = SimDisk::new(1, SimOptions::default());
        let mut shots = Shots::default();
        for way in IoPath::ALL {
            for method in [Method::Plain, Method::Dsync, Method::Batched, Method::Rolling] {
                for preparation in [Preparation::Allocated, Preparation::Zeroed, Preparation::Recycled] {
                    for (size, depth) in [(512, 1), (4 << 10, 1), (4 << 10, 16), (256 << 10, 16)] {
                        for gated in [true, false] {
                            let cell = Cell { size, preparation, way, method, depth, gated };
                            let us = if method == Method::Plain { 50.0 } else { 100.0 } * factor(&cell);
                            let writes_per_s = depth as f64 * 1e6 / us;
                            shots.add(cell, Shot { writes_per_s, p50_us: us, p99_us: us });
                        }
                    }
                }
            }
        }
        let sequential = Some(Sequential { write: 1000.0, read: 2000.0 });
        Survey { facts: disk.facts().clone(), shots, sequential }
    }
}
