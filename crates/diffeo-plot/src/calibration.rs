//! Calibration: histograms of probability integral transforms, flat if the model is right.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{Colour, DATA, INK, MODEL, MODEL_FILL, MUTED};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::{Weight, fit};
use crate::histogram::Bins;
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, Panels, Swatch, capped_note, draw_empty, draw_legend_row,
    draw_title, finish, missing_notes, plural, title_height,
};
use crate::matrix::{Column, Finite, Matrix};
use crate::scene::{Scene, TextStyle, rectangle};

/// Share of bars inside the band if the model is right.
const COVERAGE: f64 = 0.95;
/// The band of a uniform histogram.
const BAND: Colour = DATA.with_alpha(0.16);

/// What [`draw_calibration`] draws.
#[derive(Clone, Debug)]
pub struct CalibrationConfig<'a> {
    /// Names of the columns.
    pub columns: &'a [Column],
    /// Probability integral transforms of the data, `[n, columns]`, in 0..=1.
    pub pit: Matrix<'a>,
    /// Bars per panel.
    pub bins: usize,
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// Width of the page in units of 1/96 inch.
    pub width: f64,
    /// More columns than this are not drawn, and the caption says so.
    pub columns_max: usize,
}

impl<'a> CalibrationConfig<'a> {
    /// A figure without title, 820 units wide, 20 bars per panel, of at most 60 columns.
    pub const fn new(columns: &'a [Column], pit: Matrix<'a>) -> Self {
        Self { columns, pit, bins: 20, title: "", width: 820.0, columns_max: 60 }
    }
}

/// Draws a histogram of the probability integral transform of each column, relative to a flat one,
/// with the band that holds 95 % of the bars of a calibrated model.
///
/// Bars above 1 in the middle mean that the model is too wide, at both ends that it is too narrow, on
/// one side that it is shifted. Reference: Gneiting, Balabdaoui, Raftery, *Probabilistic forecasts,
/// calibration and sharpness*, JRSS B 2007.
///
/// # Errors
/// [`PlotError::Shape`] if the transforms do not have one column per name.
pub fn draw_calibration(config: &CalibrationConfig) -> Result<Figure, PlotError> {
    config.pit.expect_width(config.columns.len(), "transforms")?;
    let shown = config.columns.len().min(config.columns_max);
    let width = config.width.clamp(240.0, 4000.0);
    let legend_y = MARGIN + title_height(config.title) + 6.0;
    let panels = Panels::new(shown, width, MARGIN + 26.0, legend_y + 40.0, [40.0, 56.0]);
    let mut scene = Scene::new(width, panels.bottom(shown) + 20.0 + MARGIN);
    draw_title(&mut scene, config.title);
    let entries = [
        (Swatch::Area(MODEL_FILL), "rows per bin, relative to a calibrated model".to_owned()),
        (Swatch::Area(BAND), "95 % band".to_owned()),
        (Swatch::Area(MODEL), "outside the band".to_owned()),
    ];
    draw_legend_row(&mut scene, MARGIN, legend_y, &entries);
    let mut missing = Missing::default();
    for (j, column) in config.columns.iter().take(shown).enumerate() {
        let values = Finite::of(config.pit.column(j));
        missing.skipped += values.skipped;
        missing.outside += values.values.iter().filter(|v| !(0.0..=1.0).contains(*v)).count();
        let frame = panels.frame(j);
        draw_panel(&mut scene, &frame, &values.values, config.bins.clamp(2, 200));
        let name = fit(&column.name, frame.width, LABEL_SIZE, Weight::Bold);
        let style = TextStyle::new(LABEL_SIZE, INK).bold();
        scene.text([frame.left, frame.top - 8.0], name, style);
    }
    let mut notes = vec![
        format!("Probability integral transform, {}.", plural(config.pit.len(), "row")),
        "By chance alone 1 bar in 20 lies outside the band.".to_owned(),
    ];
    notes.extend(capped_note(shown, config.columns.len()));
    notes.extend(missing_notes(&[("transform", missing)]));
    Ok(finish(scene, config.title, "Calibration of the model", notes))
}

