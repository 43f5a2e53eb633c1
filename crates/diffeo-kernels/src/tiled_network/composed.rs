//! What networks on tiles are made of, written with tensor primitives.

use burn::tensor::{Tensor, TensorData};

use super::filter::Tap;
use super::lanes::{GELU, VARIANCE_MIN};
use super::{READ_REACH, READ_SCALE, TiledNetwork};

/// A network's matrices by name.
pub(crate) struct Named<'a, N> {
    pub(crate) network: &'a N,
    pub(crate) flat: &'a Tensor<2>,
}

impl<N: TiledNetwork> Named<'_, N> {
    /// The matrix of a name.
    pub(crate) fn of(&self, name: &str) -> Tensor<2> {
        let mut parts = self.network.parts().iter();
        let part = parts.find(|part| part.name == name);
        let part = part.unwrap_or_else(|| panic!("there are no weights {name}"));
        self.flat.clone().narrow(1, part.place.start, part.place.len()).reshape(part.shape)
    }

    /// `x W + b` of the layer of a name.
    pub(crate) fn linear(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.of(&format!("{name}.weight"))) + self.of(&format!("{name}.bias"))
    }
}

/// `a asinh(x / a)`.
pub(crate) fn read(x: Tensor<2>) -> Tensor<2> {
    let negative = x.clone().lower_elem(0.0);
    // Not `abs`: its slope at zero is none.
    let size = x.clone().mask_where(negative.clone(), x.neg());
    let a = size.mul_scalar(1.0 / READ_SCALE).clamp_max(READ_REACH);
    let size = (a.clone() + a.square().add_scalar(1.0).sqrt()).log().mul_scalar(READ_SCALE);
    size.clone().mask_where(negative, size.neg())
}

/// Less the mean over the last axis, over the deviation.
pub(crate) fn normalise(x: Tensor<2>) -> Tensor<2> {
    let away = x.clone() - x.mean_dim(1);
    let variance = away.clone().square().mean_dim(1);
    away / variance.add_scalar(VARIANCE_MIN).sqrt()
}

pub(crate) fn gelu(x: Tensor<2>) -> Tensor<2> {
    let held = x.clone().clamp(-10.0, 10.0);
    let cubic = held.clone().square().mul_scalar(GELU[1]).add_scalar(1.0);
    x * burn::tensor::activation::sigmoid((held * cubic).mul_scalar(GELU[0]))
}

/// Attention of `[n, levels, 3 width]` to all levels, or causal, to those up to each; `[n levels, width]`.
pub(crate) fn attend(all: Tensor<3>, heads: usize, causal: bool) -> Tensor<2> {
    let [n, levels, width] = all.dims();
    let (width, size) = (width / 3, width / 3 / heads);
    let part = |which: usize| -> Tensor<4> {
        let part = all.clone().narrow(2, which * width, width);
        part.reshape([n, levels, heads, size]).swap_dims(1, 2)
    };
    let mut scores = part(0).matmul(part(1).swap_dims(2, 3)).mul_scalar(1.0 / (size as f64).sqrt());
    if causal {
        let later = (0..levels * levels).map(|i| i % levels > i / levels).collect::<Vec<bool>>();
        let later = TensorData::new(later, [1, 1, levels, levels]);
        let later = Tensor::<4, burn::tensor::Bool>::from_data(later, &all.device());
        scores = scores.mask_fill(later.expand([n, heads, levels, levels]), f64::NEG_INFINITY);
    }
    let shares = burn::tensor::activation::softmax(scores, 3);
    shares.matmul(part(2)).swap_dims(1, 2).reshape([n * levels, width])
}

/// What the taps of all pixels of `[n, height, width, c]` look at, zero beyond the border, `[n height width, taps c]`.
pub(crate) fn tapped(x: Tensor<4>, taps: &[Tap]) -> Tensor<2> {
    let [n, height, width, c] = x.dims();
    let reach = |axis: usize, side: isize| {
        let farthest = taps.iter().map(|tap| side * tap[axis]).max().unwrap_or(0);
        usize::try_from(farthest).unwrap_or(0)
    };
    let border = |shape: [usize; 4]| Tensor::<4>::zeros(shape, (&x.device(), x.dtype()));
    let [above, below] = [-1, 1].map(|side| border([n, reach(0, side), width, c]));
    let tall = joined(vec![above.clone(), x.clone(), below.clone()], 1);
    let lines = tall.dims()[1];
    let [before, behind] = [-1, 1].map(|side| border([n, lines, reach(1, side), c]));
    let wide = joined(vec![before.clone(), tall, behind], 2);
    let [top, left] = [above.dims()[1], before.dims()[2]];
    let part = |tap: &Tap| {
        let [line, at] = [top.strict_add_signed(tap[0]), left.strict_add_signed(tap[1])];
        wide.clone().narrow(1, line, height).narrow(2, at, width)
    };
    Tensor::cat(taps.iter().map(part).collect(), 3).reshape([n * height * width, taps.len() * c])
}

/// Those that have elements, side by side.
fn joined(parts: Vec<Tensor<4>>, axis: usize) -> Tensor<4> {
    Tensor::cat(parts.into_iter().filter(|part| part.dims()[axis] > 0).collect(), axis)
}
