//! Linear models of a table's columns, their squares and products: a classifier of two populations, and what is expected of an outcome.

use crate::columns::{Column, Encoding, Known, Schema, Units};
use crate::error::Result;
use crate::host::linalg::SquareMatrix;
use crate::host::parallel;
use crate::host::rows::Rows;

/// Most terms of a model: its normal equations take so many numbers squared, once for each row.
const TERMS_MAX: usize = 200;
/// Penalty of half the squared coefficients, in rows: terms are of order one.
const PENALTY: f64 = 1.0;
/// Newton's steps; from a convex loss ten are many.
const STEPS_MAX: usize = 50;
/// Halvings of a step that went too far.
const HALVINGS_MAX: usize = 30;
/// Rows whose sums are made in one go, in this order whatever the threads.
const BLOCK: usize = 2048;

/// The terms of a linear model: one, the columns as numbers of order one (levels one by one), their squares and products as far as there is room.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    encoding: Encoding,
    columns: usize,
    squares: bool,
    products: bool,
}

impl Terms {
    /// For columns with the spread that they have in these rows.
    pub(super) fn new(columns: &[Column], rows: &Rows) -> Result<Self> {
        let whole = |column: &Column| Column { optional: false, ..column.clone() };
        let schema = Schema::new(Vec::new(), columns.iter().map(whole).collect());
        let units = Units::fit(&schema, rows, Some(rows), |_| 1.0)?;
        let columns = schema.context_width();
        let squares = 2 * columns < TERMS_MAX;
        let products = 2 * columns + columns * (columns - 1) / 2 < TERMS_MAX;
        Ok(Self { encoding: Encoding::new(&schema, units), columns, squares, products })
    }

    pub(super) fn count(&self) -> usize {
        let squares = if self.squares { self.columns } else { 0 };
        let products = if self.products { self.columns * (self.columns - 1) / 2 } else { 0 };
        1 + self.columns + squares + products
    }

    /// The columns of each row as numbers of order one; far ones are drawn in, so that their squares do not rule.
    pub(super) fn numbers(&self, rows: &Rows) -> Rows {
        let known = Known::from(Some(rows));
        let mut numbers = self.encoding.context(known, rows.len()).unwrap_or_else(|| rows.clone());
        numbers.values_mut().iter_mut().for_each(|v| *v = 3.0 * (*v / 3.0).asinh());
        numbers
    }

    fn write(&self, numbers: &[f64], terms: &mut Vec<f64>) {
        terms.clear();
        terms.push(1.0);
        terms.extend_from_slice(numbers);
        if self.squares {
            terms.extend(numbers.iter().map(|v| v * v));
        }
        if self.products {
            for (i, a) in numbers.iter().enumerate() {
                terms.extend(numbers[..i].iter().map(|b| a * b));
            }
        }
    }

    /// The value of a model at each row.
    pub(super) fn values(&self, coefficients: &[f64], numbers: &Rows) -> Vec<f64> {
        let mut terms = Vec::with_capacity(self.count());
        (0..numbers.len())
            .map(|i| {
                self.write(numbers.row(i), &mut terms);
                dot(&terms, coefficients)
            })
            .collect()
    }

    /// Least squares of `y`.
    pub(super) fn regress(&self, numbers: &Rows, y: &[f64], threads: usize) -> Result<Vec<f64>> {
        let write = |i: usize, terms: &mut Vec<f64>| self.write(numbers.row(i), terms);
        let loss = |i: usize, value: f64| Loss::square(value - y[i]);
        minimise(numbers.len(), self.count(), threads, write, loss)
    }

    /// The log-odds that a row is marked, by the maximum of their likelihood.
    pub(super) fn classify(
        &self,
        numbers: &Rows,
        marked: impl Fn(usize) -> bool + Sync,
        threads: usize,
    ) -> Result<Vec<f64>> {
        let write = |i: usize, terms: &mut Vec<f64>| self.write(numbers.row(i), terms);
        let loss = |i: usize, value: f64| Loss::logistic(value, marked(i));
        minimise(numbers.len(), self.count(), threads, write, loss)
    }
}

/// A loss of a row, and its first two derivatives by the value of the model there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    value: f64,
    slope: f64,
    curvature: f64,
}

