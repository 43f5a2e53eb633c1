//! The density of two columns and the grid that the flow warps: the change of variables, as a picture.

use diffeo::{Model, Result, Rows, SampleOptions};
use diffeo_plot::{Density2dConfig, Figure, GridLine, Matrix, draw_density2d};

use super::plot_error;

/// Places along each side of the picture.
const SIDE: usize = 160;
/// Share of the samples that may lie outside on each side: a few far rows must not shrink the rest to a dot.
const OUTSIDE: f64 = 0.005;
/// Lines of the base grid: at -3, -2.5 .. 3 standard deviations.
const LINES: i32 = 6;
const LINE_STEP: f64 = 0.5;
/// Points of a line that are mapped: where two modes meet, a flow stretches a hundredth of a deviation across the picture.
const LINE_POINTS: i32 = 4000;
/// Points nearer to the one before than this share of the picture are left out.
const LINE_GRAIN: f64 = 1.0 / 400.0;

/// Draws density, data and warped grid; of a conditional model those for the context `given`, which a sentence in the figure names, without the data.
pub(super) fn draw(
    model: &Model,
    data: Matrix<'_>,
    samples: &Rows,
    given: Option<(Vec<f64>, String)>,
    options: &SampleOptions,
) -> Result<Figure> {
    let repeated = |n: usize| match &given {
        Some((row, _)) => Rows::new(row.repeat(n), row.len()).map(Some),
        None => Ok(None),
    };
    let (data, samples) = match repeated(samples.len())? {
        None => (data, samples.clone()),
        context => {
            let samples = model.sample(samples.len(), context.as_ref(), options)?;
            (Matrix::empty(2), samples)
        }
    };
    let (xs, ys) = (places(samples.column(0)), places(samples.column(1)));
    let rows: Vec<f64> = ys.iter().flat_map(|&y| xs.iter().flat_map(move |&x| [x, y])).collect();
    let rows = Rows::new(rows, 2)?;
    let log_prob = model.log_prob(&rows, repeated(rows.len())?.as_ref(), options.threads)?;
    let density: Vec<f64> = log_prob.into_iter().map(f64::exp).collect();
    let context = repeated(LINE_POINTS as usize + 1)?;
    let grid = grid(model, context.as_ref(), options.threads)?;
    let columns = &model.schema().columns;
    let names = [columns.first(), columns.get(1)].map(|c| c.map_or("", |c| c.name.as_str()));
    let mut config = Density2dConfig::new(names, &xs, &ys, &density);
    config.points = data;
    config.grid = &grid;
    config.note = given.as_ref().map_or("", |(_, note)| note);
    draw_density2d(&config).map_err(plot_error)
}

/// Equal steps over all but the outermost values, with a margin.
fn places(mut values: Vec<f64>) -> Vec<f64> {
    values.retain(|v| v.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let cut = (values.len() as f64 * OUTSIDE) as usize;
    let low = values.get(cut).copied().unwrap_or(-1.0);
    let high = values.iter().rev().nth(cut).copied().unwrap_or(1.0);
    let margin = if high > low { 0.08 * (high - low) } else { 1.0 };
    let (low, high) = (low - margin, high + margin);
    let step = (high - low) / (SIDE - 1) as f64;
    (0..SIDE).map(|i| low + step * i as f64).collect()
}

/// The lines of a regular grid in base space, as they lie in data space.
fn grid(model: &Model, context: Option<&Rows>, threads: usize) -> Result<Vec<GridLine>> {
    let reach = f64::from(LINES) * LINE_STEP;
    let along = |i: i32| reach * (2.0 * f64::from(i) / f64::from(LINE_POINTS) - 1.0);
    let mut lines = Vec::new();
    for axis in 0..2 {
        for line in -LINES..=LINES {
            let value = f64::from(line) * LINE_STEP;
            let place = |t: f64| if axis == 0 { [value, t] } else { [t, value] };
            let z: Vec<f64> = (0..=LINE_POINTS).flat_map(|i| place(along(i))).collect();
            let (x, _) = model.to_data(&Rows::new(z, 2)?, context, threads)?;
            let points = x.values().chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            lines.push(GridLine { axis, value, points });
        }
    }
    thin(&mut lines);
    Ok(lines)
}

/// Leaves out points that the eye cannot tell from those before them.
fn thin(lines: &mut [GridLine]) {
    let span = |axis: usize| {
        let along = || lines.iter().flat_map(|line| &line.points).map(|p| p[axis]);
        along().fold(f64::NEG_INFINITY, f64::max) - along().fold(f64::INFINITY, f64::min)
    };
    let grain = [span(0) * LINE_GRAIN, span(1) * LINE_GRAIN];
    for line in lines {
        let last = line.points.last().copied();
        let mut kept: Vec<[f64; 2]> = Vec::new();
        for &point in &line.points {
            let near =
                |k: &[f64; 2]| (0..2).all(|axis| (point[axis] - k[axis]).abs() < grain[axis]);
            if !kept.last().is_some_and(near) {
                kept.push(point);
            }
        }
        kept.extend(last);
        line.points = kept;
    }
}
