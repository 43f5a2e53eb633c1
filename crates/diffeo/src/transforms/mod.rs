//! The bijections, one a file: what a file says of it, the map, and how it runs on the CPU without tensors.
//!
//! A new one is a file like these and a line in [`LayerSpec`].

mod actnorm;
mod autoregressive;
mod block_autoregressive;
mod cells;
mod chain;
mod cholesky;
mod conditional;
mod continuous;
mod coupling;
mod dequantise;
mod describe;
mod difference;
mod elementwise;
mod guidance;
mod histogram;
mod householder;
mod inverted;
mod linear;
mod orthogonal;
mod own;
mod permutation;
mod pixelwise;
mod planar;
mod plu;
mod qr;
mod radial;
mod residual;
mod split;
mod squeeze;
mod svd;
mod sylvester;

pub use describe::Describe;
pub(crate) use guidance::guide;
pub(crate) use permutation::indices;

use burn::tensor::Tensor;

use crate::catalog::catalog;
pub use crate::place::Place;

catalog! {
    /// Every bijection that a file can name, described.
    pub enum LayerSpec: Describe {
        chain::Chain(ChainSpec),
        inverted::Inverted(InvertedSpec),
        permutation::Permutation(PermutationSpec),
        squeeze::Squeeze(SqueezeSpec),
        split::Split(SplitSpec),
        pixelwise::Pixelwise(PixelwiseSpec),
        dequantise::Dequantise(DequantiseSpec),
        difference::Difference(DifferenceSpec),
        histogram::Histogram(HistogramSpec),
        plu::Plu(PluSpec),
        cholesky::Cholesky(CholeskySpec),
        householder::Householder(HouseholderSpec),
        orthogonal::Orthogonal(OrthogonalSpec),
        qr::Qr(QrSpec),
        svd::Svd(SvdSpec),
        planar::Planar(PlanarSpec),
        radial::Radial(RadialSpec),
        sylvester::Sylvester(SylvesterSpec),
        residual::Residual(ResidualSpec),
        actnorm::ActNorm(ActNormSpec),
        elementwise::Elementwise(ElementwiseSpec),
        coupling::Coupling(CouplingSpec),
        autoregressive::Autoregressive(AutoregressiveSpec),
        conditional::Conditional(ConditionalSpec),
        block_autoregressive::BlockAutoregressive(BlockAutoregressiveSpec),
        continuous::Continuous(ContinuousSpec),
        own::Own(Own),
    }
}

/// A log-determinant of zero for each row of `x`.
pub(crate) fn no_log_det(x: &Tensor<2>) -> Tensor<1> {
    let device = x.device();
    let dtype = diffeo_kernels::ops::sum_dtype(&device);
    Tensor::zeros([x.dims()[0]], (&device, dtype))
}
