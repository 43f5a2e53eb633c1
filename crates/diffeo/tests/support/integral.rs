//! Integrals of a model's density over the supports of its columns.

use diffeo::{ColumnKind, Model, Rows};

/// Points and weights of a rule for integrals over the support of a column.
pub(crate) struct Axis {
    pub(crate) points: Vec<f64>,
    pub(crate) weights: Vec<f64>,
}

impl Axis {
    /// Equal steps in `u` with `y = center + scale sinh(u)`, dense at the centre and out to 1,490 scales, where `y` is the column
    /// after its map to the real line. For a smooth density the sum converges faster than any power of `n`; whole numbers are
    /// summed one by one, 100 scales to both sides.
    pub(crate) fn new(kind: ColumnKind, [center, scale]: [f64; 2], n: usize) -> Self {
        const REACH: f64 = 8.0;
        let step = 2.0 * REACH / (n - 1) as f64;
        let (mut points, mut weights) = (Vec::new(), Vec::new());
        if kind == ColumnKind::Integer {
            let half = (100.0 * scale).ceil();
            points = (0..=2 * half as i64).map(|k| center.round() - half + k as f64).collect();
            weights = vec![1.0; points.len()];
            return Self { points, weights };
        }
        for i in 0..n {
            let u = -REACH + i as f64 * step;
            let y = center + scale * u.sinh();
            let (x, dx_dy) = match kind {
                ColumnKind::Positive => (y.exp(), y.exp()),
                ColumnKind::Interval { low, high } => {
                    let (share, rest) = (1.0 / (1.0 + (-y).exp()), 1.0 / (1.0 + y.exp()));
                    (low + (high - low) * share, (high - low) * share * rest)
                }
                _ => (y, 1.0),
            };
            // The far ends of a bounded support round to its bounds; there is no mass there.
            if kind.contains(x) {
                points.push(x);
                weights.push(step * scale * u.cosh() * dx_dy);
            }
        }
        Self { points, weights }
    }
}

/// The mass of each point of a column: density times weight, the other column integrated out.
pub(crate) fn masses(model: &Model, axes: &[Axis], context: Option<&[f64]>) -> Vec<Vec<f64>> {
    let (values, weights) = match axes {
        [x] => (x.points.clone(), x.weights.clone()),
        [x, y] => (
            x.points.iter().flat_map(|a| y.points.iter().flat_map(move |b| [*a, *b])).collect(),
            x.weights.iter().flat_map(|a| y.weights.iter().map(move |b| a * b)).collect(),
        ),
        _ => panic!("one or two columns"),
    };
    let grid = Rows::new(values, axes.len()).unwrap();
    let context = context.map(|c| Rows::new(c.repeat(grid.len()), c.len()).unwrap());
    let log_prob = model.log_prob(&grid, context.as_ref(), 2).unwrap();
    let mut found: Vec<Vec<f64>> = axes.iter().map(|a| vec![0.0; a.points.len()]).collect();
    let inner = axes.last().map_or(1, |a| a.points.len());
    for (i, (log_prob, weight)) in log_prob.iter().zip(&weights).enumerate() {
        let mass = log_prob.exp() * weight;
        found[axes.len() - 1][i % inner] += mass;
        if axes.len() == 2 {
            found[0][i / inner] += mass;
        }
    }
    found
}

/// The integral of the density, which must be one.
pub(crate) fn total(model: &Model, axes: &[Axis]) -> f64 {
    masses(model, axes, None)[0].iter().sum()
}

/// The integral of a density of one column, by trapezoids between `n` equally spaced points of `[-reach, reach]` and the images of
/// as many points of base space: wherever the map is steep, these lie close together.
pub(crate) fn total_between(model: &Model, reach: f64, n: usize) -> f64 {
    let even = (0..n).map(|i| reach * (2.0 * i as f64 / (n - 1) as f64 - 1.0));
    let even = Rows::new(even.collect(), 1).unwrap();
    let mut points = model.to_data(&even, None, 2).unwrap().0.into_values();
    points.extend(even.values());
    points.sort_by(f64::total_cmp);
    let grid = Rows::new(points, 1).unwrap();
    let log_prob = model.log_prob(&grid, None, 2).unwrap();
    let areas = grid.values().windows(2).zip(log_prob.windows(2));
    areas.map(|(x, p)| 0.5 * (x[1] - x[0]) * (p[0].exp() + p[1].exp())).sum()
}

/// Largest distance between the distribution of a sample and that of a column's masses (Kolmogorov and Smirnov).
pub(crate) fn distance(axis: &Axis, masses: &[f64], mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    // The distribution function half way through each point's cell, read linearly between points.
    let mut below = 0.0;
    let mut function = Vec::with_capacity(masses.len());
    for mass in masses {
        function.push(below + 0.5 * mass);
        below += mass;
    }
    let at = |x: f64| {
        let i = axis.points.partition_point(|p| *p <= x).clamp(1, axis.points.len() - 1);
        let share = (x - axis.points[i - 1]) / (axis.points[i] - axis.points[i - 1]);
        function[i - 1] + share.clamp(0.0, 1.0) * (function[i] - function[i - 1])
    };
    let miss = |(i, x): (usize, &f64)| {
        let expected = at(*x);
        (expected - i as f64 / n).abs().max((expected - (i + 1) as f64 / n).abs())
    };
    sample.iter().enumerate().map(miss).fold(0.0, f64::max)
}
