//! Where the shares of each mark lie, and what they are.

use std::ops::Range;

use super::MarkSpec;

/// The shares of the marks of a row, one mark after another.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    specs: Vec<MarkSpec>,
    /// The first share of each mark, and the end.
    starts: Vec<usize>,
}

impl Shares {
    pub(super) fn new(specs: &[MarkSpec]) -> Self {
        let mut starts = vec![0];
        for mark in specs {
            starts.push(starts[starts.len() - 1] + mark.width());
        }
        Self { specs: specs.to_vec(), starts }
    }

    /// How many marks there are.
    pub(crate) fn marks(&self) -> usize {
        self.specs.len()
    }

    /// Shares of all marks.
    pub(crate) fn width(&self) -> usize {
        self.starts[self.specs.len()]
    }

    /// Each mark, and where its shares lie.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&MarkSpec, Range<usize>)> {
        self.specs.iter().enumerate().map(|(i, spec)| (spec, self.of(i)))
    }

    pub(super) fn spec(&self, i: usize) -> &MarkSpec {
        &self.specs[i]
    }

    /// Where the shares of mark `i` lie.
    pub(super) fn of(&self, i: usize) -> Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }

    /// Writes the shares of the marks of a row: all zero for a mark that is not known or not one.
    pub(crate) fn write(&self, marks: &[f64], shares: &mut [f64]) {
        shares.fill(0.0);
        for ((spec, &mark), start) in self.specs.iter().zip(marks).zip(&self.starts) {
            let width = spec.width();
            if !(mark >= 0.0 && mark < width as f64) {
                continue;
            }
            let (k, t) = (mark.floor() as usize, mark.fract());
            match spec {
                MarkSpec::Levels { .. } => shares[start + k] = 1.0,
                MarkSpec::Circle { .. } => {
                    shares[start + k] += 1.0 - t;
                    shares[start + (k + 1) % width] += t;
                }
            }
        }
    }

    /// Whether each mark of a row is one, or not known: a number beyond the outcomes has probability 0.
    pub(crate) fn are_possible(&self, marks: &[f64]) -> bool {
        self.specs.iter().zip(marks).all(|(spec, mark)| *mark < spec.width() as f64)
    }
}

/// Rows of a flow with marks, cut into what the parts of the flow see.
#[derive(Clone, Debug, Default)]
pub(crate) struct SplitRows {
    /// `[n, marks]`.
    pub(crate) marks: Vec<f64>,
    /// `[n, numbers]`.
    pub(crate) numbers: Vec<f64>,
    /// `[n, shares]`.
    pub(crate) shares: Vec<f64>,
    /// `[n, context + shares]`: what the numbers are given.
    pub(crate) extended: Vec<f64>,
}

impl SplitRows {
    /// Cuts rows of `width` numbers, marks first, with their contexts if there are any.
    pub(crate) fn new(layout: &Shares, x: &[f64], context: &[f64], width: usize) -> Self {
        let n = x.len() / width;
        let (m, given) = (layout.marks(), context.len() / n.max(1));
        let mut split = Self::default();
        let mut shares = vec![0.0; layout.width()];
        for (i, row) in x.chunks_exact(width).enumerate() {
            let (marks, numbers) = row.split_at(m);
            layout.write(marks, &mut shares);
            split.marks.extend_from_slice(marks);
            split.numbers.extend_from_slice(numbers);
            split.shares.extend_from_slice(&shares);
            split.extended.extend_from_slice(&context[i * given..(i + 1) * given]);
            split.extended.extend_from_slice(&shares);
        }
        split
    }
}
