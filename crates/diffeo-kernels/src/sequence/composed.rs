//! The networks written with tensor primitives.

use burn::tensor::Tensor;

use super::{Recurrent, SequenceNetwork, SequenceShape, Transformer};
use crate::tiled_network::composed::{Named, attend, gelu, normalise, read};

impl<N: SequenceNetwork> Named<'_, N> {
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
        let mixed = attend(all.reshape([n, levels, 3 * width]), heads, true);
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
