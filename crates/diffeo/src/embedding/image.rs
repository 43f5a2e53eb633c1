//! What a network sees in an image: some numbers for each square of two by two pixels.
//!
//! All layers of a model of images ask the same of an image that they are given, what moves where, say; it is found once, by a deeper network than each of them has.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use diffeo_kernels::{ConvolutionShape, Convolutional, Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use crate::conditioner::{AnyTiledProgram, Conditioner, ConvolutionalSpec, Structure, Tiled};
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, ContextGradient, Pass, Weights, gather, scatter};
use crate::transform::Given;
use crate::transforms::{SqueezeSpec, indices};

/// An embedding of the image that a context starts with, described. What is behind the image stays as it is, and is seen by the network, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEmbeddingSpec {
    /// Lines of the image.
    pub height: usize,
    /// Pixels of a line.
    pub across: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// Units of a square of the network: [`Convolutional`], without attention.
    pub width: usize,
    /// Its blocks.
    pub blocks: usize,
    /// Numbers that come out for a square.
    pub features: usize,
}

impl ImageEmbeddingSpec {
    fn squares(&self) -> usize {
        (self.height / 2).saturating_mul(self.across / 2)
    }

    fn squeeze(&self) -> SqueezeSpec {
        let Self { height, across, channels, .. } = *self;
        SqueezeSpec { height, width: across, channels }
    }

    fn numbers(&self) -> usize {
        self.height.saturating_mul(self.across).saturating_mul(self.channels)
    }

    /// How many numbers there are in place of a context of so many.
    pub(super) fn seen(&self, context: usize) -> usize {
        let features = self.squares().saturating_mul(self.features);
        features.saturating_add(context.saturating_sub(self.numbers()))
    }

