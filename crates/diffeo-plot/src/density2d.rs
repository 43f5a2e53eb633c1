//! A density over two columns, and beside it the map that makes it: the warped grid of base space.

use crate::axis::{Axis, AxisTicks, Range, TICK_SIZE, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{AXIS, DATA, INK, MODEL, MUTED, PAPER, density_ramp};
use crate::contour::mass_levels;
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::{Weight, fit, text_width};
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, draw_title, finish, missing_notes, plural, title_height,
};
use crate::matrix::Matrix;
use crate::scene::{Anchor, Picture, Point, Scene, TextStyle};
use crate::ticks::count;

/// Points drawn over the density at most: more hide it.
const POINTS_MAX: usize = 1000;
/// Width of the colour bar.
const BAR: f64 = 10.0;

/// A line of the regular grid in base space, as it lies in data space.
#[derive(Clone, Debug, PartialEq)]
pub struct GridLine {
    /// The base coordinate that is constant along the line: 0 or 1.
    pub axis: usize,
    /// Its value; lines far from 0 are drawn paler.
    pub value: f64,
    /// Places in data space, in order.
    pub points: Vec<[f64; 2]>,
}

/// What [`draw_density2d`] draws.
#[derive(Clone, Debug)]
pub struct Density2dConfig<'a> {
    /// Names of the two columns.
    pub names: [&'a str; 2],
    /// Places of the density along the first column, ascending.
    pub xs: &'a [f64],
    /// Places of the density along the second column, ascending.
    pub ys: &'a [f64],
    /// The density (not its logarithm), `[ys.len(), xs.len()]`, row after row.
    pub density: &'a [f64],
    /// Rows of data, `[n, 2]`; may be empty.
    pub points: Matrix<'a>,
    /// The warped grid; without lines only the density is drawn.
    pub grid: &'a [GridLine],
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// A sentence below the figure; none if empty.
    pub note: &'a str,
    /// Side of a panel in units of 1/96 inch.
    pub side: f64,
}

