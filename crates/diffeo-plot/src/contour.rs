//! Contours of a sample: lines that hold a given share of its points.

use crate::axis::Range;
use crate::histogram::{Bins, Counts2d};
use crate::matrix::Finite;
use crate::scene::Point;

/// Cells of the grid along one side; two units of the page per cell in the largest panel.
const CELLS: usize = 128;
/// Share of the panel that the grid extends beyond each edge, so that lines leave the panel smoothly.
const MARGIN: f64 = 0.15;

/// Contour lines of one level, in data units.
#[derive(Clone, Debug)]
pub(crate) struct Contour {
    /// Share of the points inside.
    pub(crate) mass: f64,
    pub(crate) lines: Vec<Vec<Point>>,
}

/// The lines of a smoothed histogram inside which the given shares of the points lie.
pub(crate) fn contours(
    points: &[[f64; 2]],
    panel: [Range; 2],
    steps: [Option<f64>; 2],
    masses: &[f64],
) -> Vec<Contour> {
    let [x, y] = panel.map(|range| Bins::filling(range.padded(MARGIN), CELLS));
    let counts = Counts2d::of(points, x, y).counts;
    let scott = |axis: usize, bins: Bins| {
        let step = bins.edges(0)[1] - bins.edges(0)[0];
        let least = steps[axis].map_or(0.0, |unit| 0.5 * unit / step);
        (scott_bandwidth(points.iter().map(|p| p[axis]), step), least)
    };
    let mut density = smoothed(&counts, [scott(0, x), scott(1, y)]);
    // A kernel reaches beyond the last point, where there may be no more room for any.
    let ends = [0, 1].map(|axis| {
        let values = || points.iter().map(move |p| p[axis]);
        let room = 0.5 * steps[axis].unwrap_or(0.0);
        [
            values().fold(f64::INFINITY, f64::min) - room,
            values().fold(f64::NEG_INFINITY, f64::max) + room,
        ]
    });
    let is_beyond = |bins: Bins, at: usize, [low, high]: [f64; 2]| {
        let [from, to] = bins.edges(at);
        to < low || from > high
    };
    for (at, value) in density.iter_mut().enumerate() {
        if is_beyond(x, at % CELLS, ends[0]) || is_beyond(y, at / CELLS, ends[1]) {
            *value = 0.0;
        }
    }
    let levels = mass_levels(&density, points.len(), masses);
    let centre = |bins: Bins, at: f64| {
        let [low, high] = bins.edges(0);
        low + (at + 0.5) * (high - low)
    };
    levels
        .into_iter()
        .map(|(mass, level)| Contour {
            mass,
            lines: isolines(&density, CELLS, level)
                .into_iter()
                .map(|line| line.into_iter().map(|[i, j]| [centre(x, i), centre(y, j)]).collect())
                .collect(),
        })
        .collect()
}

/// The smoothed counts, with the share of Scott's rule that predicts points left out best.
///
/// Scott's rule is right for one normal and blurs the several modes that flows are fitted to; least
/// squares cross-validation chooses between it and narrower kernels. Each bandwidth comes with the
/// least that its column allows. Reference: Bowman, *An alternative method of cross-validation for the
/// smoothing of density estimates*, Biometrika 1984.
fn smoothed(counts: &[f64], scott: [(f64, f64); 2]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    let estimate = |share: f64| {
        let sigmas = scott.map(|(rule, least)| (share * rule).max(least).clamp(1.0, 14.0));
        let mut density = counts.to_vec();
        let peaks = smooth(&mut density, sigmas);
        // Integral of the square, minus twice the mean density at each point from all others.
        let square: f64 = density.iter().map(|d| d * d).sum();
        let left_out: f64 = density.iter().zip(counts).map(|(d, c)| c * (d - peaks)).sum();
        (square / total - 2.0 * left_out / (total - 1.0).max(1.0), density)
    };
    let tried = [1.0, 0.75, 0.55, 0.4].map(estimate);
    let best = tried.iter().map(|(score, _)| *score).fold(f64::INFINITY, f64::min);
    // Scores are noisy; among those within a hundredth the smoothest reads best.
    let good = tried.into_iter().find(|(score, _)| *score <= best + 0.01 * best.abs());
    good.map_or_else(|| counts.to_vec(), |(_, density)| density)
}

