//! What a network sees in an image: some numbers for each square of two by two pixels.
//!
//! All layers of a model of images ask the same of an image that they are given, what moves where, say; it is found once, by a deeper network than each of them has.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use diffeo_kernels::{Aligned, ConvolutionShape, Convolutional, Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use crate::conditioner::{AnyTiledProgram, Conditioner, ConvolutionalSpec, Structure, Tiled};
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, ContextGradient, Pass, Weights, gather, scatter};
use crate::transform::Given;
use crate::transforms::{SqueezeSpec, indices};

use super::motion::{Motion, MotionSpec};

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
    /// Numbers of a square that the network gives out.
    pub features: usize,
    /// The motion of the frames that the image consists of. What it foretells is seen by the network, and stands behind its numbers of each square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion: Option<MotionSpec>,
}

impl ImageEmbeddingSpec {
    fn squares(&self) -> usize {
        (self.height / 2).saturating_mul(self.across / 2)
    }

    /// The order in which an image of so many numbers a pixel is seen square by square.
    fn squeezed(&self, channels: usize) -> Vec<usize> {
        SqueezeSpec { height: self.height, width: self.across, channels }.order()
    }

    fn numbers(&self) -> usize {
        self.height.saturating_mul(self.across).saturating_mul(self.channels)
    }

    /// Numbers of a square that its motion foretells.
    fn foretold(&self) -> usize {
        self.motion.map_or(0, |motion| motion.channels.saturating_mul(4))
    }

    /// Numbers of a square that the network sees.
    fn inputs(&self) -> usize {
        let costs = if self.motion.is_some() { 4 } else { 0 };
        self.channels.saturating_mul(4).saturating_add(self.foretold() + costs)
    }

    /// Numbers that come out for a square.
    pub(crate) fn of_square(&self) -> usize {
        self.features.saturating_add(self.foretold())
    }

    /// How many numbers there are in place of a context of so many.
    pub(super) fn seen(&self, context: usize) -> usize {
        let features = self.squares().saturating_mul(self.of_square());
        features.saturating_add(context.saturating_sub(self.numbers()))
    }

    pub(super) fn validate(&self, context: usize) -> Result<()> {
        let Self { height, across, channels, width, blocks, features, motion } = *self;
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
        motion.map_or(Ok(()), |motion| motion.validate(channels))
    }

