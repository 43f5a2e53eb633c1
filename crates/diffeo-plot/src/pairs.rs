//! Pairs: all columns against each other, contours of the model over the data.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{DATA, INK, MODEL, data_ramp};
use crate::contour::contours;
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::Weight;
use crate::histogram::{Bins, Counts2d};
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, draw_empty, draw_entry, draw_title, finish, title_height,
};
use crate::levels::{Levels, draw_boxes, draw_shares};
use crate::marginals::{Marginal, legend, notes};
use crate::matrix::{Column, Finite, Matrix};
use crate::scene::{Anchor, Picture, Scene, TextStyle};

/// Shares of the samples inside the contours.
const MASSES: [f64; 4] = [0.2, 0.5, 0.8, 0.95];
/// Below this many points, single points say more than counts or contours.
const FEW_DATA: usize = 1500;
const FEW_SAMPLES: usize = 300;
/// Multiples of a step between which contours would be drawn where there is nothing, so that boxes and squares are.
const FEW_LEVELS: f64 = 10.5;
/// Space between panels.
const GAP: f64 = 14.0;

/// What [`draw_pairs`] draws.
#[derive(Clone, Debug)]
pub struct PairsConfig<'a> {
    /// Names and kinds of the columns.
    pub columns: &'a [Column],
    /// Rows of data; may be empty.
    pub data: Matrix<'a>,
    /// Samples of the model; may be empty.
    pub samples: Matrix<'a>,
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// More columns than this are not drawn, and the caption says so.
    pub columns_max: usize,
}

impl<'a> PairsConfig<'a> {
    /// A figure without title of at most 8 columns.
    pub const fn new(columns: &'a [Column], data: Matrix<'a>, samples: Matrix<'a>) -> Self {
        Self { columns, data, samples, title: "", columns_max: 8 }
    }
}

/// Draws a triangle of panels: marginals on the diagonal, pairs of columns below it.
///
/// In a pair, counts of data are shaded and lines hold 20, 50, 80 and 95 % of the samples; few rows
/// are drawn as points. On the diagonal data are bars and samples a line.
///
/// # Errors
/// [`PlotError::Shape`] if data or samples do not have one column per name.
pub fn draw_pairs(config: &PairsConfig) -> Result<Figure, PlotError> {
    config.data.expect_width(config.columns.len(), "data")?;
    config.samples.expect_width(config.columns.len(), "samples")?;
    let shown = config.columns.len().min(config.columns_max);
    let columns = config.columns.get(..shown).unwrap_or_default();
    let marginals: Vec<Marginal> = columns
        .iter()
        .enumerate()
        .map(|(j, c)| Marginal::new(config.data, config.samples, j, c.step))
        .collect();
    let mut missing = [Missing::default(); 2];
    marginals.iter().for_each(|m| m.count_missing(&mut missing));
    let triangle = Triangle::new(config.title, columns, &marginals);
    let mut scene = triangle.scene(config.title);
    for (row, marginal) in marginals.iter().enumerate() {
        for column in 0..row {
            triangle.draw_pair(&mut scene, config, row, column);
        }
        let frame = triangle.frame(row, row);
        draw_grid(&mut scene, &frame, Some(&triangle.x(row)), None);
        marginal.draw(&mut scene, &frame);
        draw_bottom(&mut scene, &frame, &triangle.x(row), row + 1 == shown);
        triangle.draw_names(&mut scene, row);
    }
    triangle.draw_legend(&mut scene, config);
    let notes = notes(config.data, config.samples, &missing, shown, config.columns.len());
    Ok(finish(scene, config.title, "Pairs of columns, data and model", notes))
}

/// Where the panels lie.
struct Triangle<'a> {
    columns: &'a [Column],
    ranges: Vec<Range>,
    side: f64,
    left: f64,
    top: f64,
}

impl<'a> Triangle<'a> {
    fn new(title: &str, columns: &'a [Column], marginals: &[Marginal]) -> Self {
        let side = match columns.len() {
            0 | 1 => 320.0,
            2 => 250.0,
            3 => 200.0,
            4 => 164.0,
            5 => 138.0,
            6 => 120.0,
            7 => 108.0,
            _ => 98.0,
        };
        let top = MARGIN + title_height(title) + if columns.len() < 2 { 44.0 } else { 4.0 };
        let ranges = marginals.iter().map(|m| m.range).collect();
        let mut triangle = Self { columns, ranges, side, left: MARGIN, top };
        let labels =
            (1..columns.len()).map(|row| triangle.y(row).label_width()).fold(0.0, f64::max);
        if columns.len() > 1 {
            triangle.left = (MARGIN + LABEL_SIZE + 16.0 + labels).ceil();
        }
        triangle
    }

