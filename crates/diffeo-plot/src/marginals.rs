//! Marginals: one small histogram per column, samples of the model as a line over the data.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid};
use crate::clip::Frame;
use crate::colour::{DATA_FILL, INK, MODEL};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::Weight;
use crate::histogram::Bins;
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, Panels, Swatch, capped_note, draw_empty, draw_legend_row,
    draw_title, finish, missing_notes, plural, title_height,
};
use crate::matrix::{Column, Finite, Matrix};
use crate::scene::{Point, Scene, TextStyle, rectangle};

/// What [`draw_marginals`] draws.
#[derive(Clone, Debug)]
pub struct MarginalsConfig<'a> {
    /// Names and kinds of the columns.
    pub columns: &'a [Column],
    /// Rows of data; may be empty.
    pub data: Matrix<'a>,
    /// Samples of the model; may be empty.
    pub samples: Matrix<'a>,
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// Width of the page in units of 1/96 inch.
    pub width: f64,
    /// More columns than this are not drawn, and the caption says so.
    pub columns_max: usize,
}

impl<'a> MarginalsConfig<'a> {
    /// A figure without title, 820 units wide, of at most 60 columns.
    pub const fn new(columns: &'a [Column], data: Matrix<'a>, samples: Matrix<'a>) -> Self {
        Self { columns, data, samples, title: "", width: 820.0, columns_max: 60 }
    }
}

/// Draws the marginal distribution of every column: data as filled bars, samples as a line.
///
/// # Errors
/// [`PlotError::Shape`] if data or samples do not have one column per name.
pub fn draw_marginals(config: &MarginalsConfig) -> Result<Figure, PlotError> {
    config.data.expect_width(config.columns.len(), "data")?;
    config.samples.expect_width(config.columns.len(), "samples")?;
    let shown = config.columns.len().min(config.columns_max);
    let width = config.width.clamp(240.0, 4000.0);
    let legend_y = MARGIN + title_height(config.title) + 6.0;
    let panels = Panels::new(shown, width, MARGIN, legend_y + 40.0, [20.0, 56.0]);
    let mut scene = Scene::new(width, panels.bottom(shown) + 20.0 + MARGIN);
    draw_title(&mut scene, config.title);
    draw_legend_row(&mut scene, MARGIN, legend_y, &legend(config.data, config.samples));
    let mut missing = [Missing::default(); 2];
    for (j, column) in config.columns.iter().take(shown).enumerate() {
        let frame = panels.frame(j);
        let marginal = Marginal::new(config.data, config.samples, j, column.step);
        marginal.count_missing(&mut missing);
        let x = AxisTicks::of(Axis::horizontal(marginal.range, &frame), column);
        draw_grid(&mut scene, &frame, Some(&x), None);
        marginal.draw(&mut scene, &frame);
        draw_bottom(&mut scene, &frame, &x, true);
        let name = x.named(&column.name, frame.width, LABEL_SIZE, Weight::Bold);
        let style = TextStyle::new(LABEL_SIZE, INK).bold();
        scene.text([frame.left, frame.top - 8.0], name, style);
    }
    let notes = notes(config.data, config.samples, &missing, shown, config.columns.len());
    Ok(finish(scene, config.title, "Marginals of data and model", notes))
}

/// The legend of figures in which bars are data and lines are samples.
pub(crate) fn legend(data: Matrix, samples: Matrix) -> Vec<(Swatch, String)> {
    let entries = [
        (data, Swatch::Area(DATA_FILL), "data"),
        (samples, Swatch::Line(MODEL, 1.5), "model samples"),
    ];
    let shown = entries.into_iter().filter(|(rows, ..)| !rows.is_empty());
    shown.map(|(_, swatch, text)| (swatch, text.to_owned())).collect()
}

/// Sizes and what is missing.
pub(crate) fn notes(
    data: Matrix,
    samples: Matrix,
    missing: &[Missing; 2],
    shown: usize,
    all: usize,
) -> Vec<String> {
    let counts = [(data, "data row"), (samples, "model sample")];
    let counts = counts.iter().filter(|(rows, _)| !rows.is_empty());
    let counts: Vec<String> = counts.map(|(rows, name)| plural(rows.len(), name)).collect();
    let rows = format!("{}.", counts.join(", "));
    let kinds = [("data value", missing[0]), ("sample value", missing[1])];
    [rows].into_iter().chain(capped_note(shown, all)).chain(missing_notes(&kinds)).collect()
}