    pub(super) fn validate(&self, context: usize) -> Result<()> {
        let Self { height, across, channels, width, blocks, features } = *self;
        let is_even = height.is_multiple_of(2) && across.is_multiple_of(2);
        if !is_even || self.numbers() == 0 || self.numbers() > context {
            return Err(Error::config(format!(
                "embedding: expected an image of even sides in a context of {context} numbers, found {height} x {across} pixels of {channels}"
            )));
        }
        let limits = [
            ("width", width, ConvolutionalSpec::WIDTH_MAX),
            ("blocks", blocks, ConvolutionalSpec::BLOCKS_MAX),
            ("features", features, ConvolutionalSpec::WIDTH_MAX),
        ];
        for (name, found, most) in limits {
            if !(1..=most).contains(&found) {
                return Err(Error::config(format!(
                    "embedding: expected {name} in 1..={most}, found {found}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, context: usize) -> Option<u64> {
        let (w, pixels) = (self.width as u64, self.squares() as u64);
        let inputs = (self.channels as u64).checked_mul(4 * 9)?;
        let rest = context.checked_sub(self.numbers())? as u64;
        let entry = inputs.checked_add(1 + pixels + rest)?.checked_mul(w)?;
        let block = w.checked_mul(w)?.checked_mul(11)?.checked_add(3 * w)?;
        let head = (self.features as u64).checked_mul(w + 1)?;
        entry.checked_add(block.checked_mul(self.blocks as u64)?)?.checked_add(head)
    }

    /// Multiplications that a row takes, about.
    pub(super) fn work(&self, context: usize) -> Option<u64> {
        self.count(context)?.checked_mul(self.squares() as u64)
    }
}

/// The same, built.
#[derive(Clone, Debug)]
pub(crate) struct ImageEmbedding {
    network: Tiled<Convolutional>,
    /// The numbers of the image, square by square.
    order: Vec<usize>,
    of_order: Tensor<1, Int>,
}

impl ImageEmbedding {
    pub(super) fn new(spec: &ImageEmbeddingSpec, context: usize, init: &mut Init) -> Result<Self> {
        let ImageEmbeddingSpec { height, across, channels, width, blocks, features } = *spec;
        let shape = ConvolutionShape {
            height: height / 2,
            width: across / 2,
            inputs: 4 * channels,
            context: context - spec.numbers(),
            given: None,
            outputs: features,
        };
        let network = Convolutional::new(shape, [width, blocks, 0]);
        let structure = Structure::new(spec.numbers(), None, None, vec![spec.numbers()])?;
        let order = spec.squeeze().order();
        let of_order = indices(&order, &init.device);
        Ok(Self { network: Tiled::new(network, structure, init), order, of_order })
    }

    pub(super) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }

    pub(super) fn forward(&self, context: Tensor<2>) -> Result<Tensor<2>> {
        let ([_, all], numbers) = (context.dims(), self.order.len());
        let squares = context.clone().select(1, self.of_order.clone());
        if all == numbers {
            return self.network.parameters(squares, &Given::default());
        }
        let rest = context.narrow(1, numbers, all - numbers);
        let features = self.network.parameters(squares, &Given::context(Some(&rest)))?;
        Ok(Tensor::cat(vec![features, rest], 1))
    }
}

/// The embedding over flat weights.
#[derive(Debug)]
pub(crate) struct ImageProgram {
    network: Arc<dyn AnyTiledProgram>,
    order: Vec<usize>,
    context: usize,
    features: usize,
}

/// Arrays of the tape beside those of the network: the image, what is behind it, and the features, which become their gradient.
const TAPE: usize = 3;

impl ImageProgram {
    pub(super) fn new(
        embedding: &ImageEmbedding,
        [context, seen]: [usize; 2],
        weights: &Weights<'_>,
    ) -> Option<Self> {
        let network = embedding.network.program(weights)?;
        let order = embedding.order.clone();
        let features = seen - (context - order.len());
        Some(Self { network, order, context, features })
    }

    fn rest(&self) -> Vec<usize> {
        (self.order.len()..self.context).collect()
    }

    /// How many numbers come out.
    pub(super) fn width(&self) -> usize {
        self.features + self.context - self.order.len()
    }

    pub(super) fn load<T: Real>(&self, weights: &[T], loaded: &mut Arena<T>) {
        self.network.of::<T>().load(weights, loaded);
    }

    pub(super) fn forward<T: Real>(
        &self,
        weights: &[T],
        context: &[T],
        out: &mut [T],
        (loaded, tape): (&Arena<T>, &mut Arena<T>),
    ) {
        let tiles = out.len() / (self.width() * TILE_ROWS);
        let (network, rest_of) = (self.network.of::<T>(), self.rest());
        let ([x, rest, features], nodes) = tape.arrays::<TAPE>(network.nodes(tiles));
        let of = |width: usize| tiles * width * TILE_ROWS;
        let (x, rest) = (x.sized(of(self.order.len())), rest.sized(of(rest_of.len())));
        gather(context, self.context, &self.order, x);
        gather(context, self.context, &rest_of, rest);
        let features = features.sized(of(self.features));
        let pass = Pass { tiles, weights, context: rest, log_det_gradient: &[], draws: None };
        network.forward(&pass, loaded, x, features, nodes);
        let places: Vec<usize> = (0..self.width()).collect();
        let (first, behind) = places.split_at(self.features);
        scatter(features, first, out, self.width());
        scatter(rest, behind, out, self.width());
    }

    pub(super) fn backward<T: Real>(
        &self,
        weights: &[T],
        by_out: &[T],
        (loaded, tape): (&Arena<T>, &mut Arena<T>),
        gradient: &mut [T],
    ) {
        let tiles = by_out.len() / (self.width() * TILE_ROWS);
        let network = self.network.of::<T>();
        let ([x, rest, features], nodes) = tape.arrays::<TAPE>(network.nodes(tiles));
        let of = |width: usize| tiles * width * TILE_ROWS;
        let by = features.sized(of(self.features));
        gather(by_out, self.width(), &(0..self.features).collect::<Vec<_>>(), by);
        let rest = &rest[..of(self.context - self.order.len())];
        let pass = Pass { tiles, weights, context: rest, log_det_gradient: &[], draws: None };
        let given = (&x[..of(self.order.len())], &mut *by, nodes);
        let to = (None, &mut ContextGradient::default());
        network.backward(&pass, loaded, given, to, gradient);
    }
}
