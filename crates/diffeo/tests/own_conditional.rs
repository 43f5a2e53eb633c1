//! A program's own conditioner and scalar map make a conditional layer: columns that are solved together, weights of the map's own, no
//! formula for its inverse and no kernel.

use burn::tensor::Tensor;
use diffeo::conditioner::{Conditioner, Structure};
use diffeo::laws::{Case, hold};
use diffeo::monotone::{Monotone, Scalarwise};
use diffeo::transforms::{Conditional, Describe, Own, OwnLayer, Registry};
use diffeo::{Given, Init, Parameter, Place, Result, Transform, Visitor};
use serde::{Deserialize, Serialize};

/// Three columns: the first two know only the context, the third knows them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ColliderSpec {}

impl OwnLayer for ColliderSpec {
    const NAME: &'static str = "collider";
}

impl Describe for ColliderSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        Some(3 * (3 + at.context as u64) + 1)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        let weight = Parameter::new(init.uniform([3 + at.context, 3], 0.5));
        let structure = Structure::new(3, None, None, vec![2, 1])?;
        let map = LogTail(Parameter::new(init.full([1, 1], 0.0)));
        let conditioner = Collider { structure, weight, context: at.context };
        Ok(Box::new(Conditional::new(Box::new(conditioner), Box::new(map), &init.device)?))
    }
}

#[derive(Clone, Debug)]
struct Collider {
    structure: Structure,
    /// Of the first two columns, a constant and the context, to the three.
    weight: Parameter,
    context: usize,
}

impl Conditioner for Collider {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let [n, _] = x.dims();
        let weight = self.weight.value.clone();
        let causes = x.narrow(1, 0, 2).mul_scalar(0.1).tanh();
        let one = causes.ones_like().narrow(1, 0, 1);
        let others = [Some(one), given.context.cloned()].into_iter().flatten().collect();
        let shared = Tensor::cat(others, 1).matmul(weight.clone().narrow(0, 2, 1 + self.context));
        let collided = causes.matmul(weight.narrow(0, 0, 2).narrow(1, 2, 1));
        let none = Tensor::zeros([n, 2], (&collided.device(), collided.dtype()));
        Ok((shared + Tensor::cat(vec![none, collided], 1)).tanh().mul_scalar(2.0))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("weight", &mut self.weight);
    }
}

/// `z = x + a asinh(x - p)`, `p` from the conditioner and `a = e^(3 tanh(raw / 3))` of the map's own.
#[derive(Clone, Debug)]
struct LogTail(Parameter);

impl Monotone for LogTail {
    fn params_per_dim(&self) -> usize {
        1
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        let weight = ((self.0.value.clone() / 3.0).tanh() * 3.0).exp();
        let u = (x.clone() - params).asinh();
        // 1 / cosh u, without its overflow.
        let small = u.clone().abs().neg().exp();
        let slope = small.clone() * 2.0 / (small.powi_scalar(2) + 1.0);
        Ok(Scalarwise { value: x + weight.clone() * u, log_slope: (weight * slope).log1p() })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("raw", &mut self.0);
    }
}

#[test]
fn it_keeps_the_laws() {
    for context in [0, 2] {
        let layer = Own::new(ColliderSpec {}).unwrap();
        hold(&Case::of_layer(layer, 3, context).with(Registry::new().with::<ColliderSpec>()));
    }
}
