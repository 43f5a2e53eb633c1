//! What draws rows and knows their density.

use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::host::linalg::{host_values, tensor_of};
use crate::host::normal::log_add;
use crate::host::random::{Purpose, Streams, uniform};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};

/// What draws rows and knows their log-density.
pub trait Proposal {
    /// Numbers in a row.
    fn dims(&self) -> usize;

    /// Rows `first .. first + n`, the same whenever they are asked for, and the log-density of each.
    ///
    /// # Errors
    /// Those of what draws.
    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)>;

    /// The log-density of any rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for rows of another width.
    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>>;
}

/// A model without a context, as a proposal. Seed, first row, temperature and threads are those of `options`; the density is the model's own at temperature 1.
#[derive(Clone, Debug)]
pub struct ModelProposal<'a> {
    /// The model.
    pub model: &'a Model,
    /// How it draws.
    pub options: SampleOptions,
}

impl Proposal for ModelProposal<'_> {
    fn dims(&self) -> usize {
        self.model.schema().columns.len()
    }

    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
        let first_row = self.options.first_row + first;
        let options = SampleOptions { first_row, ..self.options.clone() };
        self.model.sample_with_log_prob(n, None, &options)
    }

    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
        self.model.log_prob(rows, None, self.options.threads)
    }
}

/// A flow without a context, as a proposal.
#[derive(Clone, Debug)]
pub struct FlowProposal<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Seed of the draws.
    pub seed: u64,
}

impl Proposal for FlowProposal<'_> {
    fn dims(&self) -> usize {
        self.flow.dims()
    }

    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
        let z = self.flow.draw(n, self.seed, first, 1.0)?;
        let log_base = host_values(self.flow.log_base(z.clone()))?;
        let mapped = self.flow.to_data(z, None)?;
        let log_det = host_values(mapped.log_det)?;
        let log_q = log_base.iter().zip(&log_det).map(|(p, d)| p - d).collect();
        Ok((Rows::new(host_values(mapped.value)?, self.flow.dims())?, log_q))
    }

    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
        host_values(self.flow.log_prob(tensor_of(rows), None)?)
    }
}

/// A proposal mixed with a share of a broader one: no weight is then larger than `p / (share x broad)`, where the first has next to no density (Hesterberg. *Technometrics* 37, 1995).
///
/// It bounds single weights and with them the error of a mean; it does not raise the effective number of draws, of which it spends the share.
pub struct Defensive<'a> {
    proposal: &'a dyn Proposal,
    broad: &'a dyn Proposal,
    share: f64,
    streams: Streams,
}

impl<'a> Defensive<'a> {
    /// Draws of `broad` in `share` of the rows, chosen by the seed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless the share is between 0 and 1, [`crate::ErrorKind::Shape`] if the two differ in width.
    pub fn new(
        proposal: &'a dyn Proposal,
        broad: &'a dyn Proposal,
        share: f64,
        seed: u64,
    ) -> Result<Self> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::config(format!(
                "a defensive share is between 0 and 1, found {share}"
            )));
        }
        if proposal.dims() != broad.dims() {
            let (one, other) = (proposal.dims(), broad.dims());
            return Err(Error::shape(format!(
                "proposals of {one} and of {other} numbers do not mix"
            )));
        }
        Ok(Self { proposal, broad, share, streams: Streams::new(seed) })
    }

    fn mixed(&self, of_first: &[f64], of_broad: &[f64]) -> Vec<f64> {
        let (rest, share) = ((1.0 - self.share).ln(), self.share.ln());
        of_first.iter().zip(of_broad).map(|(q, b)| log_add(rest + q, share + b)).collect()
    }
}

impl Proposal for Defensive<'_> {
    fn dims(&self) -> usize {
        self.proposal.dims()
    }

    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
        let (mut rows, _) = self.proposal.draw(first, n)?;
        let (broad, _) = self.broad.draw(first, n)?;
        for i in 0..n {
            let mut rng = self.streams.rng(Purpose::Accept, u64::MAX, first + i as u64);
            if uniform(&mut rng) < self.share {
                rows.row_mut(i).copy_from_slice(broad.row(i));
            }
        }
        let log_density = self.log_density(&rows)?;
        Ok((rows, log_density))
    }

    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
        Ok(self.mixed(&self.proposal.log_density(rows)?, &self.broad.log_density(rows)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annealed, LogDensity, weigh};
    use super::*;
    use crate::bases::StudentTSpec;
    use crate::spec::{FlowSpec, Precision};
    use burn::tensor::Tensor;

    /// A standard normal times three, without its constant.
    struct Wide;

    impl LogDensity for Wide {
        fn dims(&self) -> usize {
            2
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            Ok(x.square().sum_dim(1).reshape([n]).mul_scalar(-0.5 / 9.0))
        }
    }

    #[test]
    fn a_defensive_share_bounds_the_weights_of_a_narrow_proposal() -> Result<()> {
        let narrow = FlowSpec::new(2, vec![]).in_precision(Precision::F64).build(0)?;
        let broad = FlowSpec::new(2, vec![]).in_precision(Precision::F64);
        let broad = broad.onto(StudentTSpec { dof: 3.0 }).build(0)?;
        let [narrow, broad] = [&narrow, &broad].map(|flow| FlowProposal { flow, seed: 3 });
        let (_, alone) = weigh(&narrow, &Wide, 20_000)?;
        let mixed = Defensive::new(&narrow, &broad, 0.2, 1)?;
        let (rows, weights) = weigh(&mixed, &Wide, 20_000)?;
        assert!(!alone.verdict().is_good() && weights.verdict().is_good(), "{}", weights.verdict());
        let evidence = weights.log_mean();
        let exact = (9.0 * std::f64::consts::TAU).ln();
        assert!((evidence.mean - exact).abs() < 4.0 * evidence.standard_error, "{evidence:?}");
        let again = mixed.log_density(&rows)?;
        let direct = mixed.draw(0, 20_000)?.1;
        assert!(again.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(Defensive::new(&narrow, &broad, 1.0, 1).is_err());
        let one = FlowSpec::new(1, vec![]).build(0)?;
        let one = FlowProposal { flow: &one, seed: 0 };
        assert!(Defensive::new(&narrow, &one, 0.1, 1).is_err());
        Ok(())
    }

    #[test]
    fn an_annealed_target_goes_from_the_normal_to_the_target() -> Result<()> {
        let flow = FlowSpec::new(2, vec![]).in_precision(Precision::F64).build(0)?;
        let proposal = FlowProposal { flow: &flow, seed: 3 };
        let (_, weights) = weigh(&proposal, &Annealed { target: Wide, beta: 0.0 }, 100)?;
        assert!((weights.effective_size() - 100.0).abs() < 1e-9);
        Ok(())
    }
}
