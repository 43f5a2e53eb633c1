//! The same layers at each pixel.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use diffeo_kernels::{Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use super::chain::{count_all, work_of_all};
use super::{Chain, Describe, LayerSpec, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, InnerStep, Kept, Pass, Scratch, Step, Steps, Weights};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Pixelwise`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelwiseSpec {
    /// Numbers of a pixel.
    pub channels: usize,
    /// What happens to each pixel, data end first. It sees no context.
    pub transforms: Vec<LayerSpec>,
}

impl PixelwiseSpec {
    /// Where the layers inside stand, and how many pixels there are.
    fn inside(&self, at: Place) -> Result<(Place, usize)> {
        if self.channels == 0 || !at.dims.is_multiple_of(self.channels) {
            return Err(Error::config(format!(
                "pixelwise: expected a number of channels that divides a row of {}, found {}",
                at.dims, self.channels
            )));
        }
        let pixels = at.dims / self.channels;
        Ok((Place { dims: self.channels, context: 0, ..at.inside()? }, pixels))
    }
}

impl Describe for PixelwiseSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let (inside, _) = self.inside(at)?;
        self.transforms.iter().try_for_each(|layer| layer.validate(inside))
    }

    fn count(&self, at: Place) -> Option<u64> {
        count_all(&self.transforms, Place { dims: self.channels, context: 0, ..at })
    }

    fn work(&self, at: Place) -> Option<u64> {
        let (inside, pixels) = self.inside(at).ok()?;
        work_of_all(&self.transforms, inside)?.checked_mul(pixels as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        let (inside, pixels) = self.inside(at)?;
        Ok(Box::new(Pixelwise { chain: Chain::build(&self.transforms, inside, init)?, pixels }))
    }

    fn inner(&self) -> &[LayerSpec] {
        &self.transforms
    }

    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        &mut self.transforms
    }
}

impl Cases for PixelwiseSpec {
    /// What Glow has at each pixel: a shift and scale of each channel, and a matrix.
    fn cases(at: Place) -> Vec<Self> {
        if at.depth > 0 || at.context > 0 || !at.dims.is_multiple_of(8) {
            return vec![];
        }
        let of = |channels: usize| {
            let order = (0..channels).rev().collect();
            let matrix = super::PluSpec { order };
            Self { channels, transforms: vec![super::ActNormSpec {}.into(), matrix.into()] }
        };
        vec![of(2), of(4)]
    }
}

/// The numbers of each pixel are mapped by the same layers: with an [`super::ActNorm`] one scale and shift for each channel, with a [`super::Plu`] the invertible 1 x 1 convolution.
///
/// * forward: `z_p = f(x_p)` for each pixel `p`; inverse: `x_p = f^-1(z_p)`. Log-determinant: the sum over the pixels.
/// * Layers that estimate are exact here, also in training.
///
/// Reference: Kingma, Dhariwal. *Glow*. NeurIPS 2018, sections 3.1 and 3.2, arXiv:1807.03039.
#[derive(Clone, Debug)]
pub struct Pixelwise {
    chain: Chain,
    pixels: usize,
}

impl Pixelwise {
    /// The layers at each of so many pixels.
    pub fn new(chain: Chain, pixels: usize) -> Self {
        Self { chain, pixels }
    }

    /// Rows as pixels, `[n pixels, channels]`.
    fn pixels_of(&self, rows: &Tensor<2>) -> Tensor<2> {
        rows.clone().reshape([rows.dims()[0] * self.pixels, self.chain.dims()])
    }

    /// Pixels as rows.
    fn rows_of(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [n, width] = pixels.dims();
        pixels.reshape([n / self.pixels, width * self.pixels])
    }

    fn joined(&self, Mapped { value, log_det }: Mapped) -> Mapped {
        let log_det = self.rows_of(log_det.unsqueeze_dim(1));
        Mapped { value: self.rows_of(value), log_det: sum_rows(log_det) }
    }
}

impl Transform for Pixelwise {
    fn dims(&self) -> usize {
        self.chain.dims() * self.pixels
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(self.joined(self.chain.forward(self.pixels_of(&x), &Given::default())?))
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(self.joined(self.chain.inverse(self.pixels_of(&z), &Given::default())?))
    }

    fn inverse_value(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.rows_of(self.chain.inverse_value(self.pixels_of(&z), &Given::default())?))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.chain.visit(visitor);
    }

    fn start(&mut self, x: Tensor<2>, _given: &Given<'_>) -> Result<Tensor<2>> {
        let pixels = self.pixels_of(&x);
        let pixels = self.chain.start(pixels, &Given::default())?;
        Ok(self.rows_of(pixels))
    }

    fn start_inverse(&mut self, z: Tensor<2>, _given: &Given<'_>) -> Result<Tensor<2>> {
        let pixels = self.pixels_of(&z);
        let pixels = self.chain.start_inverse(pixels, &Given::default())?;
        Ok(self.rows_of(pixels))
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        let scales = self.chain.scales(&self.pixels_of(x), &Given::default())?;
        let of = |s: Scales| Scales { log_scales: self.rows_of(s.log_scales), bound: s.bound };
        Ok(scales.into_iter().map(of).collect())
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let steps = self.chain.steps(weights)?.into_iter();
        let pixels = self.pixels;
        let step = |step| Box::new(AtEachPixel { step: InnerStep::new(step), pixels }) as _;
        Some(steps.map(step).collect())
    }
}

/// A step at each pixel: the pixels of a tile of rows are tiles themselves.
#[derive(Debug)]
struct AtEachPixel {
    step: InnerStep,
    pixels: usize,
}

impl AtEachPixel {
    /// The pass of all pixels, whose log-determinants have the gradients of their rows.
    fn pass<'a, T: Real>(&self, pass: &Pass<'a, T>, log_det_gradient: &'a [T]) -> Pass<'a, T> {
        let tiles = pass.tiles * self.pixels;
        Pass { tiles, weights: pass.weights, context: &[], log_det_gradient, draws: None }
    }
}

impl<T: Real> Step<T> for AtEachPixel {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        self.step.of::<T>().load(weights, loaded);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let mut of_pixels = vec![0.0; pass.tiles * self.pixels * TILE_ROWS];
        let step = self.step.of::<T>();
        step.forward(&self.pass(pass, &[]), x, z, &mut of_pixels, kept)?;
        let tiles = of_pixels.chunks_exact(self.pixels * TILE_ROWS);
        for (pixels, rows) in tiles.zip(log_det.chunks_exact_mut(TILE_ROWS)) {
            for pixel in pixels.chunks_exact(TILE_ROWS) {
                rows.iter_mut().zip(pixel).for_each(|(row, pixel)| *row += pixel);
            }
        }
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        kept: (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let tiles = pass.log_det_gradient.chunks_exact(TILE_ROWS);
        let each: Vec<T> = tiles.flat_map(|tile| tile.repeat(self.pixels)).collect();
        let step = self.step.of::<T>();
        step.backward(&self.pass(pass, &each), x, grad, wanted, kept, gradient);
    }
}
