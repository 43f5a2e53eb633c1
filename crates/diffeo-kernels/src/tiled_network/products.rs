//! The matrix products of a network, with a bias each.

use std::ops::Range;

use super::NetworkWeights;
use super::lanes::add;
use crate::{Activation, Aligned, LinearScratch, Real, Staircase, TiledLinear, pack_weight};

/// A dense layer: which of the flat weights are its matrix and its bias.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) staircase: Staircase,
    /// The matrix, row after row; of a layer whose columns are some of a wider matrix, from its first element on.
    weight: Range<usize>,
    bias: Range<usize>,
    /// Columns of the matrix that the layer's are some of.
    stride: usize,
    /// Which of the packed arrays is its.
    packed: usize,
}

/// Arrays that the gradients of products need.
#[derive(Debug, Default)]
pub(crate) struct Scratch<T> {
    product: Aligned<T>,
    unread: Aligned<T>,
    linear: LinearScratch<T>,
}

impl Layer {
    /// A layer whose matrix lies by itself; `layers` counts those of the network.
    pub(crate) fn new(
        shape: [usize; 2],
        weight: Range<usize>,
        bias: Range<usize>,
        layers: &mut usize,
    ) -> Self {
        Self::among(shape, (weight, shape[1]), bias, layers)
    }

    /// A layer whose columns are neighbours in a matrix of `stride` columns.
    pub(crate) fn among(
        [inputs, outputs]: [usize; 2],
        (weight, stride): (Range<usize>, usize),
        bias: Range<usize>,
        layers: &mut usize,
    ) -> Self {
        *layers += 1;
        let staircase = Staircase::dense(inputs, outputs);
        Self { staircase, weight, bias, stride, packed: *layers - 1 }
    }

    /// The same matrix with another bias.
    pub(crate) fn with_bias(&self, bias: Range<usize>) -> Self {
        Self { bias, ..self.clone() }
    }

    fn shape(&self) -> [usize; 2] {
        [self.staircase.inputs(), self.staircase.outputs()]
    }

    /// Writes the matrix in the order in which products read it.
    pub(crate) fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        let ([inputs, outputs], packed) = (self.shape(), &mut packed[self.packed]);
        let weight = &flat[self.weight.clone()];
        if self.stride == outputs {
            return pack_weight(&weight[..inputs * outputs], &self.staircase, packed);
        }
        let rows = weight.chunks(self.stride).flat_map(|row| &row[..outputs]);
        pack_weight(&rows.copied().collect::<Vec<T>>(), &self.staircase, packed);
    }

    fn product<'a, T: Real>(&'a self, weights: NetworkWeights<'a, T>) -> TiledLinear<'a, T> {
        TiledLinear {
            packed: &weights.packed[self.packed],
            bias: &weights.flat[self.bias.clone()],
            staircase: &self.staircase,
            activation: Activation::None,
            input: Activation::None,
        }
    }

    /// `out = x W + b + addend`.
    pub(crate) fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        addend: Option<&[T]>,
        out: &mut [T],
    ) {
        self.product(weights).forward(x, addend, out);
    }

    /// Writes the gradient by the input.
    pub(crate) fn backward_of_input<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        grad: &[T],
        by_x: &mut [T],
    ) {
        self.product(weights).backward_of_input(x, grad, by_x);
    }

    /// Adds the gradient by weight and bias to that by the flat weights.
    pub(crate) fn backward_of_weights<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        grad: &mut [T],
        scratch: &mut Scratch<T>,
        to: &mut [T],
    ) {
        let (product, [inputs, outputs]) = (self.product(weights), self.shape());
        let Scratch { product: found, unread, linear } = scratch;
        let (matrix, bias) = found.sized((inputs + 1) * outputs).split_at_mut(inputs * outputs);
        let unread = unread.sized(grad.len());
        product.backward_of_weights(x, unread, grad, (&mut *matrix, &mut *bias), linear);
        add(bias, &mut to[self.bias.clone()]);
        let to = &mut to[self.weight.clone()];
        if self.stride == outputs {
            return add(matrix, to);
        }
        for (from, to) in matrix.chunks_exact(outputs).zip(to.chunks_mut(self.stride)) {
            add(from, &mut to[..outputs]);
        }
    }

    /// Both, or that by the input alone if there is nothing that the other could be added to.
    pub(crate) fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        (grad, by_x): (&mut [T], &mut [T]),
        scratch: &mut Scratch<T>,
        to: &mut [T],
    ) {
        if !to.is_empty() {
            self.backward_of_weights(weights, x, grad, scratch, to);
        }
        self.backward_of_input(weights, x, grad, by_x);
    }
}
