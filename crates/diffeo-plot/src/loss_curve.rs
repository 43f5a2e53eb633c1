//! The loss over the steps of training, with the learning rate below.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{DATA, INK, MODEL, MUTED, PAPER};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::Weight;
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, Swatch, draw_empty, draw_legend_row, draw_title, finish,
    missing_notes, title_height,
};
use crate::matrix::Finite;
use crate::scene::{Anchor, Point, Scene, TextStyle};
use crate::ticks::{count, short};

/// One point of the history of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossPoint {
    /// Optimiser step.
    pub step: u64,
    /// Mean negative log-likelihood of the rows trained since the last point, in nats; none before the first step.
    pub train: Option<f64>,
    /// The same of the validation rows, where it was measured.
    pub valid: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// What [`draw_loss_curve`] draws.
#[derive(Clone, Debug)]
pub struct LossCurveConfig<'a> {
    /// The history; drawn in order of its steps.
    pub points: &'a [LossPoint],
    /// The step whose weights were kept; marked if known.
    pub best_step: Option<u64>,
    /// The validation loss of what was kept, where weights of several steps were, each the best of its part.
    pub kept: Option<f64>,
    /// Title above the figure; none if empty.
    pub title: &'a str,
    /// Width of the page in units of 1/96 inch.
    pub width: f64,
}

impl<'a> LossCurveConfig<'a> {
    /// A figure without title or mark, 640 units wide.
    pub const fn new(points: &'a [LossPoint]) -> Self {
        Self { points, best_step: None, kept: None, title: "", width: 640.0 }
    }
}

/// Draws training and validation loss over steps, the best step marked, the learning rate below.
///
/// The axis of the loss leaves out the first steep part if that would flatten the rest; the caption
/// counts what lies above it.
///
/// # Errors
/// None today; the result is for the errors of later figures.
pub fn draw_loss_curve(config: &LossCurveConfig) -> Result<Figure, PlotError> {
    let mut points = config.points.to_vec();
    points.sort_by_key(|p| p.step);
    let curves = Curves::new(&points);
    let width = config.width.clamp(320.0, 4000.0);
    let legend_y = MARGIN + title_height(config.title) + 6.0;
    let top = legend_y + 24.0;
    let (main_height, strip_height) = ((width * 0.36).clamp(190.0, 320.0).floor(), 44.0);
    let mut main = Frame { left: 0.0, top, width, height: main_height };
    let y = AxisTicks::new(Axis::vertical(curves.loss, &main), false);
    let rate = Frame { left: 0.0, top: main.bottom() + 26.0, width, height: strip_height };
    let rate_y = AxisTicks::new(Axis::vertical(curves.rate, &rate), false);
    let left = MARGIN + LABEL_SIZE + 14.0 + y.label_width().max(rate_y.label_width());
    main = Frame { left: left.ceil(), width: (width - left - MARGIN - 6.0).floor(), ..main };
    let rate = Frame { left: main.left, width: main.width, ..rate };
    let mut scene = Scene::new(width, rate.bottom() + 36.0 + MARGIN);
    draw_title(&mut scene, config.title);
    let x = AxisTicks::new(Axis::horizontal(curves.steps, &main), true);
    draw_grid(&mut scene, &main, Some(&x), Some(&y));
    curves.draw_losses(&mut scene, &main, &x, &y);
    let best = curves.draw_best(&mut scene, &main, [&x, &y], (config.best_step, config.kept));
    draw_bottom(&mut scene, &main, &x, false);
    draw_left(&mut scene, &main, &y, true);
    draw_grid(&mut scene, &rate, Some(&x), None);
    draw_line(&mut scene, &rate, [&x, &rate_y], &curves.rates, 1.3, MUTED);
    draw_bottom(&mut scene, &rate, &x, true);
    draw_left(&mut scene, &rate, &rate_y, true);
    draw_names(&mut scene, [&main, &rate], [&x, &y, &rate_y]);
    draw_legend_row(&mut scene, main.left, legend_y, &curves.legend(best));
    Ok(finish(scene, config.title, "Loss over training", curves.notes()))
}