impl<'a> Density2dConfig<'a> {
    /// A figure without points, grid or title, panels 300 units wide.
    pub const fn new(
        names: [&'a str; 2],
        xs: &'a [f64],
        ys: &'a [f64],
        density: &'a [f64],
    ) -> Self {
        let points = Matrix::empty(2);
        Self { names, xs, ys, density, points, grid: &[], title: "", note: "", side: 300.0 }
    }
}

/// Draws the density as colours with data points over it, and the warped grid beside it.
///
/// The brightest colour begins at the density that the densest 3 % of the mass exceeds, so that one
/// spike cannot darken the rest; the colour bar then says "≥".
///
/// # Errors
/// [`PlotError::Shape`] if the density does not fill the grid of `xs` and `ys`, or if these are not
/// finite and ascending.
pub fn draw_density2d(config: &Density2dConfig) -> Result<Figure, PlotError> {
    config.points.expect_width(2, "points")?;
    let field = Field::new(config.xs, config.ys, config.density)?;
    let side = config.side.clamp(120.0, 1200.0).floor();
    let top = MARGIN + title_height(config.title) + 20.0;
    let probe = Frame { left: 0.0, top, width: side, height: side };
    let y_labels = AxisTicks::new(Axis::vertical(field.ranges[1], &probe), false).label_width();
    let margin = (MARGIN + LABEL_SIZE + 14.0 + y_labels).ceil();
    let frame = Frame { left: margin, ..probe };
    let bar = Frame { left: frame.right() + 12.0, width: BAR, ..frame };
    let bar_y = AxisTicks::new(Axis::vertical(Range::new(0.0, field.limit), &bar), false);
    let bar_end = bar.right() + 10.0 + bar_y.label_width();
    let second = Frame { left: (bar_end + margin - MARGIN + 16.0).ceil(), ..frame };
    let end = if config.grid.is_empty() { bar_end } else { second.right() };
    let mut scene = Scene::new((end + MARGIN + 8.0).ceil(), frame.bottom() + 38.0 + MARGIN);
    draw_title(&mut scene, config.title);

    let panel = Panel::new(config.names, frame, field.ranges);
    scene.picture([frame.left, frame.top], field.picture(frame, field.limit));
    let (points, missing) = panel.visible_points(config.points);
    let drawn = thin(points);
    scene.dots(drawn.clone(), 1.5, INK.with_alpha(0.3));
    scene.dots(drawn.clone(), 0.95, PAPER.with_alpha(0.85));
    let of_data = if config.points.is_empty() { "" } else { " and data" };
    panel.draw_axes(&mut scene, &format!("model density{of_data}"));
    draw_bar(&mut scene, &bar, &bar_y, field.saturates);
    if !config.grid.is_empty() {
        let panel = Panel::new(config.names, second, field.ranges);
        draw_grid(&mut scene, &second, Some(&panel.x), Some(&panel.y));
        let shift = second.left - frame.left;
        let moved = drawn.iter().map(|[x, y]| [x + shift, *y]).collect();
        scene.dots(moved, 1.0, AXIS.with_alpha(0.45));
        panel.draw_warped(&mut scene, config.grid);
        panel.draw_axes(&mut scene, "grid of base space, mapped to data");
    }
    let mut notes = notes(config, &field, drawn.len(), missing);
    notes.splice(0..0, Some(config.note.to_owned()).filter(|note| !note.is_empty()));
    Ok(finish(scene, config.title, "Density of the model", notes))
}

fn notes(config: &Density2dConfig, field: &Field, drawn: usize, points: Missing) -> Vec<String> {
    let rows = config.points.len();
    let mut notes = Vec::new();
    if rows > 0 {
        notes.push(format!("{}.", plural(rows, "data row")));
    }
    if drawn + points.skipped + points.outside < rows {
        notes.push(format!("{} of them shown, evenly chosen.", count(drawn)));
    }
    if !config.grid.is_empty() {
        notes.push(
            "Blue lines: first base coordinate constant; orange: second; thick: at 0.".into(),
        );
    }
    let density = Missing { skipped: field.skipped, outside: 0 };
    notes.extend(missing_notes(&[("data row", points), ("density value", density)]));
    notes
}

/// What [`draw_densities`] draws: small pictures of densities side by side.
#[derive(Clone, Debug)]
pub struct DensitiesConfig<'a> {
    /// What stands over each column of pictures.
    pub columns: &'a [&'a str],
    /// What stands beside each row of pictures.
    pub rows: &'a [&'a str],
    /// Places of all densities along both axes, ascending.
    pub places: &'a [f64],
    /// The densities, row after row of pictures, each `[places, places]`.
    pub densities: &'a [Vec<f64>],
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// Side of a picture in units of 1/96 inch.
    pub side: f64,
}

/// Draws densities without axes, to be compared: all of a column have the colours of its first, as in [`draw_density2d`].
///
/// # Errors
/// [`PlotError::Shape`] if there is not a density for each row and column, or one does not fill its grid.
pub fn draw_densities(config: &DensitiesConfig) -> Result<Figure, PlotError> {
    const GAP: f64 = 6.0;
    let (across, down) = (config.columns.len(), config.rows.len());
    if config.densities.len() != across * down {
        return Err(PlotError::Shape(format!(
            "expected {down} rows of {across} densities, found {} in all",
            config.densities.len()
        )));
    }
    let fields = config.densities.iter();
    let fields = fields.map(|density| Field::new(config.places, config.places, density));
    let fields = fields.collect::<Result<Vec<Field>, PlotError>>()?;
    let side = config.side.clamp(40.0, 600.0).floor();
    let label = |row: &&str| text_width(row, LABEL_SIZE, Weight::Regular);
    let left = (MARGIN + config.rows.iter().map(label).fold(0.0, f64::max) + 8.0).ceil();
    let top = MARGIN + title_height(config.title) + LABEL_SIZE + 8.0;
    let end = |start: f64, n: usize| start + n as f64 * (side + GAP) - GAP + MARGIN;
    let mut scene = Scene::new(end(left, across), end(top, down));
    draw_title(&mut scene, config.title);
    let style = TextStyle::new(LABEL_SIZE, INK);
    for (i, field) in fields.iter().enumerate() {
        let (row, column) = (i / across, i % across);
        let place = |start: f64, n: usize| start + n as f64 * (side + GAP);
        let [x, y] = [place(left, column), place(top, row)];
        let frame = Frame { left: x, top: y, width: side, height: side };
        scene.picture([x, y], field.picture(frame, fields[column].limit));
        if row == 0 {
            let name = fit(config.columns[column], side, LABEL_SIZE, Weight::Regular);
            scene.text([x, top - 8.0], name, style);
        }
        if column == 0 {
            scene.text([MARGIN, y + 0.5 * side], config.rows[row], style);
        }
    }
    let skipped = fields.iter().map(|field| field.skipped).sum();
    let missing = missing_notes(&[("density value", Missing { skipped, outside: 0 })]);
    Ok(finish(scene, config.title, "Densities", missing))
}

