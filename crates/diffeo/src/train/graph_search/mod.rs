//! Which column follows from which: a graph from rows.

mod gates;
#[cfg(test)]
mod tests;

use super::learner::{Learner, LearnerOptions};
use super::schedule::Schedule;
use crate::conditioner::depths;
use crate::error::{Error, Result};
use crate::host::linalg::{SquareMatrix, tensor_of};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;
use gates::Gates;

/// How large the noise of a column is taken to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoiseScale {
    /// Each column has its own: units of columns do not matter. Tells directions where dependences are not linear.
    #[default]
    Own,
    /// The same in all columns, in the units of the rows: tells directions of linear dependences, too, where that is so.
    Equal,
}

/// Learns a directed acyclic graph over columns: `x_j = f_j(x) + noise`, where `f_j` sees each other column through a gate, and gates that make cycles are driven to zero.
///
/// * Functions: `f_j = sum_i l_ij x_i + sum_k v_jk tanh(sum_i a_ijk x_i + b_jk) + c_j`. The gate `g_ij^2 = 2 (l_ij^2 + m sum_k (v_jk a_ijk)^2)` of `m` units (`l_ij^2` without units) bounds the slope of `f_j` by `x_i`, and so
///   does not change where `v` and `a` change against each other.
/// * Minimised: the negative log-likelihood of normal noise, `sum_j ln(r_j) / 2` of the mean squared residuals `r` (`d ln(mean r) / 2` where noise is equal), and
///   `sparsity * sum g + weight * h(g^2)` with `h(G) = d ln s - ln det(s I - G)`, which is zero if and only if `G` has no cycle; `s` is 1, doubled where that is not above the spectral radius.
///   The weight rises from 1 to 1000 in the course of the steps, which are Adam's and fall like half a cosine.
/// * Edges are the gates above `threshold`, from the strongest on, but for those that would close a cycle: the result has none, whatever the search has found.
/// * A function of rows, settings and seed, to the last bit. Of more rows than [`GraphSearch::ROWS_MAX`] so many are drawn.
/// * Costs, a step, some three products of `n d (d m)`, and an inverse of `d^3`: seconds for ten columns, minutes for a hundred.
///
/// What rows cannot tell: where dependences are linear and noise is normal, graphs with the same skeleton and the same colliders have the same likelihood, unless the noise of all columns is equally
/// large (Peters, Bühlmann. *Biometrika* 101, 2014, arXiv:1205.2536); so with noise of their own such columns get some order. Columns that were not measured, rows that were selected, and noise
/// that is not added make edges that mean no influence. The search ends in a local minimum, which need not be the lowest.
///
/// ```
/// use diffeo::Rows;
/// use diffeo::train::{GraphSearch, NoiseScale};
///
/// # fn main() -> diffeo::Result<()> {
/// let noise = |i: usize| ((i as f64 * 12.9898).sin() * 43758.5453).rem_euclid(1.0) - 0.5;
/// let rows = (0..300).flat_map(|i| [noise(i), 2.0 * noise(i) + noise(i + 1000)]).collect();
/// let search = GraphSearch { noise: NoiseScale::Equal, units: 0, steps: 500, ..GraphSearch::default() };
/// assert_eq!(search.run(&Rows::new(rows, 2)?)?.parents, [vec![], vec![0]]);
/// # Ok(())
/// # }
/// ```
///
/// Reference: Bello, Aragam, Ravikumar. *DAGMA: Learning DAGs via M-matrices and a Log-Determinant Acyclicity Characterization*. NeurIPS 2022, arXiv:2209.08037, after Zheng, Dan, Aragam,
/// Ravikumar, Xing. *Learning Sparse Nonparametric DAGs*. AISTATS 2020, arXiv:1909.13189 (there a gate is the norm of the first layer). Followed by a flow whose layers have the graph, as the
/// learned graph of Wehenkel, Louppe. *Graphical Normalizing Flows*. AISTATS 2021, arXiv:2006.02548.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphSearch {
    /// How large the noise is.
    pub noise: NoiseScale,
    /// Hidden units of each function, 0 to 64; with none, functions are linear.
    pub units: usize,
    /// Weight of the sum of gates.
    pub sparsity: f64,
    /// Gates up to this are no edges: a slope, in deviations of the columns where noise is their own.
    pub threshold: f64,
    /// Steps of the search.
    pub steps: u64,
    /// Chooses rows and where functions start.
    pub seed: u64,
}

impl Default for GraphSearch {
    fn default() -> Self {
        Self {
            noise: NoiseScale::default(),
            units: 8,
            sparsity: 0.02,
            threshold: 0.3,
            steps: 3000,
            seed: 0,
        }
    }
}

/// What a [`GraphSearch`] has found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundGraph {
    /// The parents of each column, ascending.
    pub parents: Vec<Vec<usize>>,
    /// The gate of each edge `[parent, child]`, strongest first.
    pub edges: Vec<([usize; 2], f64)>,
    /// Gates above the threshold that are no edges, as they would close a cycle: none where the search has come to its end.
    pub left_out: Vec<([usize; 2], f64)>,
}

/// The weight of acyclicity at the last step; it is 1 at the first.
const WEIGHT_LAST: f64 = 1e3;
const LEARNING_RATE: f64 = 1e-2;

