//! Draws curves as SVG, a file for each axis and figure, and ratios as bars.

use std::{
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::Args;
use plotters::prelude::*;

use super::{axis::Axis, bars::Bars, curve::Curves};
use crate::{Error, Result, job::round, system::System};

/// The plots to draw.
#[derive(Args, Debug)]
pub struct Request {
    /// What `logboom-bench scaling --json` has printed, or `logboom-bench run --json` of logboom and raft-engine.
    pub file: PathBuf,

    /// Where the plots are written.
    #[arg(long, value_name = "DIR", default_value = "docs/plots")]
    pub out: PathBuf,
}

/// Draws the plots, and prints the names of the files.
///
/// # Errors
/// If the file cannot be parsed, or a plot cannot be written.
pub fn run(request: &Request) -> Result<()> {
    let at = |path: &Path, error: Error| Error::from(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&request.file).map_err(|error| at(&request.file, error.into()))?;
    let plots = plots(&text).map_err(|error| at(&request.file, error))?;
    fs::create_dir_all(&request.out).map_err(|error| at(&request.out, error.into()))?;
    for (name, svg) in plots {
        let path = request.out.join(name);
        fs::write(&path, svg).map_err(|error| at(&path, error.into()))?;
        writeln!(std::io::stdout().lock(), "{}", path.display())?;
    }
    Ok(())
}

/// The names of the files to write, and their content.
fn plots(text: &str) -> Result<Vec<(String, String)>> {
    let bars = Bars::parse(text)?;
    if !bars.is_empty() {
        return Ok(vec![("ratios.svg".to_owned(), bars.draw()?)]);
    }
    let curves = Curves::parse(text)?;
    let mut plots = Vec::new();
    for axis in curves.axes() {
        for figure in curves.figures(axis) {
            let name = format!("{axis}-{}.svg", figure.replace('_', "-"));
            plots.push((name, draw(&curves, axis, figure)?));
        }
    }
    if plots.is_empty() { Err("no points are in it".into()) } else { Ok(plots) }
}

/// Draws one figure along one axis, with a line for each system. Both scales are logarithmic, so that proportional
/// growth is a straight line and a constant is level.
pub fn draw(curves: &Curves, axis: Axis, figure: &str) -> Result<String> {
    let lines: Vec<_> =
        curves.systems(axis).into_iter().map(|system| (system, curves.curve(axis, system, figure))).collect();
    let points = || lines.iter().flat_map(|(_, line)| line.iter().copied());
    let across = span(points().map(|(at, _)| at as f64)).ok_or("no points")?;
    let up = span(points().map(|(_, value)| value)).ok_or("no points")?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{} by {axis}", figure.replace('_', " ")), (FONT, 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(across.log_scale(), up.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(format!("{axis} ({})", curves.machine()))
            .x_label_formatter(&|at| tick(*at))
            .y_label_formatter(&|value| tick(*value))
            .label_style((FONT, 12))
            .draw()?;
        for (system, line) in &lines {
            let color = color(*system);
            let line: Vec<_> = line.iter().map(|&(at, value)| (at as f64, value)).collect();
            chart
                .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?
                .label(system.name())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
            chart.draw_series(line.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, 13))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        area.present()?;
    }
    Ok(svg + "\n")
}

const SIZE: (u32, u32) = (720, 420);
const FONT: &str = "sans-serif";

/// The range of the positive values, with margins; `None` if there are none.
fn span(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let positive = values.filter(|value| *value > 0.0);
    let range = positive.fold(None, |range: Option<(f64, f64)>, value| {
        let (least, most) = range.unwrap_or((value, value));
        Some((least.min(value), most.max(value)))
    });
    range.map(|(least, most)| least / ROOM..most * ROOM)
}

const ROOM: f64 = 1.5;

/// The label of a mark on a scale.
fn tick(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", round(value / 1e6)),
        value if value >= 1e3 => format!("{} k", round(value / 1e3)),
        value => round(value).to_string(),
    }
}

fn color(system: System) -> RGBColor {
    match system {
        System::Logboom => RGBColor(0xd6, 0x27, 0x28),
        System::RaftEngine => RGBColor(0x1f, 0x77, 0xb4),
        #[cfg(feature = "peers")]
        System::Fjall => RGBColor(0x2c, 0xa0, 0x2c),
        #[cfg(feature = "peers")]
        System::Redb => RGBColor(0xff, 0x7f, 0x0e),
        #[cfg(feature = "peers")]
        System::Okaywal => RGBColor(0x94, 0x67, 0xbd),
        System::Floor => RGBColor(0x7f, 0x7f, 0x7f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::curve::{Figures, Point};

    #[test]
    fn a_plot_has_a_line_a_system_and_says_what_it_shows() {
        let mut curves = Curves::new("a machine".to_owned());
        for (at, value) in [(1, 100.0), (32, 220.0), (1024, 4000.0)] {
            for system in [System::Logboom, System::RaftEngine] {
                let figures = Figures::from([("p50_us".to_owned(), value)]);
                curves.add(Point { axis: Axis::Writers, at, system, figures });
            }
        }
        let svg = draw(&curves, Axis::Writers, "p50_us").unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for part in ["p50 us by writers", "a machine", "logboom", "raft-engine", "<polyline", "<circle"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
        draw(&curves, Axis::Writers, "open_ms").unwrap_err();
    }

    #[test]
    fn marks_are_short() {
        let ticks = [0.001, 0.1, 10.0, 1_000.0, 1e5, 1e7].map(tick);
        assert_eq!(ticks, ["0.001", "0.1", "10", "1 k", "100 k", "10 M"]);
    }

    #[test]
    fn a_scale_leaves_out_what_has_no_logarithm() {
        assert_eq!(span([0.0, 3.0, 6.0].into_iter()), Some(2.0..9.0));
        assert_eq!(span([3.0].into_iter()), Some(2.0..4.5));
        assert_eq!(span([0.0].into_iter()), None);
    }
}