/// At most [`POINTS_MAX`] points at equal distances in their order.
fn thin(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let share = points.len() as f64 / POINTS_MAX as f64;
    let at = |k: usize| points[(k as f64 * share) as usize];
    (0..POINTS_MAX).map(at).collect()
}

/// The density on its grid.
struct Field<'a> {
    xs: &'a [f64],
    ys: &'a [f64],
    values: Vec<f64>,
    ranges: [Range; 2],
    /// The density of the brightest colour.
    limit: f64,
    /// Whether some densities exceed the limit.
    saturates: bool,
    skipped: usize,
}

impl<'a> Field<'a> {
    /// A density at each of `xs`, row after row for each of `ys`.
    fn new(xs: &'a [f64], ys: &'a [f64], density: &[f64]) -> Result<Self, PlotError> {
        for (what, places) in [("xs", xs), ("ys", ys)] {
            let rising = places.windows(2).all(|w| w[0] < w[1]);
            if places.len() < 2 || !rising || !places.iter().all(|v| v.abs() <= 1e300) {
                return Err(PlotError::Shape(format!(
                    "expected {what} of at least 2 finite values in ascending order, found {} values",
                    places.len()
                )));
            }
        }
        if density.len() != xs.len() * ys.len() {
            return Err(PlotError::Shape(format!(
                "expected {} by {} densities, found {}",
                ys.len(),
                xs.len(),
                density.len()
            )));
        }
        let usable = |v: &f64| v.is_finite() && *v >= 0.0;
        let values: Vec<f64> = density.iter().map(|v| if usable(v) { *v } else { 0.0 }).collect();
        let largest = values.iter().copied().fold(0.0, f64::max);
        // Relative to the largest, so that the sum of the mass cannot overflow.
        let relative: Vec<f64> = values.iter().map(|v| v / largest).collect();
        let total: f64 = relative.iter().sum();
        let share = 0.03 * total / relative.len() as f64;
        let level = mass_levels(&relative, relative.len(), &[share]);
        let limit = largest * level.first().map_or(1.0, |(_, level)| *level);
        let range = |places: &[f64]| Range::new(places[0], places[places.len() - 1]);
        Ok(Self {
            xs,
            ys,
            ranges: [range(xs), range(ys)],
            limit: if limit > 0.0 { limit } else { 1.0 },
            saturates: largest > 1.05 * limit,
            skipped: density.iter().filter(|v| !usable(v)).count(),
            values,
        })
    }

    /// The densities as colours, brightest from `limit` on.
    fn picture(&self, frame: Frame, limit: f64) -> Picture {
        let [x, y] =
            [Axis::horizontal(self.ranges[0], &frame), Axis::vertical(self.ranges[1], &frame)];
        Picture::render(frame.width, frame.height, |dx, dy| {
            let at = self.at(x.value(frame.left + dx), y.value(frame.top + dy));
            Some(density_ramp(at / limit))
        })
    }

    /// Bilinear interpolation.
    fn at(&self, x: f64, y: f64) -> f64 {
        let (i, s) = cell(self.xs, x);
        let (j, t) = cell(self.ys, y);
        let value = |j: usize, i: usize| self.values[j * self.xs.len() + i];
        let row = |j: usize| (1.0 - s) * value(j, i) + s * value(j, i + 1);
        (1.0 - t) * row(j) + t * row(j + 1)
    }
}