    fn scene(&self, title: &str) -> Scene {
        let n = self.columns.len().max(1) as f64;
        let extent = n * self.side + (n - 1.0) * GAP;
        let width = self.left + extent + MARGIN + 4.0;
        let mut scene = Scene::new(width, self.top + extent + 38.0 + MARGIN);
        draw_title(&mut scene, title);
        if self.columns.is_empty() {
            draw_empty(&mut scene, &self.frame(0, 0), "no columns");
        }
        scene
    }

    fn frame(&self, row: usize, column: usize) -> Frame {
        let place = |k: usize| k as f64 * (self.side + GAP);
        Frame {
            left: self.left + place(column),
            top: self.top + place(row),
            width: self.side,
            height: self.side,
        }
    }

    fn x(&self, column: usize) -> AxisTicks {
        let axis = Axis::horizontal(self.ranges[column], &self.frame(column, column))
            .with_overhang(GAP / 2.0);
        AxisTicks::of(axis, &self.columns[column])
    }

    fn y(&self, row: usize) -> AxisTicks {
        let axis = Axis::vertical(self.ranges[row], &self.frame(row, row)).with_overhang(GAP / 2.0);
        AxisTicks::of(axis, &self.columns[row])
    }

    /// Names along the bottom and the left edge.
    fn draw_names(&self, scene: &mut Scene, k: usize) {
        let style = TextStyle::new(LABEL_SIZE, INK).anchored(Anchor::Middle);
        let name = &self.columns[k].name;
        let below = self.frame(self.columns.len() - 1, k);
        let text = self.x(k).named(name, self.side, LABEL_SIZE, Weight::Regular);
        scene.text([below.centre()[0], below.bottom() + 33.0], text, style);
        if k > 0 {
            let text = self.y(k).named(name, self.side, LABEL_SIZE, Weight::Regular);
            let at = [MARGIN + LABEL_SIZE, self.frame(k, 0).centre()[1]];
            scene.text(at, text, style.upright());
        }
    }

    fn draw_pair(&self, scene: &mut Scene, config: &PairsConfig, row: usize, column: usize) {
        let frame = self.frame(row, column);
        let (x, y) = (self.x(column), self.y(row));
        let data = config.data.finite_pairs(column, row);
        let samples = config.samples.finite_pairs(column, row);
        let levels = [(column, &x), (row, &y)].map(|(k, ticks)| self.levels(k, ticks));
        if let [Some(a), Some(b)] = levels {
            draw_grid(scene, &frame, Some(&x), Some(&y));
            draw_shares(scene, &frame, [a, b], [&data, &samples]);
            draw_bottom(scene, &frame, &x, row + 1 == self.columns.len());
            draw_left(scene, &frame, &y, column == 0);
            return;
        }
        let steps = [self.columns[column].step, self.columns[row].step];
        let panel = [self.ranges[column], self.ranges[row]];
        let place = |p: &[f64; 2]| [x.axis.place(p[0]), y.axis.place(p[1])];
        let visible = |points: &[[f64; 2]]| -> Vec<[f64; 2]> {
            points.iter().map(place).filter(|p| frame.contains(*p)).collect()
        };
        if data.len() <= FEW_DATA {
            draw_grid(scene, &frame, Some(&x), Some(&y));
            scene.dots(visible(&data), dot_radius(data.len()), DATA.with_alpha(0.5));
        } else {
            let picture = shading(&data, &frame, &x, &y, steps);
            draw_grid(scene, &frame, Some(&x), Some(&y));
            scene.picture([frame.left, frame.top], picture);
        }
        if samples.len() <= FEW_SAMPLES {
            scene.dots(visible(&samples), dot_radius(samples.len()), MODEL.with_alpha(0.7));
        } else if let [Some(levels), None] = levels {
            draw_boxes(scene, &frame, (levels, &y), &samples, true);
        } else if let [None, Some(levels)] = levels {
            draw_boxes(scene, &frame, (levels, &x), &samples, false);
        } else {
            let width = if self.side < 170.0 { 0.9 } else { 1.1 };
            for contour in contours(&samples, panel, steps, &MASSES) {
                let lines = contour
                    .lines
                    .iter()
                    .flat_map(|line| frame.clip(&line.iter().map(place).collect::<Vec<_>>()));
                let strength = if contour.mass > 0.9 { 0.6 } else { 1.0 };
                scene.lines(lines.collect(), width, MODEL.with_alpha(strength));
            }
        }
        draw_bottom(scene, &frame, &x, row + 1 == self.columns.len());
        draw_left(scene, &frame, &y, column == 0);
    }