/// One column of data and samples, counted into the same bins.
pub(crate) struct Marginal {
    pub(crate) range: Range,
    /// The distance between values that lie on a lattice.
    step: Option<f64>,
    data: Finite,
    samples: Finite,
}

impl Marginal {
    pub(crate) fn new(data: Matrix, samples: Matrix, j: usize, step: Option<f64>) -> Self {
        let (data, samples) = (Finite::of(data.column(j)), Finite::of(samples.column(j)));
        let range = Range::of(&data, &samples);
        let range = match step {
            Some(step) if range.span() / step < 1e9 => Range::new(
                ((range.low / step).round() - 0.5) * step,
                ((range.high / step).round() + 0.5) * step,
            ),
            _ => range.padded(0.04),
        };
        Self { range, step, data, samples }
    }

    /// Adds what this column cannot show to the counts of data and samples.
    pub(crate) fn count_missing(&self, missing: &mut [Missing; 2]) {
        for (total, values) in missing.iter_mut().zip([&self.data, &self.samples]) {
            total.skipped += values.skipped;
            total.outside += values.values.iter().filter(|v| !self.range.contains(**v)).count();
        }
    }

    /// Bars and line, scaled to the height of the frame.
    pub(crate) fn draw(&self, scene: &mut Scene, frame: &Frame) {
        if self.data.values.is_empty() && self.samples.values.is_empty() {
            draw_empty(scene, frame, "no values");
            return;
        }
        let reference = if self.data.values.is_empty() { &self.samples } else { &self.data };
        let most = (frame.width / 4.0).clamp(8.0, 60.0) as usize;
        let bins = Bins::for_axis(reference, self.range, self.step, most);
        let data = bins.shares(&self.data.values);
        let samples = bins.shares(&self.samples.values);
        let largest = |shares: &[f64]| shares.iter().copied().fold(0.0, f64::max);
        // A model that puts everything in one place must not flatten the data.
        let top = match (largest(&data), largest(&samples)) {
            (d, s) if d > 0.0 => d.max(s.min(2.5 * d)),
            (_, s) => s,
        };
        if top <= 0.0 {
            draw_empty(scene, frame, "all values outside");
            return;
        }
        let x = Axis::horizontal(self.range, frame);
        let place = |value: f64| x.place(value).clamp(frame.left, frame.right());
        let height = |share: f64| frame.bottom() - (share / top).min(1.0) * 0.94 * frame.height;
        let edges: Vec<[f64; 2]> = (0..bins.count()).map(|i| bins.edges(i).map(place)).collect();
        self.draw_bars(scene, frame.bottom(), &edges, &data, height);
        if !self.samples.values.is_empty() {
            let steps = edges.iter().zip(&samples).flat_map(|([left, right], share)| {
                [[*left, height(*share)], [*right, height(*share)]]
            });
            let ground = |x: f64| [[x, frame.bottom()]];
            let stairs = ground(frame.left).into_iter().chain(steps).chain(ground(frame.right()));
            scene.lines(vec![stairs.collect()], 1.5, MODEL);
        }
    }

    fn draw_bars(
        &self,
        scene: &mut Scene,
        base: f64,
        edges: &[[f64; 2]],
        shares: &[f64],
        height: impl Fn(f64) -> f64,
    ) {
        let bars = edges.iter().zip(shares).filter(|(_, share)| **share > 0.0);
        // Numbers of a lattice stand apart; real numbers touch, as one area without seams.
        let gap = if self.step.is_some() { 0.12 } else { 0.0 };
        let rings: Vec<Vec<Point>> = bars
            .map(|([left, right], share)| {
                let room = gap * (right - left);
                rectangle([left + room, height(*share)], [right - room, base])
            })
            .collect();
        if !rings.is_empty() {
            scene.area(rings, DATA_FILL);
        }
    }
}
