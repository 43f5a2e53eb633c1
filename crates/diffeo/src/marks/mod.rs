//! The density of marks: which outcome of each column is the case, and where on its circle a periodic value lies.
//!
//! `p(m | c) = prod_j p(m_j | m_1 .. m_{j-1}, c)`, each factor a softmax over outcomes, or a mixture of hat functions on a circle, with weights
//! from one masked network that reads the marks before it as their shares: 1 at an outcome and 0 elsewhere, or the two shares of a place between
//! two knots. Numbers are then mapped given all shares, as a context ([`crate::Flow`]).
//!
//! A mark is a number: `m` in `[k, k + 1)` is outcome `k`, a place on a circle with `n` knots is in `[0, n)`, and a negative number is a mark that is
//! not known: it counts nothing, and its shares are zero.
//!
//! References: Germain, Gregor, Murray, Larochelle. *MADE*. ICML 2015, arXiv:1502.03509 (the masked network, and softmax conditionals);
//! Mueller, McWilliams, Rousselle, Gross, Novak. *Neural Importance Sampling*. ACM TOG 2019, arXiv:1808.03856 (piecewise linear densities); Rezende
//! et al. *Normalizing Flows on Tori and Spheres*. ICML 2020, arXiv:2002.02428 (densities that close on a circle).

mod host;
mod program;
mod shares;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{Network, NetworkSpec};
use crate::parameter::{Init, Visitor, visit_part};

pub(crate) use program::{MarksProgram, MarksTape};
pub(crate) use shares::{Shares, SplitRows};

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MarkSpec {
    /// One of some outcomes.
    Levels {
        /// How many there are.
        count: usize,
        /// How many of them are possible after the last outcome of the mark before, of which this is the second digit; absent for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<usize>,
    },
    /// A place on a circle, with a density that is linear between knots at equal distances.
    Circle {
        /// How many knots there are.
        knots: usize,
    },
}

impl MarkSpec {
    /// How many shares it has.
    pub fn width(&self) -> usize {
        match self {
            Self::Levels { count, .. } => *count,
            Self::Circle { knots } => *knots,
        }
    }
}

/// The marks of a flow, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarksSpec {
    /// The marks in the order of a row.
    pub marks: Vec<MarkSpec>,
    /// The network.
    pub network: NetworkSpec,
}

impl MarksSpec {
    /// Most shares of a mark.
    pub const WIDTH_MAX: usize = 1 << 12;

    /// Shares of all marks together.
    pub fn width(&self) -> usize {
        self.marks.iter().map(MarkSpec::width).sum()
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    pub fn validate(&self) -> Result<()> {
        let fault = |text: String| Err(Error::config(format!("marks: {text}")));
        if self.marks.is_empty() {
            return fault("expected at least one, found none".into());
        }
        for (i, mark) in self.marks.iter().enumerate() {
            if !(1..=Self::WIDTH_MAX).contains(&mark.width()) {
                return fault(format!(
                    "expected 1 to {} outcomes or knots, found {}",
                    Self::WIDTH_MAX,
                    mark.width()
                ));
            }
            if let MarkSpec::Levels { count, last: Some(last) } = mark {
                let follows = i > 0 && matches!(self.marks[i - 1], MarkSpec::Levels { .. });
                if !follows || !(1..=*count).contains(last) {
                    return fault(format!(
                        "{last} of {count} outcomes after the last one of the mark before, where there must be such a mark and at least one outcome"
                    ));
                }
            }
        }
        self.network.validate()
    }

    /// Number of trainable numbers; `None` if it overflows.
    pub fn count(&self, context: usize) -> Option<u64> {
        let width = self.width() as u64;
        self.network.count(width, context as u64, width)
    }
}

/// The density of marks, built.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    shares: Shares,
    network: Network,
    device: Device,
    dtype: DType,
}

impl Marks {
    pub(crate) fn new(spec: &MarksSpec, context: usize, init: &mut Init) -> Self {
        let groups = spec.marks.iter().enumerate();
        let groups: Vec<usize> =
            groups.flat_map(|(i, mark)| std::iter::repeat_n(i, mark.width())).collect();
        let network = Network::grouped(&spec.network, [&groups, &groups], context, init);
        let (device, dtype) = (init.device.clone(), init.dtype);
        Self { shares: Shares::new(&spec.marks), network, device, dtype }
    }

    /// How many marks there are, and where their shares lie.
    pub(crate) fn layout(&self) -> &Shares {
        &self.shares
    }

    pub(crate) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("network", visitor, |v| self.network.visit(v));
    }

    /// The shares of the marks of rows, as a tensor `[n, width]`.
    pub(crate) fn shares(&self, marks: &[f64]) -> Tensor<2> {
        let (m, width) = (self.shares.marks(), self.shares.width());
        let n = marks.len() / m;
        let mut shares = vec![0.0; n * width];
        let rows = marks.chunks_exact(m).zip(shares.chunks_exact_mut(width));
        rows.for_each(|(marks, shares)| self.shares.write(marks, shares));
        self.tensor(shares)
    }

    fn tensor(&self, shares: Vec<f64>) -> Tensor<2> {
        let shape = [shares.len() / self.shares.width(), self.shares.width()];
        Tensor::from_data(TensorData::new(shares, shape), (&self.device, self.dtype))
    }

    /// `ln p(m | c)` of each row, `[n]`, from the shares of its marks: `-inf` for marks that cannot be.
    pub(crate) fn log_prob(&self, shares: &Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let raw = self.network.forward(shares.clone(), context);
        // Not `div_scalar`: its gradient takes the scalar's reciprocal in single precision.
        let bounds = raw.full_like(diffeo_kernels::LOGIT_MAX);
        let weights = ((raw / bounds.clone()).tanh() * bounds).exp();
        let n = shares.dims()[0];
        let mut sum = Tensor::zeros([n, 1], (&self.device, self.dtype));
        for (spec, at) in self.shares.parts() {
            let part = |of: &Tensor<2>| of.clone().narrow(1, at.start, at.len());
            let (mut weights, shares_of) = (part(&weights), part(shares));
            if let MarkSpec::Levels { count, last: Some(last) } = spec {
                // After the last outcome of the mark before only some are possible.
                let closed = shares.clone().narrow(1, at.start - 1, 1);
                let beyond = (0..*count).map(|k| f64::from(u8::from(k >= *last))).collect();
                let beyond = TensorData::new::<f64, _>(beyond, [1, *count]);
                let beyond = Tensor::<2>::from_data(beyond, (&self.device, self.dtype));
                weights = weights * (closed.matmul(beyond).neg().add_scalar(1.0));
            }
            let hit = (weights.clone() * shares_of.clone()).sum_dim(1);
            let unknown = shares_of.sum_dim(1).equal_elem(0.0);
            let log_prob = (hit.mask_fill(unknown.clone(), 1.0)).log() - weights.sum_dim(1).log();
            sum = sum + log_prob.mask_fill(unknown, 0.0);
        }
        sum.reshape([n])
    }
}