/// Finite points of the three curves and the ranges that show them.
struct Curves {
    train: Vec<Point>,
    valid: Vec<Point>,
    rates: Vec<Point>,
    steps: Range,
    loss: Range,
    rate: Range,
    missing: Missing,
}

impl Curves {
    fn new(points: &[LossPoint]) -> Self {
        let at = |p: &LossPoint, value: f64| [p.step as f64, value];
        let train: Vec<Point> = points.iter().filter_map(|p| Some(at(p, p.train?))).collect();
        let valid: Vec<Point> = points.iter().filter_map(|p| Some(at(p, p.valid?))).collect();
        let rates: Vec<Point> = points.iter().map(|p| at(p, p.learning_rate)).collect();
        let loss = loss_range(&train, &valid);
        let first = points.first().map_or(0.0, |p| p.step as f64);
        let last = points.last().map_or(1.0, |p| p.step as f64);
        let highest = Finite::of(rates.iter().map(|p| p[1])).values.into_iter().fold(0.0, f64::max);
        let mut missing = Missing::default();
        for [_, value] in train.iter().chain(&valid) {
            missing.skipped += usize::from(!value.is_finite());
            missing.outside += usize::from(value.is_finite() && !loss.contains(*value));
        }
        Self {
            train,
            valid,
            rates,
            steps: if first == last {
                Range::new(first - 1.0, first + 1.0)
            } else {
                Range::new(if first < 0.1 * last { 0.0 } else { first }, last)
            },
            loss,
            rate: Range::new(0.0, if highest > 0.0 { 1.1 * highest } else { 1.0 }),
            missing,
        }
    }

    fn draw_losses(&self, scene: &mut Scene, frame: &Frame, x: &AxisTicks, y: &AxisTicks) {
        if !self.train.iter().chain(&self.valid).any(|p| p[1].is_finite()) {
            draw_empty(scene, frame, "no finite loss");
            return;
        }
        draw_line(scene, frame, [x, y], &self.train, 1.2, DATA.with_alpha(0.75));
        draw_line(scene, frame, [x, y], &self.valid, 1.8, MODEL);
        // Few points need marks: one alone would be no line at all.
        for (curve, most, colour) in [(&self.train, 5, DATA), (&self.valid, 40, MODEL)] {
            if curve.len() <= most {
                let place = |p: &Point| [x.axis.place(p[0]), y.axis.place(p[1])];
                let dots = curve.iter().filter(|p| p[1].is_finite()).map(place);
                scene.dots(dots.filter(|p| frame.contains(*p)).collect(), 2.4, colour);
            }
        }
    }

    /// Marks the best step and returns what the legend says of it.
    fn draw_best(
        &self,
        scene: &mut Scene,
        frame: &Frame,
        [x, y]: [&AxisTicks; 2],
        (best_step, kept): (Option<u64>, Option<f64>),
    ) -> Option<String> {
        let step = best_step? as f64;
        if !x.axis.range.contains(step) {
            return None;
        }
        let at = x.axis.place(step);
        scene.dashed([at, frame.top], [at, frame.bottom()], 1.0, MUTED);
        let losses = if self.valid.is_empty() { &self.train } else { &self.valid };
        let loss = losses.iter().find(|p| p[0] == step && p[1].is_finite()).map(|p| p[1]);
        let kept = kept.filter(|kept| loss.is_none_or(|loss| short(loss) != short(*kept)));
        if let Some(loss) = kept.or(loss) {
            let centre = [at, y.axis.place(loss)];
            if frame.contains(centre) {
                scene.dots(vec![centre], 5.0, PAPER);
                scene.dots(vec![centre], 3.8, INK);
            }
        }
        if let Some(kept) = kept {
            return Some(format!("kept of several steps: {} nats", short(kept)));
        }
        let value = loss.map(|loss| format!(": {} nats", short(loss))).unwrap_or_default();
        Some(format!("best step {}{value}", count(step as usize)))
    }