fn draw_panel(scene: &mut Scene, frame: &Frame, values: &[f64], bins: usize) {
    let unit = Range::new(0.0, 1.0);
    let bars = Bins::filling(unit, bins);
    let heights: Vec<f64> = bars.shares(values).iter().map(|share| share * bins as f64).collect();
    let (low, high) = uniform_band(values.len(), bins);
    let highest = heights.iter().copied().fold(high, f64::max);
    // Without rows the band is everything; with many, a flat histogram still shows its noise from 0.
    let top = if values.is_empty() { 2.0 } else { (1.1 * highest).max(1.45) };
    let x = AxisTicks::new(Axis::horizontal(unit, frame), false);
    let y = AxisTicks::new(Axis::vertical(Range::new(0.0, top), frame), false);
    draw_grid(scene, frame, None, Some(&y));
    if values.is_empty() {
        draw_empty(scene, frame, "no values");
    } else {
        let gap = if frame.width / bins as f64 > 6.0 { 0.5 } else { 0.0 };
        for (colour, strange) in [(MODEL_FILL, false), (MODEL, true)] {
            let is_strange = |h: f64| !(low - 1e-9..=high + 1e-9).contains(&h);
            let chosen = heights.iter().enumerate().filter(|(_, h)| is_strange(**h) == strange);
            let rings = chosen.filter(|(_, h)| **h > 0.0).map(|(i, h)| {
                let [left, right] = bars.edges(i).map(|v| x.axis.place(v));
                rectangle([left + gap, y.axis.place(*h)], [right - gap, frame.bottom()])
            });
            scene.area(rings.collect(), colour);
        }
        let band = [y.axis.place(high.min(top)), y.axis.place(low)];
        scene.rectangle([frame.left, band[0]], [frame.right(), band[1]], BAND);
    }
    let one = y.axis.place(1.0);
    scene.lines(vec![vec![[frame.left, one], [frame.right(), one]]], 1.0, MUTED.with_alpha(0.8));
    draw_bottom(scene, frame, &x, true);
    draw_left(scene, frame, &y, true);
}

/// Lower and upper height between which a bar of a uniform histogram of `n` values lies with
/// probability [`COVERAGE`]: exact quantiles of the binomial distribution, relative to its mean.
fn uniform_band(n: usize, bins: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 2.0);
    }
    let (count, p) = (n as f64, 1.0 / bins as f64);
    let mean = count * p;
    let deviation = (mean * (1.0 - p)).sqrt();
    // Beyond nine deviations lies less than 1e-15 of the mass.
    let from = (mean - 9.0 * deviation - 9.0).max(0.0).floor();
    let to = (mean + 9.0 * deviation + 9.0).min(count).ceil();
    // Probabilities relative to the mode, by the ratio of neighbours, which never underflows there.
    let mode = ((count + 1.0) * p).floor().clamp(from, to);
    let ratio = |k: f64| (count - k + 1.0) / k * p / (1.0 - p);
    let mut weights = vec![0.0; (to - from) as usize + 1];
    let index = |k: f64| (k - from) as usize;
    weights[index(mode)] = 1.0;
    let mut k = mode;
    while k < to {
        weights[index(k + 1.0)] = weights[index(k)] * ratio(k + 1.0);
        k += 1.0;
    }
    k = mode;
    while k > from {
        weights[index(k - 1.0)] = weights[index(k)] / ratio(k);
        k -= 1.0;
    }
    let total: f64 = weights.iter().sum();
    let quantile = |share: f64| {
        let mut below = 0.0;
        let at = weights.iter().position(|w| {
            below += w / total;
            below >= share
        });
        from + at.unwrap_or(weights.len() - 1) as f64
    };
    let tail = (1.0 - COVERAGE) / 2.0;
    (quantile(tail) / mean, quantile(1.0 - tail) / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn band_matches_known_binomial_quantiles() {
        // Binomial(100, 0.1): 2.5 % quantile 5, 97.5 % quantile 16 (tables of the cumulative distribution).
        let (low, high) = uniform_band(100, 10);
        assert!((low - 0.5).abs() < 1e-12 && (high - 1.6).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn band_approaches_the_normal_one() {
        let (low, high) = uniform_band(10_000_000, 20);
        let expected = 1.96 * (19.0_f64 / 1e7).sqrt();
        assert!((high - 1.0 - expected).abs() < 2e-5 && (1.0 - low - expected).abs() < 2e-5);
    }

    #[test]
    fn band_of_very_few_rows_is_wide() {
        for n in 0..5 {
            let (low, high) = uniform_band(n, 20);
            assert!(low >= 0.0 && high >= 1.0 && high.is_finite());
        }
    }
}