/// Width of a normal kernel in cells by Scott's rule for two dimensions.
fn scott_bandwidth(values: impl Iterator<Item = f64>, step: f64) -> f64 {
    let values = Finite::of(values);
    // Half the width of the middle 68 %, which for a normal is its standard deviation.
    let Some([low, high]) = values.quantiles([0.16, 0.84]) else { return 1.0 };
    (high - low) / 2.0 / step * (values.values.len() as f64).powf(-1.0 / 6.0)
}

/// Separable Gaussian blur, nothing beyond the edges; returns the kernel's value at its centre.
fn smooth(grid: &mut [f64], sigmas: [f64; 2]) -> f64 {
    let mut centre = 1.0;
    for (axis, sigma) in sigmas.into_iter().enumerate() {
        let radius = (4.0 * sigma).ceil() as usize;
        let kernel: Vec<f64> =
            (0..=radius).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect();
        let total = 2.0 * kernel.iter().sum::<f64>() - 1.0;
        centre /= total;
        let (stride, other) = if axis == 0 { (1, CELLS) } else { (CELLS, 1) };
        let mut line = vec![0.0; CELLS];
        for start in (0..CELLS).map(|k| k * other) {
            for (i, value) in line.iter_mut().enumerate() {
                let cells = i.saturating_sub(radius)..(i + radius + 1).min(CELLS);
                *value =
                    cells.map(|k| grid[start + k * stride] * kernel[k.abs_diff(i)]).sum::<f64>()
                        / total;
            }
            for (i, value) in line.iter().enumerate() {
                grid[start + i * stride] = *value;
            }
        }
    }
    centre
}

/// For each share of `total`, the density above which that share lies; shares never reached are left out.
pub(crate) fn mass_levels(grid: &[f64], total: usize, masses: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = grid.iter().copied().filter(|v| *v > 0.0).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    masses
        .iter()
        .filter_map(|&mass| {
            let mut inside = 0.0;
            let level = sorted.iter().find(|v| {
                inside += **v;
                inside >= mass * total as f64
            })?;
            Some((mass, *level))
        })
        .collect()
}

/// Marching squares with linear interpolation; segments are joined into lines.
///
/// Coordinates are in cells, the centre of cell (i, j) at `[i, j]`. At a saddle the mean of the corners
/// decides. Reference: Lorensen and Cline, *Marching cubes*, SIGGRAPH 1987 (its plane version).
pub(crate) fn isolines(grid: &[f64], columns: usize, level: f64) -> Vec<Vec<Point>> {
    let rows = grid.len() / columns.max(1);
    let mut net = Net::new(columns, rows);
    for j in 0..rows.saturating_sub(1) {
        for i in 0..columns.saturating_sub(1) {
            let at = j * columns + i;
            let corner = [grid[at], grid[at + 1], grid[at + columns + 1], grid[at + columns]];
            let code =
                corner.iter().enumerate().fold(0, |c, (k, v)| c | usize::from(*v > level) << k);
            let [south, east, north, west] =
                [2 * at, 2 * (at + 1) + 1, 2 * (at + columns), 2 * at + 1];
            let above = corner.iter().sum::<f64>() > 4.0 * level;
            let pairs: &[(usize, usize)] = match code {
                0 | 15 => &[],
                1 | 14 => &[(south, west)],
                2 | 13 => &[(south, east)],
                4 | 11 => &[(east, north)],
                8 | 7 => &[(north, west)],
                3 | 12 => &[(east, west)],
                6 | 9 => &[(south, north)],
                5 if above => &[(south, east), (north, west)],
                5 => &[(south, west), (east, north)],
                _ if above => &[(south, west), (east, north)],
                _ => &[(south, east), (north, west)],
            };
            for &(a, b) in pairs {
                net.join(a, b);
            }
        }
    }
    net.trace(|edge| {
        let (at, vertical) = (edge / 2, edge % 2 == 1);
        let other = at + if vertical { columns } else { 1 };
        let (a, b) = (grid[at], grid[other]);
        let share = if a == b { 0.5 } else { ((level - a) / (b - a)).clamp(0.0, 1.0) };
        let (i, j) = ((at % columns) as f64, (at / columns) as f64);
        if vertical { [i, j + share] } else { [i + share, j] }
    })
}