impl Loss {
    fn square(residual: f64) -> Self {
        Self { value: 0.5 * residual * residual, slope: residual, curvature: 1.0 }
    }

    /// `-ln P(marked)` where `value` is the log-odds of it.
    pub(super) fn logistic(value: f64, marked: bool) -> Self {
        let margin = if marked { value } else { -value };
        let wrong = 1.0 / (1.0 + margin.exp());
        let loss =
            if margin > 0.0 { (-margin).exp().ln_1p() } else { margin.exp().ln_1p() - margin };
        let slope = if marked { -wrong } else { wrong };
        Self { value: loss, slope, curvature: wrong * (1.0 - wrong) }
    }
}

/// The coefficients of the smallest sum of a convex loss over rows and [`PENALTY`] times half the squares of all coefficients but the first, by Newton's method.
///
/// `write` makes the terms of a row, `loss` takes the number of a row and the value of the model there.
///
/// # Errors
/// [`crate::ErrorKind::Domain`] for terms that are not finite.
pub(super) fn minimise(
    rows: usize,
    terms: usize,
    threads: usize,
    write: impl Fn(usize, &mut Vec<f64>) + Sync,
    loss: impl Fn(usize, f64) -> Loss + Sync,
) -> Result<Vec<f64>> {
    let sums = |coefficients: &[f64]| {
        let parts = parallel::map(rows.div_ceil(BLOCK), threads, |block| {
            let range = block * BLOCK..((block + 1) * BLOCK).min(rows);
            Ok(Sums::over(range, coefficients, &write, &loss))
        })?;
        let penalty = Sums::of_penalty(coefficients);
        Ok::<_, crate::Error>(parts.into_iter().fold(penalty, Sums::plus))
    };
    let mut coefficients = vec![0.0; terms];
    let mut now = sums(&coefficients)?;
    for _ in 0..STEPS_MAX {
        let step = now.newton_step()?;
        let gain = dot(&step, &now.gradient);
        if gain <= 1e-12 * (1.0 + now.value.abs()) {
            break;
        }
        let mut scale = 1.0;
        let mut next = None;
        for _ in 0..HALVINGS_MAX {
            let there: Vec<f64> =
                coefficients.iter().zip(&step).map(|(c, s)| c - scale * s).collect();
            let found = sums(&there)?;
            if found.value < now.value {
                next = Some((there, found));
                break;
            }
            scale *= 0.5;
        }
        let Some((there, found)) = next else { break };
        (coefficients, now) = (there, found);
    }
    Ok(coefficients)
}

/// A sum over rows with its derivatives by the coefficients.
struct Sums {
    value: f64,
    gradient: Vec<f64>,
    /// Row after row, below and on the diagonal.
    curvature: Vec<f64>,
}

impl Sums {
    fn over(
        rows: std::ops::Range<usize>,
        coefficients: &[f64],
        write: impl Fn(usize, &mut Vec<f64>),
        loss: impl Fn(usize, f64) -> Loss,
    ) -> Self {
        let n = coefficients.len();
        let mut sums = Self { value: 0.0, gradient: vec![0.0; n], curvature: vec![0.0; n * n] };
        let mut terms = Vec::with_capacity(n);
        for i in rows {
            write(i, &mut terms);
            let Loss { value, slope, curvature } = loss(i, dot(&terms, coefficients));
            sums.value += value;
            for (j, term) in terms.iter().enumerate() {
                sums.gradient[j] += slope * term;
                let factor = curvature * term;
                let row = &mut sums.curvature[j * n..j * n + j + 1];
                row.iter_mut().zip(&terms).for_each(|(sum, other)| *sum += factor * other);
            }
        }
        sums
    }

    fn of_penalty(coefficients: &[f64]) -> Self {
        let n = coefficients.len();
        let mut curvature = vec![0.0; n * n];
        (1..n).for_each(|j| curvature[j * n + j] = PENALTY);
        // A first term that no row needs is held too, by next to nothing.
        curvature[0] = 1e-9;
        let gradient = (0..n).map(|j| curvature[j * n + j] * coefficients[j]).collect::<Vec<_>>();
        Self { value: 0.5 * dot(&gradient, coefficients), gradient, curvature }
    }

