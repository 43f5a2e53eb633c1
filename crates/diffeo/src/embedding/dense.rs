//! A few numbers that a network makes of many: `e = net(c)`, or, where the context consists of members whose order says nothing, `e = mean_k net(c_k)`.
//!
//! Reference: Radev, Mertens, Voss, Ardizzone, Köthe. *BayesFlow: Learning Complex Stochastic Models With Invertible Neural Networks*. IEEE TNNLS 2022, arXiv:2003.06281
//! (summary networks); Zaheer et al. *Deep Sets*. NeurIPS 2017, theorem 2, arXiv:1703.06114 (members in any order).

use burn::tensor::Tensor;
use diffeo_kernels::{Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{Degrees, Network, NetworkProgram, NetworkSpec, Seen, Work};
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, Pass, Scratch, Weights};

/// An embedding of numbers, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseEmbeddingSpec {
    /// The network.
    pub network: NetworkSpec,
    /// How many numbers it makes.
    pub width: usize,
    /// Of how many members the context consists, one after another and of equal width, whose order says nothing; 1 for a context that is a whole.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub members: usize,
}

fn whole() -> usize {
    1
}

fn is_whole(members: &usize) -> bool {
    *members == 1
}

impl DenseEmbeddingSpec {
    /// Checks every range, for a context of so many numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    pub fn validate(&self, context: usize) -> Result<()> {
        let fault = |text: String| Err(Error::config(format!("embedding: {text}")));
        if context == 0 {
            return fault(
                "there is no context to embed; name its columns, or leave the embedding out".into(),
            );
        }
        if !(1..=NetworkSpec::WIDTH_MAX).contains(&self.width) {
            return fault(format!(
                "expected a width in 1..={}, found {}",
                NetworkSpec::WIDTH_MAX,
                self.width
            ));
        }
        if self.members == 0 || !context.is_multiple_of(self.members) {
            return fault(format!(
                "a context of {context} numbers is not {} members of equal width",
                self.members
            ));
        }
        self.network.validate()
    }

    /// Number of trainable numbers; `None` if it overflows.
    pub(crate) fn count(&self, context: usize) -> Option<u64> {
        self.network.count((context / self.members.max(1)) as u64, 0, self.width as u64)
    }
}

/// The same, built.
#[derive(Clone, Debug)]
pub(crate) struct DenseEmbedding {
    network: Network,
    width: usize,
    members: usize,
}

impl DenseEmbedding {
    pub(crate) fn new(spec: &DenseEmbeddingSpec, context: usize, init: &mut Init) -> Self {
        let shape = [context / spec.members, 0, spec.width];
        let network = Network::new(&spec.network, Degrees::Dense, shape, init);
        Self { network, width: spec.width, members: spec.members }
    }

    pub(crate) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }

    /// `[n, c]` to `[n, width]`.
    pub(crate) fn forward(&self, context: Tensor<2>) -> Tensor<2> {
        let ([n, c], m) = (context.dims(), self.members);
        let each = self.network.forward(context.reshape([n * m, c / m]), None);
        if m == 1 {
            return each;
        }
        let sum = each.reshape([n, m, self.width]).sum_dim(1).reshape([n, self.width]);
        sum.mul_scalar(1.0 / m as f64)
    }
}

/// The embedding over flat weights: on tiles of rows, with its backward pass.
///
/// A tile of rows of `m` members is `m` tiles of members, as it lies.
#[derive(Debug)]
pub(crate) struct DenseProgram {
    network: NetworkProgram,
    width: usize,
    members: usize,
}

/// Arrays of the tape beside the network's nodes: what the network made of each member, and an addend that it does not have.
const TAPE: usize = 2;

impl DenseProgram {
    /// The program of an embedding whose weights have these names; `None` if it has none.
    pub(crate) fn new(embedding: &DenseEmbedding, weights: &Weights<'_>) -> Option<Self> {
        let network = embedding.network.program(weights)?;
        Some(Self { network, width: embedding.width, members: embedding.members })
    }

    /// How many numbers it makes.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn load<T: Real>(&self, weights: &[T], loaded: &mut Arena<T>) {
        self.network.pack(weights, loaded);
    }

    /// The same pass over members, which have no context.
    fn of_members<'a, T>(&self, tiles: usize, weights: &'a [T]) -> Pass<'a, T> {
        let tiles = tiles * self.members;
        Pass { tiles, weights, context: &[], log_det_gradient: &[], draws: None }
    }

    /// Numbers of a tile.
    fn of_tile(&self) -> usize {
        self.width * TILE_ROWS
    }

    /// `context: [tiles, c, TILE_ROWS]` to `out: [tiles, width, TILE_ROWS]`.
    pub(crate) fn forward<T: Real>(
        &self,
        weights: &[T],
        context: &[T],
        out: &mut [T],
        (loaded, tape): (&Arena<T>, &mut Arena<T>),
    ) {
        let tiles = out.len() / self.of_tile();
        let ([each, addend], nodes) = tape.arrays::<TAPE>(self.network.inner_nodes());
        let each = each.sized(out.len() * self.members);
        let pass = self.of_members(tiles, weights);
        self.network.forward(&pass, loaded, context, each, (nodes, addend));
        let share = T::from_f64(1.0 / self.members as f64);
        let of_rows = each.chunks_exact(self.of_tile() * self.members);
        for (out, members) in out.chunks_exact_mut(self.of_tile()).zip(of_rows) {
            out.fill(T::ZERO);
            for member in members.chunks_exact(self.of_tile()) {
                out.iter_mut().zip(member).for_each(|(out, v)| *out += *v);
            }
            if self.members > 1 {
                out.iter_mut().for_each(|out| *out = *out * share);
            }
        }
    }

    /// Writes the gradient of the network's weights, given that by what [`Self::forward`] made.
    pub(crate) fn backward<T: Real>(
        &self,
        weights: &[T],
        (context, by_out): (&[T], &[T]),
        (loaded, tape): (&Arena<T>, &Arena<T>),
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        let pass = self.of_members(by_out.len() / self.of_tile(), weights);
        let len = by_out.len() * self.members;
        let Scratch { arena, linear, .. } = scratch;
        let ([by_each, more], nodes) = arena.arrays(self.network.inner_nodes());
        let (by_each, share) = (by_each.sized(len), T::from_f64(1.0 / self.members as f64));
        let of_rows = by_each.chunks_exact_mut(self.of_tile() * self.members);
        for (by_out, members) in by_out.chunks_exact(self.of_tile()).zip(of_rows) {
            for member in members.chunks_exact_mut(self.of_tile()) {
                member.iter_mut().zip(by_out).for_each(|(to, by)| *to = *by * share);
            }
        }
        let out = &tape.array(0)[..len];
        let seen = Seen { packed: loaded, x: context, out, nodes: tape.after(TAPE) };
        let work = Work { nodes, more, linear, context: None };
        self.network.backward(&pass, seen, by_each, None, work, gradient);
    }
}