impl GraphSearch {
    /// Most columns.
    pub const COLUMNS_MAX: usize = 256;
    /// Most hidden units.
    pub const UNITS_MAX: usize = 64;
    /// Most rows that are looked at.
    pub const ROWS_MAX: usize = 2000;

    /// Learns the graph of the columns of some rows. Rows with a number that is not finite are left out.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for settings out of range, [`crate::ErrorKind::Data`] for fewer rows than twice the columns or a column of one value.
    pub fn run(&self, rows: &Rows) -> Result<FoundGraph> {
        self.validate(rows.width())?;
        let rows = self.prepared(rows)?;
        let d = rows.width();
        let gates = Gates::new(self, d);
        let x = tensor_of(&rows);
        let options = LearnerOptions {
            learning_rate: LEARNING_RATE,
            clip_norm: f64::MAX,
            ..LearnerOptions::default()
        };
        let mut learner = Learner::new(gates, options)?;
        let schedule = Schedule { peak: LEARNING_RATE, warmup: 0, total: self.steps };
        for step in 0..self.steps {
            // Gates that flutter against a falling one make a cycle with it, and the weight of that shuts both.
            learner.set_learning_rate(schedule.rate(step))?;
            let weight = WEIGHT_LAST.powf(step as f64 / self.steps as f64);
            learner.step(|gates| gates.loss(&x, self, weight))?;
        }
        let strengths = learner.module().strengths()?;
        Ok(found(&strengths, self.threshold))
    }

    fn validate(&self, columns: usize) -> Result<()> {
        let fault = |text: String| Err(Error::config(format!("graph search: {text}")));
        if columns > Self::COLUMNS_MAX {
            return fault(format!(
                "expected at most {} columns, found {columns}",
                Self::COLUMNS_MAX
            ));
        }
        if self.units > Self::UNITS_MAX {
            return fault(format!(
                "units must be in 0..={}, found {}",
                Self::UNITS_MAX,
                self.units
            ));
        }
        let is_positive = |v: f64| v >= 0.0 && v.is_finite();
        if !(is_positive(self.sparsity) && is_positive(self.threshold) && self.steps > 0) {
            return fault(format!(
                "sparsity and threshold must be at least 0 and steps at least 1, found {}, {} and {}",
                self.sparsity, self.threshold, self.steps
            ));
        }
        Ok(())
    }

    /// Finite rows, not too many, with mean zero and mean square one: of each column, or of all together.
    fn prepared(&self, rows: &Rows) -> Result<Rows> {
        let d = rows.width();
        let is_finite = |&i: &usize| rows.row(i).iter().all(|v| v.is_finite());
        let mut kept: Vec<usize> = (0..rows.len()).filter(is_finite).collect();
        if kept.len() < 2 * d {
            return Err(Error::data(format!(
                "a graph of {d} columns needs {} rows without missing values, found {}",
                2 * d,
                kept.len()
            )));
        }
        if kept.len() > Self::ROWS_MAX {
            let mut rng = Streams::new(self.seed).rng(Purpose::Start, 1, 0);
            let order = permutation(&mut rng, u32::try_from(kept.len()).unwrap_or(u32::MAX));
            let mut some: Vec<usize> =
                order.into_iter().take(Self::ROWS_MAX).map(|i| kept[i as usize]).collect();
            some.sort_unstable();
            kept = some;
        }
        let mut rows = rows.select(&kept);
        let n = rows.len() as f64;
        let mut squares = vec![0.0; d];
        for (j, square) in squares.iter_mut().enumerate() {
            let column = rows.column(j);
            let mean = column.iter().map(|v| v / n).sum::<f64>();
            rows.values_mut().iter_mut().skip(j).step_by(d).for_each(|v| *v -= mean);
            *square = column.iter().map(|v| (v - mean) * ((v - mean) / n)).sum();
            if !(square.is_finite() && *square > 0.0) {
                return Err(Error::data(format!(
                    "column {j} holds one value or numbers too large to be squared; leave it out of a graph"
                )));
            }
        }
        if self.noise == NoiseScale::Equal {
            let pooled = squares.iter().map(|square| square / d as f64).sum();
            squares.fill(pooled);
        }
        let scales: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        for row in rows.values_mut().chunks_exact_mut(d) {
            row.iter_mut().zip(&scales).for_each(|(v, scale)| *v /= scale);
        }
        Ok(rows)
    }
}

/// The edges of gates, `strengths` from the column's row to the column's column.
fn found(strengths: &SquareMatrix, threshold: f64) -> FoundGraph {
    let d = strengths.size();
    let pairs = (0..d).flat_map(|i| (0..d).map(move |j| [i, j]));
    let gate = |[i, j]: [usize; 2]| strengths.at(i, j);
    let mut above: Vec<([usize; 2], f64)> = pairs
        .filter(|[i, j]| i != j)
        .map(|pair| (pair, gate(pair)))
        .filter(|(_, gate)| *gate > threshold)
        .collect();
    above.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut graph = FoundGraph { parents: vec![Vec::new(); d], edges: vec![], left_out: vec![] };
    for edge in above {
        let [parent, child] = edge.0;
        graph.parents[child].push(parent);
        match depths(&graph.parents) {
            Ok(_) => graph.edges.push(edge),
            Err(_) => {
                graph.parents[child].pop();
                graph.left_out.push(edge);
            }
        }
    }
    graph.parents.iter_mut().for_each(|parents| parents.sort_unstable());
    graph
}
