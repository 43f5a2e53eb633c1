//! The networks written with tensor primitives.

use burn::tensor::{Tensor, TensorData};

use super::lanes::{GELU, VARIANCE_MIN};
use super::{READ_REACH, READ_SCALE, Recurrent, SequenceNetwork, SequenceShape, Transformer};

/// A network's matrices by name.
struct Named<'a, N> {
    network: &'a N,
    flat: &'a Tensor<2>,
}

impl<N: SequenceNetwork> Named<'_, N> {
    /// The matrix of a name.
    fn of(&self, name: &str) -> Tensor<2> {
        let mut parts = self.network.parts().iter();
        let part = parts.find(|part| part.name == name);
        let part = part.unwrap_or_else(|| panic!("there are no weights {name}"));
        self.flat.clone().narrow(1, part.place.start, part.place.len()).reshape(part.shape)
    }

    /// `x W + b` of the layer of a name.
    fn linear(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.of(&format!("{name}.weight"))) + self.of(&format!("{name}.bias"))
    }

    /// What level 0 starts from, `[n, width]`.
    fn start(&self, rows: usize, context: Option<&Tensor<2>>) -> Tensor<2> {
        let start = self.of("start");
        match context {
            Some(context) => read(context.clone()).matmul(self.of("context")) + start,
            None => {
                let width = start.dims()[1];
                start.expand([rows, width])
            }
        }
    }

    /// What the other levels start from, `[n, levels - 1, width]`.
    fn tokens(&self, x: &Tensor<2>) -> Tensor<3> {
        let SequenceShape { group, .. } = *self.network.shape();
        let (n, read_columns) = (x.dims()[0], self.network.shape().read());
        let (embedding, position) = (self.of("embedding"), self.of("position"));
        let [levels, width] = position.dims();
        let columns = read(x.clone().narrow(1, 0, read_columns)).reshape([n, levels, group]);
        let columns: Tensor<3> = columns.swap_dims(0, 1);
        let kinds = embedding.dims()[0] / group;
        let embedding = embedding.reshape([kinds, group, width]).expand([levels, group, width]);
        let tokens = columns.matmul(embedding);
        tokens.swap_dims(0, 1) + position.reshape([1, levels, width])
    }

    /// The parameters of all levels, of what these end with, `[n, width]` each.
    fn leave(&self, ends: Vec<Tensor<2>>) -> Tensor<2> {
        let (weight, bias, shape) =
            (self.of("head.weight"), self.of("head.bias"), self.network.shape());
        let of = |(level, end): (usize, Tensor<2>)| {
            let outputs = shape.head(level);
            let part = |t: &Tensor<2>| t.clone().narrow(1, outputs.start, outputs.len());
            end.matmul(part(&weight)) + part(&bias)
        };
        Tensor::cat(ends.into_iter().enumerate().map(of).collect(), 1)
    }
}

/// `a asinh(x / a)`.
fn read(x: Tensor<2>) -> Tensor<2> {
    let negative = x.clone().lower_elem(0.0);
    // Not `abs`: its slope at zero is none.
    let size = x.clone().mask_where(negative.clone(), x.neg());
    let a = size.mul_scalar(1.0 / READ_SCALE).clamp_max(READ_REACH);
    let size = (a.clone() + a.square().add_scalar(1.0).sqrt()).log().mul_scalar(READ_SCALE);
    size.clone().mask_where(negative, size.neg())
}

/// Less the mean over the last axis, over the deviation.
fn normalise(x: Tensor<2>) -> Tensor<2> {
    let away = x.clone() - x.mean_dim(1);
    let variance = away.clone().square().mean_dim(1);
    away / variance.add_scalar(VARIANCE_MIN).sqrt()
}

fn gelu(x: Tensor<2>) -> Tensor<2> {
    let held = x.clone().clamp(-10.0, 10.0);
    let cubic = held.clone().square().mul_scalar(GELU[1]).add_scalar(1.0);
    x * burn::tensor::activation::sigmoid((held * cubic).mul_scalar(GELU[0]))
}

/// Causal attention of `[n, levels, 3 width]`, `[n levels, width]`.
fn attend(all: Tensor<3>, heads: usize) -> Tensor<2> {
    let [n, levels, width] = all.dims();
    let (width, size) = (width / 3, width / 3 / heads);
    let part = |which: usize| -> Tensor<4> {
        let part = all.clone().narrow(2, which * width, width);
        part.reshape([n, levels, heads, size]).swap_dims(1, 2)
    };
    let scores = part(0).matmul(part(1).swap_dims(2, 3)).mul_scalar(1.0 / (size as f64).sqrt());
    let later = (0..levels * levels).map(|i| i % levels > i / levels).collect::<Vec<bool>>();
    let later = TensorData::new(later, [1, 1, levels, levels]);
    let later = Tensor::<4, burn::tensor::Bool>::from_data(later, &all.device());
    let scores = scores.mask_fill(later.expand([n, heads, levels, levels]), f64::NEG_INFINITY);
    let shares = burn::tensor::activation::softmax(scores, 3);
    shares.matmul(part(2)).swap_dims(1, 2).reshape([n * levels, width])
}

pub(super) fn transformer(
    network: &Transformer,
    x: Tensor<2>,
    weights: &Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    let named = Named { network, flat: weights };
    let ([width, heads, _, blocks], levels) = (network.sizes(), network.shape().levels());
    let n = x.dims()[0];
    let mut tokens: Vec<Tensor<3>> = vec![named.start(n, context).reshape([n, 1, width])];
    if levels > 1 {
        tokens.push(named.tokens(&x));
    }
    let mut h: Tensor<2> = Tensor::cat(tokens, 1).reshape([n * levels, width]);
    for i in 0..blocks {
        let all = named.linear(&format!("block.{i}.attention"), normalise(h.clone()));
        let mixed = attend(all.reshape([n, levels, 3 * width]), heads);
        h = h + named.linear(&format!("block.{i}.out"), mixed);
        let hidden = gelu(named.linear(&format!("block.{i}.up"), normalise(h.clone())));
        h = h + named.linear(&format!("block.{i}.down"), hidden);
    }
    let h: Tensor<3> = normalise(h).reshape([n, levels, width]);
    let end = |level: usize| h.clone().narrow(1, level, 1).reshape([n, width]);
    named.leave((0..levels).map(end).collect())
}

pub(super) fn recurrent(
    network: &Recurrent,
    x: Tensor<2>,
    weights: &Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    use burn::tensor::activation::sigmoid;
    let named = Named { network, flat: weights };
    let (width, levels, n) = (network.width(), network.shape().levels(), x.dims()[0]);
    let mut states = vec![named.start(n, context).tanh()];
    let tokens = (levels > 1).then(|| named.tokens(&x));
    for (level, tokens) in tokens.iter().flat_map(|t| (1..levels).map(move |level| (level, t))) {
        let before = states[level - 1].clone();
        let input: Tensor<2> = tokens.clone().narrow(1, level - 1, 1).reshape([n, 3 * width]);
        let product = named.linear("step", before.clone());
        let part = |t: &Tensor<2>, which: usize| t.clone().narrow(1, which * width, width);
        let update = sigmoid(part(&input, 0) + part(&product, 0));
        let reset = sigmoid(part(&input, 1) + part(&product, 1));
        let candidate = (part(&input, 2) + reset * part(&product, 2)).tanh();
        states.push(candidate.clone() + update * (before - candidate));
    }
    named.leave(states)
}
