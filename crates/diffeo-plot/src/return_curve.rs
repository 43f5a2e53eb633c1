//! What episodes earned over the steps of training.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{DATA, INK, MODEL};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::layout::{
    LABEL_SIZE, MARGIN, Missing, Swatch, draw_legend_row, draw_title, finish, missing_notes,
    title_height,
};
use crate::loss_curve::draw_line;
use crate::matrix::Finite;
use crate::scene::{Anchor, Point, Scene, TextStyle};

/// Episodes whose mean is drawn at the last of them.
const MEAN_OF: usize = 10;

/// An episode of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReturnPoint {
    /// Steps taken when it ended.
    pub step: u64,
    /// The sum of its rewards.
    pub earned: f64,
}

/// Draws the return of each episode as a dot and the mean of ten as a line, one for each training.
///
/// # Errors
/// [`PlotError::Shape`] if no training has an episode with a finite return.
pub fn draw_return_curve(
    trainings: &[Vec<ReturnPoint>],
    title: &str,
    width: f64,
) -> Result<Figure, PlotError> {
    let all = || trainings.iter().flatten();
    let found = Finite::of(all().map(|p| p.earned));
    let Some([low, high]) = found.quantiles([0.0, 1.0]) else {
        return Err(PlotError::Shape(
            "expected an episode with a finite return, found none".into(),
        ));
    };
    let last = all().map(|p| p.step).max().unwrap_or(1) as f64;
    let width = width.clamp(320.0, 4000.0);
    let legend_y = MARGIN + title_height(title) + 6.0;
    let mut frame = Frame {
        left: 0.0,
        top: legend_y + 24.0,
        width,
        height: (width * 0.4).clamp(190.0, 360.0).floor(),
    };
    let range = Range::new(low, high).padded(0.04);
    let y = AxisTicks::new(Axis::vertical(range, &frame), false);
    let left = (MARGIN + LABEL_SIZE + 14.0 + y.label_width()).ceil();
    frame = Frame { left, width: (width - left - MARGIN - 6.0).floor(), ..frame };
    let x = AxisTicks::new(Axis::horizontal(Range::new(0.0, last), &frame), true);
    let mut scene = Scene::new(width, frame.bottom() + 36.0 + MARGIN);
    draw_title(&mut scene, title);
    draw_grid(&mut scene, &frame, Some(&x), Some(&y));
    let place = |p: &ReturnPoint| [x.axis.place(p.step as f64), y.axis.place(p.earned)];
    let finite = all().filter(|p| p.earned.is_finite());
    scene.dots(finite.map(place).collect(), 1.2, DATA.with_alpha(0.5));
    for training in trainings {
        let means = training.windows(MEAN_OF.min(training.len().max(1))).map(|window| {
            let mean = window.iter().map(|p| p.earned).sum::<f64>() / window.len() as f64;
            [window[window.len() - 1].step as f64, mean]
        });
        let means: Vec<Point> = means.collect();
        draw_line(&mut scene, &frame, [&x, &y], &means, 1.6, MODEL);
    }
    draw_bottom(&mut scene, &frame, &x, true);
    draw_left(&mut scene, &frame, &y, true);
    let style = TextStyle::new(LABEL_SIZE, INK).anchored(Anchor::Middle);
    scene.text([frame.centre()[0], frame.bottom() + 34.0], "steps in the environment", style);
    scene.text([MARGIN + 0.8 * LABEL_SIZE, frame.centre()[1]], "return", style.upright());
    let entries = [
        (Swatch::Dot(DATA.with_alpha(0.5)), "an episode".to_owned()),
        (Swatch::Line(MODEL, 2.0), format!("mean of {MEAN_OF} episodes")),
    ];
    draw_legend_row(&mut scene, frame.left, legend_y, &entries);
    let skipped = all().filter(|p| !p.earned.is_finite()).count();
    let notes = missing_notes(&[("return", Missing { skipped, ..Missing::default() })]);
    Ok(finish(scene, title, "Returns over training", notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_drawn_and_what_is_not_finite_is_counted() {
        let of = |shift: f64| {
            let point = |i: u64| ReturnPoint { step: 200 * i, earned: shift + i as f64 };
            (1..=30).map(point).collect::<Vec<_>>()
        };
        let mut trainings = vec![of(-10.0), of(5.0)];
        trainings[0][3].earned = f64::NAN;
        let figure = draw_return_curve(&trainings, "two", 640.0).unwrap();
        assert!(figure.notes().join(" ").contains('1'), "{:?}", figure.notes());
        assert!(draw_return_curve(&[vec![]], "", 640.0).is_err());
        let one = vec![vec![ReturnPoint { step: 5, earned: 2.0 }]];
        draw_return_curve(&one, "", 640.0).unwrap();
    }
}
