//! What panels show of columns with few levels, between which there is nothing: squares for two of them, boxes for numbers at each level of one.

use std::collections::BTreeMap;

use crate::axis::AxisTicks;
use crate::clip::Frame;
use crate::colour::{DATA_FILL, MODEL};
use crate::matrix::Finite;
use crate::scene::{Point, Scene};

/// Side of the largest square, as a share of the room of a level.
const LARGEST: f64 = 0.9;
/// Width of a box, as a share of the room of a level.
const BOX: f64 = 0.5;
/// Where a level has less room than this, boxes would be one blot: a dot stands at the median.
const NARROW: f64 = 6.0;
/// Quantiles at the ends of whiskers and boxes, and the median.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// An axis of levels, which are multiples of a step.
#[derive(Clone, Copy)]
pub(crate) struct Levels<'a> {
    pub(crate) ticks: &'a AxisTicks,
    pub(crate) step: f64,
}

impl Levels<'_> {
    /// Whether there is no room for boxes.
    pub(crate) fn are_narrow(self) -> bool {
        self.room() < NARROW
    }

    /// How much room a level has.
    fn room(self) -> f64 {
        self.ticks.axis.length() / self.ticks.axis.range.span() * self.step
    }

    fn of(self, value: f64) -> i64 {
        (value / self.step).round() as i64
    }

    fn place(self, level: i64) -> f64 {
        self.ticks.axis.place(level as f64 * self.step)
    }
}

/// A closed square or box around a place.
fn ring([x, y]: Point, [wide, high]: [f64; 2]) -> Vec<Point> {
    let (w, h) = (wide / 2.0, high / 2.0);
    vec![[x - w, y - h], [x + w, y - h], [x + w, y + h], [x - w, y + h], [x - w, y - h]]
}

/// Squares whose areas are the shares of pairs of levels: filled those of data, as outlines those of samples, in one scale.
pub(crate) fn draw_shares(
    scene: &mut Scene,
    frame: &Frame,
    [x, y]: [Levels<'_>; 2],
    [data, samples]: [&[[f64; 2]]; 2],
) {
    let shares = [data, samples].map(|points| {
        let mut shares = BTreeMap::new();
        for [a, b] in points {
            *shares.entry([x.of(*a), y.of(*b)]).or_insert(0.0) += 1.0 / points.len() as f64;
        }
        shares
    });
    let top = shares.iter().flat_map(BTreeMap::values).copied().fold(0.0, f64::max);
    let largest = LARGEST * x.room().min(y.room());
    let [data, samples] = shares.map(|shares| {
        let square = |(levels, share): (&[i64; 2], &f64)| {
            let at = [x.place(levels[0]), y.place(levels[1])];
            frame.contains(at).then(|| ring(at, [largest * (share / top).sqrt(); 2]))
        };
        shares.iter().filter_map(square).collect::<Vec<_>>()
    });
    if !data.is_empty() {
        scene.area(data, DATA_FILL);
    }
    scene.lines(samples, 1.1, MODEL);
}

/// Where the numbers of samples lie at each level: a box around the middle half, whiskers around nine tenths, a line at the median; a dot at the median alone where there is no room.
pub(crate) fn draw_boxes(
    scene: &mut Scene,
    frame: &Frame,
    (levels, numbers): (Levels<'_>, &AxisTicks),
    samples: &[[f64; 2]],
    levels_lie_along_x: bool,
) {
    let turned = |p: [f64; 2]| if levels_lie_along_x { p } else { [p[1], p[0]] };
    let mut by_level: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for point in samples {
        let [level, number] = turned(*point);
        by_level.entry(levels.of(level)).or_default().push(number);
    }
    let wide = BOX * levels.room();
    let (mut lines, mut medians) = (Vec::new(), Vec::new());
    for (level, values) in by_level {
        let Some(quantiles) = Finite::of(values.into_iter()).quantiles(QUANTILES) else { continue };
        let place = |number: f64, aside: f64| {
            turned([levels.place(level) + aside * wide, numbers.axis.place(number)])
        };
        let [low, lower, middle, upper, high] = quantiles;
        if levels.are_narrow() {
            medians.push(place(middle, 0.0));
            continue;
        }
        let across = |number: f64| vec![place(number, -0.5), place(number, 0.5)];
        lines.push(vec![place(low, 0.0), place(lower, 0.0)]);
        lines.push(vec![place(upper, 0.0), place(high, 0.0)]);
        lines.push(across(middle));
        let corners = [(lower, -0.5), (lower, 0.5), (upper, 0.5), (upper, -0.5), (lower, -0.5)];
        lines.push(corners.map(|(number, aside)| place(number, aside)).to_vec());
    }
    medians.retain(|at| frame.contains(*at));
    scene.dots(medians, 1.2, MODEL);
    let lines = lines.iter().flat_map(|line: &Vec<Point>| frame.clip(line)).collect();
    scene.lines(lines, 1.1, MODEL);
}
