//! The grid of all measurements: backend x sync method x depth x size x preparation of the file.
//!
//! The log's defaults follow from its tables; those of the machines on which they were chosen are in `record/`.

use comfy_table::{CellAlignment, Table, presets};

use super::shots::{Cell, IoPath, Shots};
use crate::stream::{Method, Preparation};

/// The varied parameters.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// The bytes of a write.
    pub sizes: &'static [usize],
    /// The writes in flight.
    pub depths: &'static [usize],
}

impl Grid {
    /// The whole grid.
    pub const FULL: Grid = Grid { sizes: &[4 << 10, 64 << 10, 256 << 10], depths: &[1, 2, 4, 8, 16] };
    /// A small grid that shows that the measurement works.
    pub const QUICK: Grid = Grid { sizes: &[4 << 10], depths: &[1, 4] };

    /// The cells of the grid, without impossible combinations.
    pub fn cells(self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for way in IoPath::ALL {
            for &size in self.sizes {
                for preparation in PREPARATIONS {
                    for method in METHODS {
                        let cell = |&depth: &usize| Cell { size, preparation, way, method, depth, gated: true };
                        cells.extend(self.depths.iter().map(cell).filter(makes_sense));
                    }
                }
            }
        }
        cells
    }

    /// A table of the cells of one size, with a column for each depth.
    pub fn table(self, size: usize, shots: &Shots) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let depths = self.depths.iter().map(ToString::to_string);
        table.set_header(["segment", "backend", "sync"].map(str::to_owned).into_iter().chain(depths));
        for preparation in PREPARATIONS {
            for way in IoPath::ALL {
                for method in METHODS {
                    let cell = |&depth| text(Cell { size, preparation, way, method, depth, gated: true }, shots);
                    let cells: Vec<_> = self.depths.iter().map(cell).collect();
                    if cells.iter().any(|cell| !cell.is_empty()) {
                        let head = [preparation.to_string(), way.to_string(), method.to_string()];
                        table.add_row(head.into_iter().chain(cells));
                    }
                }
            }
        }
        table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }
}

const PREPARATIONS: [Preparation; 3] = [Preparation::Allocated, Preparation::Zeroed, Preparation::Recycled];
const METHODS: [Method; 3] = [Method::Dsync, Method::Batched, Method::Rolling];

/// Whether the cell can be measured: the writing thread performs one operation at a time.
fn makes_sense(cell: &Cell) -> bool {
    cell.way != IoPath::Inline || (cell.depth == 1 && cell.method != Method::Rolling)
}

/// Formats the median measurement of a cell.
fn text(cell: Cell, shots: &Shots) -> String {
    shots.median(cell).map_or_else(String::new, |shot| {
        let megabytes = shot.writes_per_s * cell.size as f64 / 1e6;
        let (thousands, p50, p99) = (shot.writes_per_s / 1e3, shot.p50_us, shot.p99_us);
        format!("{thousands:.1}k {megabytes:.0} MB/s {p50:.0}/{p99:.0}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::shots::Shot;

    #[test]
    fn every_cell_of_the_grid_has_its_place_in_a_table() {
        let grid = Grid::FULL;
        let cells = grid.cells();
        assert_eq!(cells.len(), 3 * 3 * (2 * 3 * 5 + 2));
        let mut shots = Shots::default();
        for (number, cell) in (1..).zip(&cells) {
            shots.add(*cell, Shot { writes_per_s: f64::from(number) * 1e3, p50_us: 1.0, p99_us: 2.0 });
        }
        let tables: String = grid.sizes.iter().map(|size| grid.table(*size, &shots).to_string()).collect();
        for number in 1..=cells.len() {
            assert!(tables.contains(&format!(" {number}.0k ")), "{number} is missing in\n{tables}");
        }
    }
}