    fn legend(&self, best: Option<String>) -> Vec<(Swatch, String)> {
        let mut entries = vec![(Swatch::Line(DATA.with_alpha(0.75), 1.5), "training".to_owned())];
        if !self.valid.is_empty() {
            entries.push((Swatch::Line(MODEL, 2.0), "validation".to_owned()));
        }
        entries.extend(best.map(|text| (Swatch::Dot(INK), text)));
        entries
    }

    fn notes(&self) -> Vec<String> {
        missing_notes(&[("loss", self.missing)])
            .into_iter()
            .map(|note| note.replace("losss", "losses"))
            .collect()
    }
}

/// From the smallest loss to the largest that matters: the steep fall of the first fifth of the steps
/// and single spikes may leave through the top.
fn loss_range(train: &[Point], valid: &[Point]) -> Range {
    let settled = |curve: &[Point]| {
        let from = curve.len() / 5;
        Finite::of(curve.iter().skip(from).map(|p| p[1]))
    };
    let (train_late, valid_late) = (settled(train), settled(valid));
    let all = Finite::of(train.iter().chain(valid).map(|p| p[1]));
    let Some([low, highest]) = all.quantiles([0.0, 1.0]) else {
        return Range::new(0.0, 1.0);
    };
    let late = [train_late.quantiles([0.98]), valid_late.quantiles([1.0])];
    let late = late.into_iter().flatten().map(|[q]| q).fold(f64::NEG_INFINITY, f64::max);
    let late = if late.is_finite() { late } else { highest };
    let whole = Range::new(low, highest);
    let core = Range::new(low, late);
    let shown = if whole.span() <= 4.0 * core.span() {
        whole
    } else {
        Range::new(low, low + 2.5 * core.span())
    };
    shown.padded(0.05)
}

pub(crate) fn draw_line(
    scene: &mut Scene,
    frame: &Frame,
    [x, y]: [&AxisTicks; 2],
    points: &[Point],
    width: f64,
    colour: crate::colour::Colour,
) {
    let place = |p: &Point| {
        // A value that is not finite breaks the line.
        if p[1].is_finite() { [x.axis.place(p[0]), y.axis.place(p[1])] } else { [f64::NAN; 2] }
    };
    let lines = frame.clip(&points.iter().map(place).collect::<Vec<_>>());
    scene.lines(lines, width, colour);
}

fn draw_names(scene: &mut Scene, [main, rate]: [&Frame; 2], [x, y, rate_y]: [&AxisTicks; 3]) {
    let style = TextStyle::new(LABEL_SIZE, INK).anchored(Anchor::Middle);
    let at = MARGIN + LABEL_SIZE - 3.0;
    let loss =
        y.named("negative log-likelihood (nats)", main.height + 30.0, LABEL_SIZE, Weight::Regular);
    scene.text([at, main.centre()[1]], loss, style.upright());
    let step = x.named("step", rate.width, LABEL_SIZE, Weight::Regular);
    scene.text([rate.centre()[0], rate.bottom() + 32.0], step, style);
    let name = rate_y.named("learning rate", 200.0, LABEL_SIZE - 1.0, Weight::Regular);
    scene.text([rate.left, rate.top - 5.0], name, TextStyle::new(LABEL_SIZE - 1.0, INK));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_of_several_steps_is_told_where_the_curve_says_otherwise() {
        let at = |step: u64, valid: f64| LossPoint {
            step,
            train: None,
            valid: Some(valid),
            learning_rate: 1e-3,
        };
        let points = [at(0, 3.0), at(10, 2.0), at(20, 2.5)];
        let svg = |kept| {
            let new = LossCurveConfig::new(&points);
            draw_loss_curve(&LossCurveConfig { best_step: Some(20), kept, ..new }).unwrap().to_svg()
        };
        let plain = format!("best step 20: {} nats", short(2.5));
        assert!(svg(None).contains(&plain) && svg(Some(2.5)).contains(&plain));
        let told = svg(Some(1.75));
        assert!(told.contains(&format!("kept of several steps: {} nats", short(1.75))));
        assert!(!told.contains("best step"));
    }
}