    pub(super) fn count(&self, context: usize) -> Option<u64> {
        let (w, pixels) = (self.width as u64, self.squares() as u64);
        let inputs = (self.inputs() as u64).checked_mul(9)?;
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

/// Where numbers lie.
#[derive(Clone, Debug)]
struct Layout {
    motion: Option<Motion>,
    squares: usize,
    /// Numbers of a context, and of those the image's.
    context: [usize; 2],
    /// What the network sees, square by square: numbers of the image, then of what was found in it.
    order: Vec<usize>,
    /// What was foretold, square by square, among the same.
    foretold: Vec<usize>,
    /// Where the network's numbers, what was foretold, and what is behind the image come out.
    out: [Vec<usize>; 3],
}

impl Layout {
    fn new(spec: &ImageEmbeddingSpec, context: usize) -> Self {
        let ImageEmbeddingSpec { height, across, channels, features, motion, .. } = *spec;
        let (numbers, pixels) = (spec.numbers(), height * across);
        let motion = motion.map(|spec| Motion { spec, height, across, given: channels });
        let behind =
            |at: usize, order: Vec<usize>| order.into_iter().map(move |i| at + i).collect();
        let (foretold, costs): (Vec<usize>, Vec<usize>) = match &motion {
            None => (vec![], vec![]),
            Some(Motion { spec: MotionSpec { channels, .. }, .. }) => (
                behind(numbers, spec.squeezed(*channels)),
                behind(numbers + pixels * channels, spec.squeezed(1)),
            ),
        };
        let image = spec.squeezed(channels);
        let squares = spec.squares();
        let of_square = |i: usize| {
            let parts = [&image, &foretold, &costs];
            parts.into_iter().flat_map(move |part| {
                let len = part.len() / squares;
                part[i * len..(i + 1) * len].iter().copied()
            })
        };
        let order = (0..squares).flat_map(of_square).collect();
        let (wide, end) = (spec.of_square(), squares * spec.of_square());
        let (of_network, of_motion) = (0..end).partition(|i| i % wide < features);
        let rest = (end..end + context - numbers).collect();
        let out = [of_network, of_motion, rest];
        Self { motion, squares, context: [context, numbers], order, foretold, out }
    }

    /// Numbers that are found in an image.
    fn found(&self) -> usize {
        self.motion.map_or(0, |motion| motion.found())
    }

    fn rest(&self) -> Vec<usize> {
        let [context, numbers] = self.context;
        (numbers..context).collect()
    }

    /// How many numbers come out.
    fn width(&self) -> usize {
        self.out.iter().map(Vec::len).sum()
    }

    /// The image, and what is found in it, of tiles of contexts.
    fn images<T: Real>(&self, context: &[T], seen: &mut Aligned<T>) -> usize {
        let [width, numbers] = self.context;
        let (before, after) = (width * TILE_ROWS, (numbers + self.found()) * TILE_ROWS);
        let seen = seen.sized(context.len() / before * after);
        let mut found = vec![T::ZERO; self.found()];
        for (context, seen) in context.chunks_exact(before).zip(seen.chunks_exact_mut(after)) {
            let (image, behind) = seen.split_at_mut(numbers * TILE_ROWS);
            image.copy_from_slice(&context[..numbers * TILE_ROWS]);
            let Some(motion) = self.motion else { continue };
            for row in 0..TILE_ROWS {
                motion.find(|i| image[i * TILE_ROWS + row], &mut found);
                let to = behind.iter_mut().skip(row).step_by(TILE_ROWS);
                to.zip(&found).for_each(|(to, found)| *to = *found);
            }
        }
        numbers + self.found()
    }
}

/// The same, built.
#[derive(Clone, Debug)]
pub(crate) struct ImageEmbedding {
    network: Tiled<Convolutional>,
    layout: Arc<Layout>,
    order: Tensor<1, Int>,
    foretold: Option<Tensor<1, Int>>,
}

impl ImageEmbedding {
    pub(super) fn new(spec: &ImageEmbeddingSpec, context: usize, init: &mut Init) -> Result<Self> {
        let ImageEmbeddingSpec { height, across, width, blocks, features, .. } = *spec;
        let shape = ConvolutionShape {
            height: height / 2,
            width: across / 2,
            inputs: spec.inputs(),
            context: context - spec.numbers(),
            given: None,
            outputs: features,
        };
        let network = Convolutional::new(shape, [width, blocks, 0]);
        let inputs = spec.squares() * spec.inputs();
        let structure = Structure::new(inputs, None, None, vec![inputs])?;
        let network = Tiled::new(network, structure, init);
        let layout = Arc::new(Layout::new(spec, context));
        let order = indices(&layout.order, &init.device);
        let foretold = spec.motion.map(|_| indices(&layout.foretold, &init.device));
        Ok(Self { network, layout, order, foretold })
    }

    pub(super) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }

    /// The image, and what is found in it.
    fn images(&self, context: &Tensor<2>) -> Result<Tensor<2>> {
        let ([n, width], [_, numbers]) = (context.dims(), self.layout.context);
        let image = context.clone().narrow(1, 0, numbers);
        let (Some(motion), 1..) = (self.layout.motion, n) else { return Ok(image) };
        let values = host_values(context.clone().detach())?;
        let mut found = vec![0.0; n * motion.found()];
        let rows = values.chunks_exact(width).zip(found.chunks_exact_mut(motion.found()));
        rows.for_each(|(row, found)| motion.find(|i| row[i], found));
        let found = TensorData::new(found, [n, motion.found()]);
        let found = Tensor::from_data(found, (&context.device(), context.dtype()));
        Ok(Tensor::cat(vec![image, found], 1))
    }

    pub(super) fn forward(&self, context: Tensor<2>) -> Result<Tensor<2>> {
        let ([n, all], [_, numbers]) = (context.dims(), self.layout.context);
        let images = self.images(&context)?;
        if n == 0 {
            let device = context.device();
            return Ok(Tensor::zeros([0, self.layout.width()], (&device, context.dtype())));
        }
        let rest = (all > numbers).then(|| context.narrow(1, numbers, all - numbers));
        let squares = images.clone().select(1, self.order.clone());
        let mut seen = self.network.parameters(squares, &Given::context(rest.as_ref()))?;
        if let Some(foretold) = &self.foretold {
            let foretold = images.select(1, foretold.clone());
            let [of_network, of_motion] = [&seen, &foretold].map(|part| part.dims()[1]);
            let squares = self.layout.squares;
            let parts = [(seen, of_network), (foretold, of_motion)];
            let parts = parts.map(|(part, width)| part.reshape([n, squares, width / squares]));
            seen = Tensor::cat(parts.to_vec(), 2).reshape([n, of_network + of_motion]);
        }
        Ok(match rest {
            Some(rest) => Tensor::cat(vec![seen, rest], 1),
            None => seen,
        })
    }
}

/// The embedding over flat weights.
#[derive(Debug)]
pub(crate) struct ImageProgram {
    network: Arc<dyn AnyTiledProgram>,
    layout: Arc<Layout>,
}

/// Arrays of the tape beside those of the network: images and what is found in them, what the network sees of that, what is behind them, and the network's numbers, which become their gradient.
const TAPE: usize = 4;

impl ImageProgram {
    pub(super) fn new(embedding: &ImageEmbedding, weights: &Weights<'_>) -> Option<Self> {
        let network = embedding.network.program(weights)?;
        Some(Self { network, layout: Arc::clone(&embedding.layout) })
    }

