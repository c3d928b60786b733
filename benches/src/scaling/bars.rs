//! Ratios of throughput as SVG: a bar for each workload that `run --json` reported.

use std::collections::BTreeMap;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde_json::{Map, Value};

use super::curve::{measured, printable};
use crate::{Result, system::System};

/// The results of a run that compared Logboom with raft-engine.
#[derive(Debug, Default, PartialEq)]
pub struct Bars {
    /// The machine, if the report names it.
    machine: String,
    /// The workloads in order, each with Logboom's operations per second divided by raft-engine's.
    ratios: Vec<(String, f64)>,
}

impl Bars {
    /// Parses the output of `run --json`; a line without a workload may name the machine. The ratios are computed from
    /// the figures of both systems, so the `ratio` lines are ignored.
    ///
    /// If a line is not a JSON object, names another machine than the line before, or has a value that cannot be drawn;
    /// if workloads were run and none of them on both systems; if the text also has points of curves.
    /// workloads were run and none of them on both systems; if there are points of curves as well.
    pub fn parse(text: &str) -> Result<Self> {
        let mut machine: Option<String> = None;
        let mut found: Vec<(String, BTreeMap<String, f64>)> = Vec::new();
        let mut places = BTreeMap::new();
        let mut has_points = false;
        for (number, line) in (1..).zip(text.lines()) {
            let at = |error: String| format!("line {number}: {error}");
            let line: Map<String, Value> = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
            has_points |= line.contains_key("axis");
            let word = |name: &str| line.get(name).and_then(Value::as_str);
            if let Some(named) = word("machine") {
                if machine.as_deref().is_some_and(|machine| machine != named) && !found.is_empty() {
                    return Err(at(format!("another machine: {named}")).into());
                }
                machine = Some(printable(named).map_err(at)?.to_owned());
            }
            let throughput = line.get("ops_per_s").and_then(Value::as_f64).filter(|value| *value > 0.0);
            let (Some(workload), Some(system), Some(throughput)) = (word("workload"), word("system"), throughput)
            else {
                continue;
            };
            let throughput = measured(throughput).map_err(at)?;
            let place = *places.entry(printable(workload).map_err(at)?.to_owned()).or_insert_with(|| {
                found.push((workload.to_owned(), BTreeMap::new()));
                found.len() - 1
            });
            found[place].1.insert(system.to_owned(), throughput);
        }
        if has_points && !found.is_empty() {
            return Err("it has both runs and points of curves: each needs a file of its own".into());
        }
        let ratio = |(workload, systems): &(String, BTreeMap<String, f64>)| {
            let of = |system: System| systems.get(system.name()).copied();
            Some((workload.clone(), of(System::Logboom)? / of(System::RaftEngine)?))
        };
        let bars = Bars { machine: machine.unwrap_or_default(), ratios: found.iter().filter_map(ratio).collect() };
        if bars.is_empty() && !found.is_empty() {
            return Err("no workload was run on both logboom and raft-engine".into());
        }
        Ok(bars)
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.ratios.is_empty()
    }

    /// Draws a bar for each workload, and a line where both systems are equal.
    ///
    /// # Errors
    /// If the drawing fails.
    pub fn draw(&self) -> Result<String> {
        let rows = i32::try_from(self.ratios.len())?;
        let bottom = TOP + rows * ROW;
        let most = self.ratios.iter().fold(1.0, |most: f64, (_, ratio)| most.max(*ratio));
        #[expect(clippy::cast_possible_truncation, reason = "at most the width of the picture")]
        let at = |ratio: f64| LEFT + (ratio / most * f64::from(WIDTH - LEFT - RIGHT)) as i32;
        let text = |size: i32, to: HPos| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(to, VPos::Center));
        let mut svg = String::new();
        {
            let size = (u32::try_from(WIDTH)?, u32::try_from(bottom + BELOW)?);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            area.fill(&WHITE)?;
            area.draw(&Text::new("durable appends per second, logboom / raft-engine", (12, 18), text(15, HPos::Left)))?;
            for (row, (workload, ratio)) in (0..).zip(&self.ratios) {
                let middle = TOP + row * ROW + ROW / 2;
                area.draw(&Text::new(workload.as_str(), (LEFT - 8, middle), text(13, HPos::Right)))?;
                area.draw(&Rectangle::new([(LEFT, middle - 8), (at(*ratio), middle + 8)], OURS.filled()))?;
                area.draw(&Text::new(format!("{ratio:.1}"), (at(*ratio) + 6, middle), text(13, HPos::Left)))?;
            }
            area.draw(&PathElement::new([(at(1.0), TOP), (at(1.0), bottom)], BLACK.stroke_width(1)))?;
            area.draw(&Text::new("1: equal", (at(1.0), bottom + 10), text(12, HPos::Center)))?;
            area.draw(&Text::new(self.machine.as_str(), (12, bottom + 28), text(12, HPos::Left)))?;
            area.present()?;
        }
        Ok(svg + "\n")
    }
}

const WIDTH: i32 = 640;
const LEFT: i32 = 130;
const RIGHT: i32 = 56;
const TOP: i32 = 36;
const ROW: i32 = 26;
const BELOW: i32 = 42;
const OURS: RGBColor = RGBColor(0xd6, 0x27, 0x28);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_the_ratios_of_both_systems() {
        let text = concat!(
            "{\"machine\":\"two cores\"}\n",
            "{\"workload\":\"sync-1x1k\",\"system\":\"raft-engine\",\"ops_per_s\":200}\n",
            "{\"workload\":\"sync-1x1k\",\"system\":\"logboom\",\"ops_per_s\":300}\n",
            "{\"workload\":\"memory\",\"system\":\"logboom\",\"ops_per_s\":1}\n",
            "{\"workload\":\"sync-1x1k\",\"system\":\"floor\",\"ops_per_s\":900}\n",
            "{\"workload\":\"sync-1x1k\",\"ratio\":{\"throughput\":7}}\n",
        );
        let bars = Bars::parse(text).unwrap();
        let expected = Bars { machine: "two cores".to_owned(), ratios: vec![("sync-1x1k".to_owned(), 1.5)] };
        assert_eq!(bars, expected);
        let svg = bars.draw().unwrap();
        for part in ["<svg", "two cores", "sync-1x1k", ">\n1.5\n<", "1: equal"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
    }

    #[test]
    fn a_ratio_of_one_system_is_refused() {
        Bars::parse("{\"workload\":\"a\",\"system\":\"raft-engine\",\"ops_per_s\":200}").unwrap_err();
        Bars::parse("no object").unwrap_err();
        let two = |one: &str, other: &str| Bars::parse(&format!("{one}\n{other}")).unwrap_err().to_string();
        let run = |system: &str, figure: &str| {
            format!("{{\"workload\":\"a\",\"system\":\"{system}\",\"ops_per_s\":{figure}}}")
        };
        let both = |ours: &str, theirs: &str| two(&run("logboom", ours), &run("raft-engine", theirs));
        assert!(both("1e308", "1e-308").contains("line 1"));
        assert!(both("1", "1e-308").contains("line 2"));
        assert!(both("-1", "1").contains("no workload"));
        let machine = "{\"machine\":\"one\"}";
        let other = run("logboom", "1") + "\n{\"machine\":\"another\"}";
        assert!(two(machine, &other).contains("another machine"));
        assert!(two("{\"machine\":\"a\\u0000b\"}", "{}").contains("line 1"));
        assert!(two("{\"axis\":\"writers\"}", &run("logboom", "1")).contains("both runs and points"));
        assert!(Bars::parse("{}").unwrap().is_empty());
    }
}