    /// Whether a column has names for its values, or only few that it may have.
    fn is_of_levels(&self, k: usize) -> bool {
        let column = &self.columns[k];
        let is_few = |step| self.ranges[k].span() / step <= FEW_LEVELS;
        !column.levels.is_empty() || column.step.is_some_and(is_few)
    }

    fn levels<'t>(&self, k: usize, ticks: &'t AxisTicks) -> Option<Levels<'t>> {
        let step = self.columns[k].step.filter(|_| self.is_of_levels(k))?;
        Some(Levels { ticks, step })
    }

    /// What the lines of the panels are, by which columns there are.
    fn explanations(&self) -> Vec<&'static str> {
        let is_narrow = |k: usize| Some(self.levels(k, &self.x(k))?.are_narrow());
        let of_levels: Vec<bool> = (0..self.columns.len()).filter_map(is_narrow).collect();
        let of_numbers = self.columns.len() - of_levels.len();
        let all = [
            (of_numbers > 1, "lines hold 20, 50, 80, 95 %"),
            (of_numbers > 0 && of_levels.contains(&false), "boxes hold 50 %, whiskers 90 %"),
            (of_numbers > 0 && of_levels.contains(&true), "dots are medians of a level"),
            (of_levels.len() > 1, "areas of squares are shares"),
        ];
        all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, text)| text).collect()
    }

    /// In the empty upper half, or above a single panel.
    fn draw_legend(&self, scene: &mut Scene, config: &PairsConfig) {
        let entries = legend(config.data, config.samples);
        let [mut x, mut y] = [MARGIN, self.top - 32.0];
        let wide = self.columns.len() > 1;
        if wide {
            [x, y] = [self.frame(0, 1).left + 8.0, self.frame(0, 1).top + 12.0];
        }
        for (swatch, text) in &entries {
            draw_entry(scene, x, y, *swatch, text);
            if wide {
                y += 18.0;
            } else {
                x += 90.0;
            }
        }
        if wide && config.samples.len() > FEW_SAMPLES {
            let style = TextStyle::new(LABEL_SIZE - 1.0, crate::colour::MUTED);
            for text in self.explanations() {
                scene.text([x + 20.0, y + 0.36 * LABEL_SIZE - 2.0], text, style);
                y += 15.0;
            }
        }
    }
}

/// Few points are large, many small.
fn dot_radius(n: usize) -> f64 {
    (20.0 / (n.max(1) as f64).sqrt()).clamp(0.9, 2.2)
}

/// Counts of data in cells; the square root keeps single rows visible beside dense places.
fn shading(
    data: &[[f64; 2]],
    frame: &Frame,
    x: &AxisTicks,
    y: &AxisTicks,
    steps: [Option<f64>; 2],
) -> Picture {
    let most = (2.2 * (data.len() as f64).cbrt()).min(frame.width / 2.5).max(12.0) as usize;
    let bins = |axis: usize, range: Range| {
        let values = Finite::of(data.iter().map(|p| p[axis]));
        Bins::for_axis(&values, range, steps[axis], most)
    };
    let counts = Counts2d::of(data, bins(0, x.axis.range), bins(1, y.axis.range));
    let largest = counts.largest().max(1.0);
    Picture::render(frame.width, frame.height, |dx, dy| {
        let count = counts.at(x.axis.value(frame.left + dx), y.axis.value(frame.top + dy));
        (count > 0.0).then(|| data_ramp(0.1 + 0.9 * (count / largest).sqrt()))
    })
}