    fn plus(mut self, other: Self) -> Self {
        self.value += other.value;
        self.gradient.iter_mut().zip(other.gradient).for_each(|(a, b)| *a += b);
        self.curvature.iter_mut().zip(other.curvature).for_each(|(a, b)| *a += b);
        self
    }

    /// `curvature^-1 gradient`, by the Cholesky factor, which reads below the diagonal only.
    fn newton_step(&self) -> Result<Vec<f64>> {
        let n = self.gradient.len();
        let factor = SquareMatrix::new(self.curvature.clone(), n).cholesky()?;
        let mut x = self.gradient.clone();
        for i in 0..n {
            let known: f64 = (0..i).map(|j| factor.at(i, j) * x[j]).sum();
            x[i] = (x[i] - known) / factor.at(i, i);
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|j| factor.at(j, i) * x[j]).sum();
            x[i] = (x[i] - known) / factor.at(i, i);
        }
        Ok(x)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams, normal, uniform};

    fn rows(n: usize, width: usize) -> Rows {
        let mut values = vec![0.0; n * width];
        Streams::new(9).fill_normal(Purpose::Check, 0, 0, width, &mut values);
        Rows::new(values, width).unwrap()
    }

    fn columns(width: usize) -> Vec<Column> {
        (0..width).map(|i| Column::real(format!("x{i}"))).collect()
    }

    #[test]
    fn a_quadratic_outcome_is_found_again() -> Result<()> {
        let x = rows(4000, 3);
        let terms = Terms::new(&columns(3), &x)?;
        assert_eq!(terms.count(), 10);
        let numbers = terms.numbers(&x);
        let y: Vec<f64> = (0..x.len())
            .map(|i| {
                let v = numbers.row(i);
                2.0 + v[0] - 3.0 * v[1] * v[2] + 0.5 * v[2] * v[2]
            })
            .collect();
        let found = terms.values(&terms.regress(&numbers, &y, 2)?, &numbers);
        let worst = found.iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 0.05, "{worst}");
        Ok(())
    }

    #[test]
    fn log_odds_are_those_that_made_the_marks_whatever_the_threads() -> Result<()> {
        let x = rows(20_000, 2);
        let terms = Terms::new(&columns(2), &x)?;
        let numbers = terms.numbers(&x);
        let odds = |i: usize| -1.0 + numbers.row(i)[0] - numbers.row(i)[1] * numbers.row(i)[1];
        let mut rng = Streams::new(1).rng(Purpose::Check, 0, 0);
        let marked: Vec<bool> =
            (0..x.len()).map(|i| uniform(&mut rng) < 1.0 / (1.0 + (-odds(i)).exp())).collect();
        let found = terms.classify(&numbers, |i| marked[i], 1)?;
        let expected = [-1.0, 1.0, 0.0, 0.0, -1.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.12), "{found:?}");
        assert_eq!(found, terms.classify(&numbers, |i| marked[i], 3)?);
        Ok(())
    }

    #[test]
    fn populations_that_do_not_overlap_and_columns_that_repeat_have_finite_coefficients()
    -> Result<()> {
        let mut rng = Streams::new(2).rng(Purpose::Check, 0, 0);
        let side = |i: usize| if i.is_multiple_of(2) { -5.0 } else { 5.0 };
        let x: Vec<f64> = (0..400).flat_map(|i| [side(i) + 0.1 * normal(&mut rng); 2]).collect();
        let x = Rows::new(x, 2)?;
        let terms = Terms::new(&columns(2), &x)?;
        let numbers = terms.numbers(&x);
        let found = terms.classify(&numbers, |i| i % 2 == 1, 1)?;
        assert!(found.iter().all(|c| c.is_finite()), "{found:?}");
        let odds = terms.values(&found, &numbers);
        assert!((0..400).all(|i| (odds[i] > 0.0) == (i % 2 == 1)));
        Ok(())
    }

    #[test]
    fn many_columns_leave_out_products_then_squares() -> Result<()> {
        for (width, count) in [(18, 1 + 36 + 153), (40, 81), (150, 151)] {
            assert_eq!(Terms::new(&columns(width), &rows(10, width))?.count(), count);
        }
        Ok(())
    }
}
