//! No conditioning at all: parameters that are trained directly.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Conditioner, DescribeConditioner, Structure};
use crate::catalog::Cases;
use crate::error::Result;
use crate::parameter::{Init, Parameter, Visitor};
use crate::place::Place;
use crate::transform::Given;

/// A [`Constant`] conditioner, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantSpec {}

impl DescribeConditioner for ConstantSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        per_dim.checked_mul(at.dims as u64)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        Ok(Box::new(Constant::new(at.dims, per_dim, init)?))
    }
}

impl Cases for ConstantSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.context == 0 { vec![Self {}] } else { vec![] }
    }
}

/// Every column has parameters of its own, the same in every row.
#[derive(Clone, Debug)]
pub struct Constant {
    structure: Structure,
    params: Parameter,
}

impl Constant {
    /// `per_dim` parameters a column, all zero.
    ///
    /// # Errors
    /// None for a positive number of columns.
    pub fn new(dims: usize, per_dim: usize, init: &Init) -> Result<Self> {
        let structure = Structure::new(dims, None, None, vec![dims])?;
        Ok(Self { structure, params: Parameter::new(init.full([1, dims * per_dim], 0.0)) })
    }
}

impl Conditioner for Constant {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Tensor<2>> {
        let width = self.params.value.dims()[1];
        Ok(self.params.value.clone().expand([x.dims()[0], width]))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("params", &mut self.params);
    }
}