/// Edges of the grid (2·cell for the one to the right of a corner, 2·cell + 1 for the one above it) and
/// which of them a contour connects: every edge has at most two neighbours.
struct Net {
    neighbours: Vec<[usize; 2]>,
}

impl Net {
    const NONE: usize = usize::MAX;

    fn new(columns: usize, rows: usize) -> Self {
        Self { neighbours: vec![[Self::NONE; 2]; 2 * columns * rows] }
    }

    fn join(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let free = usize::from(self.neighbours[from][0] != Self::NONE);
            self.neighbours[from][free] = to;
        }
    }

    /// Walks every line once: open ones from their ends, then the closed ones.
    fn trace(mut self, place: impl Fn(usize) -> Point) -> Vec<Vec<Point>> {
        let mut lines = Vec::new();
        for open in [true, false] {
            for start in 0..self.neighbours.len() {
                let ends = self.neighbours[start].iter().filter(|n| **n != Self::NONE).count();
                if ends == if open { 1 } else { 2 } {
                    lines.push(self.walk(start).into_iter().map(&place).collect());
                }
            }
        }
        lines
    }

    fn walk(&mut self, start: usize) -> Vec<usize> {
        let mut line = vec![start];
        let mut at = start;
        while let Some(slot) = self.neighbours[at].iter().position(|n| *n != Self::NONE) {
            let next = self.neighbours[at][slot];
            self.neighbours[at][slot] = Self::NONE;
            if let Some(back) = self.neighbours[next].iter().position(|n| *n == at) {
                self.neighbours[next][back] = Self::NONE;
            }
            line.push(next);
            at = next;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contour_of_a_cone_is_one_closed_circle() {
        let n = 41;
        let grid: Vec<f64> = (0..n * n)
            .map(|k| 20.0 - ((k % n) as f64 - 20.0).hypot((k / n) as f64 - 20.0))
            .collect();
        let lines = isolines(&grid, n, 10.0);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        assert!(lines[0].iter().all(|[x, y]| ((x - 20.0).hypot(y - 20.0) - 10.0).abs() < 0.05));
    }

    #[test]
    fn a_slope_has_one_open_line_and_a_saddle_two() {
        let slope: Vec<f64> = (0..25).map(|k| f64::from(k % 5)).collect();
        assert_eq!(isolines(&slope, 5, 1.5).len(), 1);
        assert_eq!(isolines(&[1.0, 0.0, 0.0, 1.0], 2, 0.5).len(), 2);
        assert!(isolines(&slope, 5, 9.0).is_empty() && isolines(&[], 0, 1.0).is_empty());
    }

    #[test]
    fn levels_hold_their_mass() {
        let levels = mass_levels(&[4.0, 3.0, 2.0, 1.0], 10, &[0.4, 0.9, 1.1]);
        assert_eq!(levels, [(0.4, 4.0), (0.9, 2.0)]);
    }

    #[test]
    fn half_of_a_normal_sample_is_inside_its_contour() {
        // Quantiles of the normal through its polar form on a sunflower: radius^2 is exponential.
        let points: Vec<[f64; 2]> = (0..20_000)
            .map(|i| {
                let u = (f64::from(i) + 0.5) / 20_000.0;
                let (r, angle) = ((-2.0 * u.ln()).sqrt(), f64::from(i) * 2.399_963_229_728_653);
                [r * angle.cos(), r * angle.sin()]
            })
            .collect();
        let found = contours(&points, [Range::new(-4.0, 4.0); 2], [None; 2], &[0.5]);
        let expected = (2.0 * 2.0_f64.ln()).sqrt();
        let radii: Vec<f64> = found[0].lines.concat().iter().map(|[x, y]| x.hypot(*y)).collect();
        let mean = radii.iter().sum::<f64>() / radii.len() as f64;
        assert!((mean - expected).abs() < 0.03, "{mean} is not {expected}");
    }
}