    /// How many numbers come out.
    pub(super) fn width(&self) -> usize {
        self.layout.width()
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
        let (layout, width) = (&self.layout, self.width());
        let tiles = out.len() / (width * TILE_ROWS);
        let network = self.network.of::<T>();
        let ([images, x, rest, features], nodes) = tape.arrays::<TAPE>(network.nodes(tiles));
        let of = |width: usize| tiles * width * TILE_ROWS;
        let [of_network, of_motion, behind] = &layout.out;
        let (x, rest) = (x.sized(of(layout.order.len())), rest.sized(of(behind.len())));
        let wide = layout.images(context, images);
        gather(images, wide, &layout.order, x);
        gather(context, layout.context[0], &layout.rest(), rest);
        let features = features.sized(of(of_network.len()));
        let pass = Pass { tiles, weights, context: rest, log_det_gradient: &[], draws: None };
        network.forward(&pass, loaded, x, features, nodes);
        scatter(features, of_network, out, width);
        scatter(rest, behind, out, width);
        let mut foretold = vec![T::ZERO; of(of_motion.len())];
        gather(images, wide, &layout.foretold, &mut foretold);
        scatter(&foretold, of_motion, out, width);
    }

    pub(super) fn backward<T: Real>(
        &self,
        weights: &[T],
        by_out: &[T],
        (loaded, tape): (&Arena<T>, &mut Arena<T>),
        gradient: &mut [T],
    ) {
        let (layout, width) = (&self.layout, self.width());
        let tiles = by_out.len() / (width * TILE_ROWS);
        let network = self.network.of::<T>();
        let ([_, x, rest, features], nodes) = tape.arrays::<TAPE>(network.nodes(tiles));
        let of = |width: usize| tiles * width * TILE_ROWS;
        let [of_network, _, behind] = &layout.out;
        let by = features.sized(of(of_network.len()));
        gather(by_out, width, of_network, by);
        let rest = &rest[..of(behind.len())];
        let pass = Pass { tiles, weights, context: rest, log_det_gradient: &[], draws: None };
        let given = (&x[..of(layout.order.len())], &mut *by, nodes);
        let to = (None, &mut ContextGradient::default());
        network.backward(&pass, loaded, given, to, gradient);
    }
}
