//! `Curves`: the measurements along an axis, as tables or as one JSON object a line.

use std::{collections::BTreeMap, io::Write, ops::RangeInclusive};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use super::axis::Axis;
use crate::{Result, report::short, system::System};

/// Figures by name; a name ends with its unit.
pub type Figures = BTreeMap<String, f64>;

/// The measurement of a system at a point of an axis.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Point {
    /// The axis.
    pub axis: Axis,
    /// The position on the axis.
    pub at: u64,
    /// The system that was measured.
    pub system: System,
    /// The median of each figure over the rounds; the lower of the middle two of an even number.
    pub figures: Figures,
}

impl Point {
    /// Takes the medians of `rounds`; `None` without rounds.
    pub fn median(axis: Axis, at: u64, system: System, rounds: Vec<Figures>) -> Option<Self> {
        let first = rounds.first()?;
        let median = |name: &String| {
            let mut values: Vec<f64> = rounds.iter().filter_map(|figures| figures.get(name).copied()).collect();
            values.sort_by(f64::total_cmp);
            Some((name.clone(), *values.get(values.len().checked_sub(1)? / 2)?))
        };
        Some(Point { axis, at, system, figures: first.keys().filter_map(median).collect() })
    }
}

/// Points, and the machine that they were measured on.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    machine: String,
    points: Vec<Point>,
}

/// A line of the JSON output.
#[derive(Deserialize, Serialize)]
struct Line {
    machine: String,
    #[serde(flatten)]
    point: Point,
}

impl Curves {
    /// Curves without points.
    pub fn new(machine: String) -> Self {
        Curves { machine, points: Vec::new() }
    }

    /// Parses the JSON output.
    ///
    /// # Errors
    /// If a line is something else, names another machine than the line before, or has a value that cannot be drawn.
    pub fn parse(text: &str) -> Result<Self> {
        let mut curves = Curves::default();
        for (number, line) in (1..).zip(text.lines()) {
            let at = |error: String| format!("line {number}: {error}");
            let line: Line = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
            printable(&line.machine).map_err(at)?;
            for (name, figure) in &line.point.figures {
                name_of_figure(name).and_then(|()| measured(*figure).map(drop)).map_err(at)?;
            }
            if number > 1 && line.machine != curves.machine {
                return Err(format!("line {number} is of another machine: {}", line.machine).into());
            }
            curves.machine = line.machine;
            curves.points.push(line.point);
        }
        Ok(curves)
    }

    /// Adds a point.
    pub fn add(&mut self, point: Point) {
        self.points.push(point);
    }

    /// The machine of the measurement.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// Prints the JSON line of a point.
    pub fn print(&self, point: &Point, out: &mut impl Write) -> Result<()> {
        let line = Line { machine: self.machine.clone(), point: point.clone() };
        Ok(writeln!(out, "{}", serde_json::to_string(&line)?)?)
    }

    /// The axes that have points.
    pub fn axes(&self) -> Vec<Axis> {
        let mut axes: Vec<_> = self.points.iter().map(|point| point.axis).collect();
        axes.sort_unstable();
        axes.dedup();
        axes
    }

    /// The names of the figures along an axis.
    pub fn figures(&self, axis: Axis) -> Vec<&str> {
        let mut names: Vec<_> = self.along(axis).flat_map(|point| point.figures.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The systems that were measured along an axis, in that order.
    pub fn systems(&self, axis: Axis) -> Vec<System> {
        let mut systems = Vec::new();
        for point in self.along(axis) {
            if !systems.contains(&point.system) {
                systems.push(point.system);
            }
        }
        systems
    }

    /// The values of a figure of a system along an axis, with their positions.
    pub fn curve(&self, axis: Axis, system: System, figure: &str) -> Vec<(u64, f64)> {
        let of_system = self.along(axis).filter(|point| point.system == system);
        let mut curve: Vec<_> = of_system.filter_map(|point| Some((point.at, *point.figures.get(figure)?))).collect();
        curve.sort_by_key(|(at, _)| *at);
        curve
    }

    /// Formats a table for each axis, in Markdown.
    pub fn tables(&self) -> String {
        let tables = self.axes().into_iter().map(|axis| format!("\n{}\n", self.table(axis)));
        format!("{}\n", self.machine) + &tables.collect::<String>()
    }

    fn table(&self, axis: Axis) -> Table {
        let names = self.figures(axis);
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([axis.to_string().as_str(), "system"].into_iter().chain(names.iter().copied()));
        for point in self.along(axis) {
            let cell = |name: &&str| point.figures.get(*name).map_or(String::new(), |figure| short(*figure));
            table.add_row([point.at.to_string(), point.system.to_string()].into_iter().chain(names.iter().map(cell)));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_cell_alignment(if place == 1 { CellAlignment::Left } else { CellAlignment::Right });
        }
        table
    }

    fn along(&self, axis: Axis) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| point.axis == axis)
    }
}

