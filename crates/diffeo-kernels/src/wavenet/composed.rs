//! The network written with tensor primitives.

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Tensor, TensorData};

use super::lanes::STEEP;
use super::{Frames, SAMPLE_MAX, WaveNet};
use crate::TiledNetwork;
use crate::tiled_network::composed::{Named, gelu, read, tapped};

/// Which share of which frame each place of a line sees, `[places, frames]`.
fn shares(frames: &Frames, places: usize, like: &Tensor<2>) -> Tensor<2> {
    let mut shares = vec![0.0; places * frames.count];
    for (at, line) in shares.chunks_exact_mut(frames.count).enumerate() {
        let (around, share) = frames.around(at);
        line[around[0]] += 1.0 - share;
        line[around[1]] += share;
    }
    let data = TensorData::new(shares, [places, frames.count]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

pub(super) fn wavenet(
    network: &WaveNet,
    x: Tensor<2>,
    weights: &Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    let named = Named { network, flat: weights };
    let (grid, width, (first, taps)) = (network.grid(), network.width, network.shape.taps());
    let (n, all) = (x.dims()[0], x.dims()[0] * grid.pixels());
    let image = |h: Tensor<2>| {
        let units = h.dims()[1];
        h.reshape([n, grid.height, grid.width, units])
    };
    let inside = x.clone().abs().lower_equal_elem(SAMPLE_MAX);
    let cut = x.clone().detach().clamp(-SAMPLE_MAX, SAMPLE_MAX);
    let x = cut.mask_where(inside, x).reshape([all, 1]);
    let negative = x.clone().lower_elem(0.0);
    let a = x.clone().mask_where(negative.clone(), x.clone().neg()).mul_scalar(STEEP);
    let size = (a.clone() + a.square().add_scalar(1.0).sqrt()).log();
    let quiet = size.clone().mask_where(negative, size.neg()).mul_scalar(1.0 / STEEP.asinh());
    let seen = tapped(image(Tensor::cat(vec![x, quiet], 1)), &first);
    let mut h = named.linear("entry", seen.clone());
    let units = context.map(|context| {
        let frames = network.shape.frames.expect("a context has frames");
        let given = read(context.clone()).reshape([n * frames.count, frames.numbers]);
        (gelu(named.linear("frames", given)), shares(&frames, grid.width, context))
    });
    let mut sum = Tensor::<2>::zeros([all, width], (&h.device(), h.dtype()));
    for (l, taps) in taps.iter().enumerate() {
        let mut both = named.linear(&format!("layer.{l}.filter"), tapped(image(h.clone()), taps));
        if let Some((units, shares)) = &units {
            let [places, count] = shares.dims();
            let gates = named.linear(&format!("layer.{l}.frames"), units.clone());
            let gates: Tensor<3> = gates.reshape([n, count, 2 * width]);
            let line = shares.clone().reshape([1, places, count]).matmul(gates);
            let line: Tensor<4> = line.reshape([n, 1, places, 2 * width]);
            let line = line.repeat_dim(1, grid.height);
            both = both + line.reshape([all, 2 * width]);
        }
        let gate = sigmoid(both.clone().narrow(1, width, width));
        let made = named.linear(&format!("layer.{l}.out"), both.narrow(1, 0, width).tanh() * gate);
        sum = sum + made.clone().narrow(1, 0, width);
        if made.dims()[1] > width {
            h = h + made.narrow(1, width, width);
        }
    }
    let hidden = relu(named.linear("hidden", relu(sum)));
    let out = named.linear("head", hidden) + seen.matmul(named.of("direct"));
    out.reshape([n, network.widths().outputs])
}