/// The interval of a place and the share of it that lies below; clamped to the ends.
fn cell(places: &[f64], at: f64) -> (usize, f64) {
    let index = places.partition_point(|p| *p <= at).clamp(1, places.len() - 1) - 1;
    let share = (at - places[index]) / (places[index + 1] - places[index]);
    (index, share.clamp(0.0, 1.0))
}

/// A square with both axes.
struct Panel<'a> {
    names: [&'a str; 2],
    frame: Frame,
    x: AxisTicks,
    y: AxisTicks,
}

impl<'a> Panel<'a> {
    fn new(names: [&'a str; 2], frame: Frame, ranges: [Range; 2]) -> Self {
        let x = AxisTicks::new(Axis::horizontal(ranges[0], &frame), false);
        let y = AxisTicks::new(Axis::vertical(ranges[1], &frame), false);
        Self { names, frame, x, y }
    }

    fn place(&self, [x, y]: [f64; 2]) -> Point {
        if x.is_finite() && y.is_finite() {
            [self.x.axis.place(x), self.y.axis.place(y)]
        } else {
            [f64::NAN; 2]
        }
    }

    fn visible_points(&self, points: Matrix) -> (Vec<Point>, Missing) {
        let finite = points.finite_pairs(0, 1);
        let visible: Vec<Point> =
            finite.iter().map(|p| self.place(*p)).filter(|p| self.frame.contains(*p)).collect();
        let missing =
            Missing { skipped: points.len() - finite.len(), outside: finite.len() - visible.len() };
        (visible, missing)
    }

    fn draw_axes(&self, scene: &mut Scene, caption: &str) {
        draw_bottom(scene, &self.frame, &self.x, true);
        draw_left(scene, &self.frame, &self.y, true);
        let style = TextStyle::new(LABEL_SIZE, INK).anchored(Anchor::Middle);
        let [x_name, y_name] = self.names;
        let [middle, centre] = self.frame.centre();
        let text = self.x.named(x_name, self.frame.width, LABEL_SIZE, Weight::Regular);
        scene.text([middle, self.frame.bottom() + 33.0], text, style);
        let text = self.y.named(y_name, self.frame.height, LABEL_SIZE, Weight::Regular);
        let left = self.frame.left - 14.0 - self.y.label_width();
        scene.text([left, centre], text, style.upright());
        let text = fit(caption, self.frame.width, LABEL_SIZE, Weight::Bold);
        let style = TextStyle::new(LABEL_SIZE, INK).bold();
        scene.text([self.frame.left, self.frame.top - 9.0], text, style);
    }

    /// Lines of one base coordinate in blue, of the other in orange, the middle ones strongest.
    fn draw_warped(&self, scene: &mut Scene, grid: &[GridLine]) {
        let farthest = grid.iter().map(|l| l.value.abs()).filter(|v| v.is_finite());
        let farthest = farthest.fold(f64::MIN_POSITIVE, f64::max);
        for line in grid {
            let places: Vec<Point> = line.points.iter().map(|p| self.place(*p)).collect();
            let colour = if line.axis == 0 { DATA } else { MODEL };
            let distance = (line.value.abs() / farthest).min(1.0);
            let (width, strength) =
                if line.value == 0.0 { (1.9, 1.0) } else { (1.0, 0.95 - 0.55 * distance as f32) };
            scene.lines(self.frame.clip(&places), width, colour.with_alpha(strength));
        }
    }
}

fn draw_bar(scene: &mut Scene, frame: &Frame, y: &AxisTicks, saturates: bool) {
    let picture = Picture::render(frame.width, frame.height, |_, dy| {
        Some(density_ramp(1.0 - dy / frame.height))
    });
    scene.picture([frame.left, frame.top], picture);
    let style = TextStyle::new(TICK_SIZE, MUTED);
    for (value, label) in &y.ticks.marks {
        let at = [frame.right() + 4.0, y.axis.place(*value) + 0.36 * TICK_SIZE];
        scene.text(at, label.clone(), style);
    }
    let more = if saturates { "≥ " } else { "" };
    let suffix = &y.ticks.suffix;
    if saturates || !suffix.is_empty() {
        let text = format!("{more}{suffix}");
        scene.text([frame.left, frame.top - 6.0], text.trim().to_owned(), style);
    }
}