/// The range of a figure: for larger values, or nonzero ones closer to zero, a plot's scale would have too many marks.
const FIGURES: RangeInclusive<f64> = 1e-12..=1e15;

/// Returns the figure, if it is a possible measurement.
pub(crate) fn measured(figure: f64) -> Result<f64, String> {
    let is_measured = figure == 0.0 || FIGURES.contains(&figure);
    if is_measured { Ok(figure) } else { Err(format!("{figure:e} is no measured figure")) }
}

/// Returns the text, if XML can contain it.
pub(crate) fn printable(text: &str) -> Result<&str, String> {
    let is_printable = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.chars().all(is_printable) { Ok(text) } else { Err(format!("{text:?} cannot be printed")) }
}

/// Checks the name of a figure, which becomes a part of a file name.
fn name_of_figure(name: &str) -> Result<(), String> {
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_word { Ok(()) } else { Err(format!("{name:?} is no name of a figure")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_own_median() {
        let round = |a, b| Figures::from([("a_us".to_owned(), a), ("b_us".to_owned(), b)]);
        let rounds = vec![round(1.0, 30.0), round(3.0, 10.0), round(2.0, 20.0)];
        let point = Point::median(Axis::Shards, 10, System::Logboom, rounds).unwrap();
        assert_eq!(point.figures, round(2.0, 20.0));
        let rounds = vec![round(1.0, 4.0), round(3.0, 2.0)];
        assert_eq!(Point::median(Axis::Shards, 10, System::Logboom, rounds).unwrap().figures, round(1.0, 2.0));
        assert!(Point::median(Axis::Shards, 10, System::Logboom, Vec::new()).is_none());
    }

    #[test]
    fn lines_are_read_as_they_were_printed() {
        let curves = curves();
        let mut out = Vec::new();
        curves.points.iter().for_each(|point| curves.print(point, &mut out).unwrap());
        let text = String::from_utf8(out).unwrap();
        let back = Curves::parse(&text).unwrap();
        assert_eq!((back.machine(), &back.points), (curves.machine(), &curves.points));
        Curves::parse("{}").unwrap_err();
        let foreign = text.clone() + &text.replace("a machine", "another");
        assert!(Curves::parse(&foreign).unwrap_err().to_string().contains("another"));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let line = |machine: &str, name: &str, figure: &str| {
            format!(
                "{{\"machine\":\"{machine}\",\"axis\":\"writers\",\"at\":1,\"system\":\"logboom\",\
                 \"figures\":{{\"{name}\":{figure}}}}}"
            )
        };
        for (line, is_read) in [
            (line("m", "p50_us", "0"), true),
            (line("m", "p50_us", "1e15"), true),
            (line("m", "p50_us", "-1"), false),
            (line("m", "p50_us", "1e308"), false),
            (line("m", "p50_us", "5e-324"), false),
            (line("m", "../p50", "1"), false),
            (line("m", "", "1"), false),
            (line("m\\u0000", "p50_us", "1"), false),
        ] {
            let read = Curves::parse(&line);
            assert_eq!(read.is_ok(), is_read, "{line}");
            assert!(read.err().is_none_or(|error| error.to_string().contains("line 1: ")), "{line}");
        }
    }

    #[test]
    fn a_curve_ascends_and_a_table_has_all_of_it() {
        let curves = curves();
        assert_eq!(curves.axes(), [Axis::Entries, Axis::Writers]);
        assert_eq!(curves.systems(Axis::Writers), [System::Logboom, System::RaftEngine]);
        assert_eq!(curves.curve(Axis::Writers, System::Logboom, "p50_us"), [(1, 100.0), (16, 200.0)]);
        assert!(curves.curve(Axis::Writers, System::Logboom, "open_ms").is_empty());
        let tables = curves.tables();
        for part in ["a machine", "| writers |", "| entries |", "raft-engine", " 200 ", " 7.00 "] {
            assert!(tables.contains(part), "{part} in\n{tables}");
        }
    }

    fn curves() -> Curves {
        let mut curves = Curves::new("a machine".to_owned());
        for (axis, at, system, name, value) in [
            (Axis::Writers, 16, System::Logboom, "p50_us", 200.0),
            (Axis::Writers, 1, System::Logboom, "p50_us", 100.0),
            (Axis::Writers, 1, System::RaftEngine, "p50_us", 150.0),
            (Axis::Entries, 1000, System::Logboom, "open_ms", 7.0),
        ] {
            curves.add(Point { axis, at, system, figures: Figures::from([(name.to_owned(), value)]) });
        }
        curves
    }
}
