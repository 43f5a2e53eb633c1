//! Part of each pixel goes on, the rest has arrived.

use burn::tensor::{Int, Tensor};
use diffeo_kernels::{Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use super::chain::{count_all, work_of_all};
use super::permutation::{indices, inverse_order};
use super::{Chain, Describe, LayerSpec, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, InnerStep, Kept, Pass, Scratch, Step, Steps, Weights, gather, scatter};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Split`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Numbers of a pixel.
    pub channels: usize,
    /// How many of them go on, the first so many.
    pub onward: usize,
    /// What happens to those, data end first; the pixels that they make up lie side by side.
    pub transforms: Vec<LayerSpec>,
}

impl SplitSpec {
    /// Where the layers inside stand.
    fn inside(&self, at: Place) -> Result<Place> {
        let Self { channels, onward, .. } = *self;
        if channels == 0 || !at.dims.is_multiple_of(channels) || !(1..channels).contains(&onward) {
            return Err(Error::config(format!(
                "split: expected a number of channels that divides a row of {}, of which at least one goes on and one does not; found {onward} of {channels}",
                at.dims
            )));
        }
        Ok(Place { dims: at.dims / channels * onward, ..at.inside()? })
    }
}

impl Describe for SplitSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let inside = self.inside(at)?;
        self.transforms.iter().try_for_each(|layer| layer.validate(inside))
    }

    fn count(&self, at: Place) -> Option<u64> {
        count_all(&self.transforms, self.inside(at).ok()?)
    }

    fn work(&self, at: Place) -> Option<u64> {
        let inside = self.inside(at).ok()?;
        work_of_all(&self.transforms, inside)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        let inside = self.inside(at)?;
        let chain = Chain::build(&self.transforms, inside, init)?;
        let (onward, rest): (Vec<usize>, Vec<usize>) =
            (0..at.dims).partition(|column| column % self.channels < self.onward);
        let back = inverse_order(&[onward.clone(), rest.clone()].concat())?;
        let of = |columns: &[usize]| indices(columns, &init.device);
        let (of_rest, back) = (of(&rest), of(&back));
        Ok(Box::new(Split { chain, of_onward: of(&onward), of_rest, back, onward, dims: at.dims }))
    }

    fn inner(&self) -> &[LayerSpec] {
        &self.transforms
    }

    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        &mut self.transforms
    }
}

impl Cases for SplitSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.depth > 0 || !at.dims.is_multiple_of(8) {
            return vec![];
        }
        let inside = Place { dims: at.dims / 4, depth: 1, ..at };
        let mut transforms = super::AutoregressiveSpec::cases(inside);
        transforms.truncate(1);
        let mut transforms: Vec<LayerSpec> = transforms.into_iter().map(LayerSpec::from).collect();
        transforms.push(super::ActNormSpec {}.into());
        vec![Self { channels: 4, onward: 1, transforms }]
    }
}

/// The first channels of each pixel are mapped on, the others stay as they are: they belong to the base.
///
/// * forward: `z_onward = f(x_onward | c)`, `z_rest = x_rest`; inverse: `x_onward = f^-1(z_onward | c)`. Log-determinant: that of `f`.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, section 3.6, arXiv:1605.08803 (multi-scale architecture; what it calls factoring out).
#[derive(Clone, Debug)]
pub struct Split {
    chain: Chain,
    onward: Vec<usize>,
    of_onward: Tensor<1, Int>,
    of_rest: Tensor<1, Int>,
    /// Puts `[onward, rest]` back into column order.
    back: Tensor<1, Int>,
    dims: usize,
}

impl Split {
    fn onward(&self, rows: &Tensor<2>) -> Tensor<2> {
        rows.clone().select(1, self.of_onward.clone())
    }

    /// The row whose onward columns are these and whose others are those of `rows`.
    fn joined(&self, rows: &Tensor<2>, onward: Tensor<2>) -> Tensor<2> {
        let rest = rows.clone().select(1, self.of_rest.clone());
        Tensor::cat(vec![onward, rest], 1).select(1, self.back.clone())
    }
}

impl Transform for Split {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let Mapped { value, log_det } = self.chain.forward(self.onward(&x), given)?;
        Ok(Mapped { value: self.joined(&x, value), log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let Mapped { value, log_det } = self.chain.inverse(self.onward(&z), given)?;
        Ok(Mapped { value: self.joined(&z, value), log_det })
    }

    fn inverse_value(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.joined(&z, self.chain.inverse_value(self.onward(&z), given)?))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.chain.visit(visitor);
    }

    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let onward = self.chain.start(self.onward(&x), given)?;
        Ok(self.joined(&x, onward))
    }

    fn start_inverse(&mut self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let onward = self.chain.start_inverse(self.onward(&z), given)?;
        Ok(self.joined(&z, onward))
    }

    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        self.chain.scales(&self.onward(x), given)
    }

    fn evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        self.chain.evaluations(&self.onward(x), given)
    }

    fn path(&self, x: &Tensor<2>, given: &Given<'_>, stops: usize) -> Result<Vec<Tensor<2>>> {
        let places = self.chain.path(&self.onward(x), given, stops)?;
        Ok(places.into_iter().map(|place| self.joined(x, place)).collect())
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let steps = self.chain.steps(weights)?.into_iter();
        let step = |step| {
            let (step, columns, dims) = (InnerStep::new(step), self.onward.clone(), self.dims);
            Box::new(OnColumns { step, columns, dims }) as _
        };
        Some(steps.map(step).collect())
    }
}

/// A step on some of the columns.
#[derive(Debug)]
struct OnColumns {
    step: InnerStep,
    columns: Vec<usize>,
    dims: usize,
}

impl<T: Real> Step<T> for OnColumns {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        self.step.of::<T>().load(weights, loaded);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        Kept { loaded, tape }: Kept<'_, T>,
    ) -> Result<()> {
        let ([before, after], tape) = tape.around();
        let len = pass.tiles * self.columns.len() * TILE_ROWS;
        let (before, after) = (before.sized(len), after.sized(len));
        gather(x, self.dims, &self.columns, before);
        let kept = Kept { loaded, tape };
        self.step.of::<T>().forward(pass, before, after, log_det, kept)?;
        z.copy_from_slice(x);
        scatter(after, &self.columns, z, self.dims);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        _x: &[T],
        grad: &mut [T],
        wanted: bool,
        (Kept { loaded, tape }, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let ([before, by], tape) = tape.around();
        let len = pass.tiles * self.columns.len() * TILE_ROWS;
        let by = by.sized(len);
        gather(grad, self.dims, &self.columns, by);
        let kept = (Kept { loaded, tape }, scratch);
        self.step.of::<T>().backward(pass, &before[..len], by, wanted, kept, gradient);
        if wanted {
            scatter(by, &self.columns, grad, self.dims);
        }
    }
}
