//! The network written with tensor primitives.

use burn::tensor::Tensor;

use super::{ConvolutionShape, Convolutional, GivenImage};
use crate::TiledNetwork;
use crate::tiled_network::composed::{Named, attend, gelu, normalise, read, tapped};
use crate::tiled_network::filter::window;

/// What each pixel sees of contexts, `[n, pixels, seen]`.
fn seen(shape: &ConvolutionShape, context: Tensor<2>) -> Tensor<3> {
    let ([n, all], [_, rest]) = (context.dims(), shape.seen());
    let shared = || {
        let shared = context.clone().narrow(1, all - rest, rest).reshape([n, 1, rest]);
        shared.repeat_dim(1, shape.pixels())
    };
    let Some(GivenImage { factor, channels }) = shape.given else { return shared() };
    let lines = [n, shape.height, factor, shape.width, factor * channels];
    let squares = context.clone().narrow(1, 0, all - rest).reshape(lines).swap_dims(2, 3);
    let squares = squares.reshape([n, shape.pixels(), factor * factor * channels]);
    if rest == 0 { squares } else { Tensor::cat(vec![squares, shared()], 2) }
}

pub(super) fn convolutional(
    network: &Convolutional,
    x: Tensor<2>,
    weights: &Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    let named = Named { network, flat: weights };
    let (shape, [width, blocks, heads]) = (*network.shape(), network.sizes());
    let (n, pixels) = (x.dims()[0], shape.height * shape.width);
    let image = |h: Tensor<2>| {
        let c = h.dims()[1] * h.dims()[0] / (n * pixels);
        tapped(h.reshape([n, shape.height, shape.width, c]), &window())
    };
    let x = read(x).reshape([n * pixels, shape.inputs]);
    let start = named.linear("entry", image(x)).reshape([n, pixels, width]);
    let mut start = start + named.of("position").reshape([1, pixels, width]);
    if let Some(context) = context {
        let seen = seen(network.shape(), read(context.clone()));
        let units = seen.dims()[2];
        let part = seen.reshape([n * pixels, units]).matmul(named.of("context"));
        start = start + part.reshape([n, pixels, width]);
    }
    let mut h: Tensor<2> = start.reshape([n * pixels, width]);
    for i in 0..blocks {
        let hidden = gelu(named.linear(&format!("block.{i}.filter"), image(normalise(h.clone()))));
        let both = named.linear(&format!("block.{i}.gate"), hidden);
        let gate = burn::tensor::activation::sigmoid(both.clone().narrow(1, width, width));
        h = h + both.narrow(1, 0, width) * gate;
        if heads > 0 {
            let all = named.linear(&format!("block.{i}.attention"), normalise(h.clone()));
            let mixed = attend(all.reshape([n, pixels, 3 * width]), heads, false);
            h = h + named.linear(&format!("block.{i}.out"), mixed);
        }
    }
    named.linear("head", normalise(h)).reshape([n, network.widths().outputs])
}
