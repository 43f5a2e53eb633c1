//! Models of images at several scales: what is left of an image after each is half as large (Dinh, Sohl-Dickstein, Bengio. ICLR 2017, section 3.6, arXiv:1605.08803).

use super::family::Draft;
use crate::columns::ImageShape;
use crate::conditioner::{ConvolutionalSpec, GivenImageSpec};
use crate::error::{Error, Result};
use crate::monotone::{Affine, MonotoneSpec};
use crate::network::{Activation, NetworkSpec};
use crate::transforms::{
    ActNormSpec, ConditionalSpec, CouplingSpec, DequantiseSpec, DifferenceSpec, Gates,
    HistogramSpec, LayerSpec, PixelwiseSpec, PluSpec, SplitSpec, SqueezeSpec,
};

/// Most scales.
const SCALES: usize = 3;
/// Most pixels between which there is attention: its work and memory grow with their square.
const ATTENTION_PIXELS: usize = 64;

/// Fewest and most units between a context that has no place and what it is like at each.
const CONTEXT_WIDTHS: [usize; 2] = [16, 64];

/// The affine map of couplings. Numbers of images come in as normal ones, so a tenfold scale in one of many layers is plenty, and dozens of layers overflow nowhere.
pub(super) fn affine() -> Affine {
    Affine { log_scale_max: 3.0 }
}

/// The pixels of a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    height: usize,
    width: usize,
    channels: usize,
}

impl Grid {
    /// The pixels of an image, which can be squeezed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if they cannot.
    pub(super) fn of(image: ImageShape) -> Result<Self> {
        let ImageShape { height, width, channels, .. } = image;
        let grid = Self { height, width, channels };
        if grid.squeezed().is_some() {
            return Ok(grid);
        }
        Err(Error::config(format!(
            "expected images of an even number of lines of an even number of pixels, found {height} x {width}; use tarflow, or crop or pad them"
        )))
    }

    /// Half of the lines of half of the pixels.
    fn squeezed(self) -> Option<Self> {
        let Self { height, width, channels } = self;
        let even = height.is_multiple_of(2) && width.is_multiple_of(2);
        even.then_some(Self { height: height / 2, width: width / 2, channels: 4 * channels })
    }

    fn numbers(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The channels that transform `i` leaves as they are, if checkerboards and halves of the channels take turns: white squares, black squares, first half, second half.
    pub(super) fn mask(self, i: usize) -> Vec<bool> {
        let quarter = self.channels / 4;
        let is_white = |channel: usize| matches!(channel / quarter, 0 | 3);
        let is_first = |channel: usize| channel < self.channels / 2;
        let kept = |channel| match i % 4 {
            0 => is_white(channel),
            1 => !is_white(channel),
            2 => is_first(channel),
            _ => !is_first(channel),
        };
        (0..self.channels).map(kept).collect()
    }

    /// The first half of the channels, which stays as it is, or the second.
    fn half(self, first: bool) -> Vec<bool> {
        (0..self.channels).map(|channel| (channel < self.channels / 2) == first).collect()
    }
}

impl Draft<'_> {
    /// The pixels of this scale.
    pub(super) fn pixels(&self) -> Grid {
        let Some(grid) = self.grid else { unreachable!("a model at scales has pixels") };
        grid
    }

    /// Layers at all scales: each takes blocks of two by two pixels as one, maps them by the layers of all transforms, and hands half of the channels on. The other half are brought to the base given
    /// those, as by the learned prior of Glow.
    pub(super) fn at_scales(
        &self,
        layers: fn(&Draft<'_>, usize) -> Vec<LayerSpec>,
    ) -> Vec<LayerSpec> {
        self.scales_from(1, self.pixels(), layers)
    }

    fn scales_from(
        &self,
        scale: usize,
        grid: Grid,
        layers: fn(&Draft<'_>, usize) -> Vec<LayerSpec>,
    ) -> Vec<LayerSpec> {
        let Some(squeezed) = grid.squeezed() else { return Vec::new() };
        let Grid { height, width, channels } = grid;
        let mut all = vec![SqueezeSpec { height, width, channels }.into()];
        let draft = Draft { dims: squeezed.numbers(), grid: Some(squeezed), ..*self };
        if let (1, Some(layer)) = (scale, draft.difference()) {
            all.push(layer);
        }
        if let (1, Some(levels)) = (scale, self.noise) {
            all.push(draft.dequantise(levels));
        }
        if let (1, Some(layer)) = (scale, draft.histogram()) {
            all.push(layer);
        }
        all.extend((0..self.options.transforms).flat_map(|i| layers(&draft, i)));
        let channels = squeezed.channels;
        let onward = Grid { channels: channels / 2, ..squeezed };
        if scale < SCALES && onward.squeezed().is_some() {
            all.push(draft.by_pixels_around(squeezed.half(true), affine(), 0));
            all.extend(draft.by_context());
            let transforms = self.scales_from(scale + 1, onward, layers);
            all.push(SplitSpec { channels, onward: channels / 2, transforms }.into());
        } else {
            all.extend(draft.by_context());
        }
        all
    }

    /// A scale and shift of each number but the first given a context such as a class, which the networks of pixels around see as the same everywhere: what it is like at each place.
    fn by_context(&self) -> Option<LayerSpec> {
        let width = self.placeless.clamp(CONTEXT_WIDTHS[0], CONTEXT_WIDTHS[1]);
        let network =
            NetworkSpec { hidden: vec![width], residual: false, activation: Activation::default() };
        let kept = (0..self.dims).map(|j| j == 0).collect();
        let layer =
            CouplingSpec { monotone: affine().into(), network, kept, gates: Gates::default() };
        (self.placeless > 0).then(|| layer.into())
    }

    /// Differences to what was foretold of a frame.
    fn difference(&self) -> Option<LayerSpec> {
        let (found, channels) = (self.found?, self.pixels().channels);
        let levels = found.motion?.levels;
        Some(DifferenceSpec { channels, levels, features: found.features }.into())
    }

    /// Room for the differences that are frequent: most are zero.
    fn histogram(&self) -> Option<LayerSpec> {
        let levels = self.found?.motion?.levels;
        (levels <= HistogramSpec::LEVELS_MAX).then(|| HistogramSpec { levels }.into())
    }

    /// Learned noise: white squares given black ones, then black ones given white ones.
    fn dequantise(&self, levels: u32) -> LayerSpec {
        let channels = self.pixels().channels;
        let spline = DequantiseSpec::spline(self.options.bins);
        let coupling = |i| {
            let kept = [vec![true; channels], self.pixels().mask(i)].concat();
            self.by_pixels_around(kept, spline.clone(), 0)
        };
        DequantiseSpec { channels, levels, transforms: vec![coupling(1), coupling(0)] }.into()
    }

    /// A coupling of the channels that are not kept, given those that are.
    pub(super) fn by_pixels_around(
        &self,
        kept: Vec<bool>,
        map: impl Into<MonotoneSpec>,
        heads: usize,
    ) -> LayerSpec {
        let Grid { height, width: across, .. } = self.pixels();
        let hidden = &self.options.hidden;
        let widest = hidden.iter().copied().max().unwrap_or(1);
        let width = (widest / 4).clamp(1, ConvolutionalSpec::WIDTH_MAX);
        let attends = height * across <= ATTENTION_PIXELS && width.is_multiple_of(heads.max(1));
        let heads = if attends { heads } else { 0 };
        let blocks = hidden.len();
        let given = self.found.map(|found| GivenImageSpec {
            factor: found.height / 2 / height,
            channels: found.of_square(),
        });
        let conditioner = ConvolutionalSpec { height, across, kept, width, blocks, heads, given };
        ConditionalSpec::new(conditioner, &map.into()).into()
    }

    /// Transform `i` of one that mixes the channels: a scale and shift of each, a matrix between them, and a coupling of the second half given the first. The matrix starts by turning the order of
    /// the channels round, so that another half is mapped in the next transform.
    pub(super) fn mixed_step(&self, i: usize, map: impl Into<MonotoneSpec>) -> Vec<LayerSpec> {
        let grid = self.pixels();
        let as_they_are = 0..grid.channels;
        let order = if i == 0 { as_they_are.collect() } else { as_they_are.rev().collect() };
        let transforms = vec![ActNormSpec {}.into(), PluSpec { order }.into()];
        let each = PixelwiseSpec { channels: grid.channels, transforms };
        vec![each.into(), self.by_pixels_around(grid.half(true), map, 0)]
    }

    /// Transform `i` of one in which checkerboards and halves of the channels take turns: a matrix between what was a pixel's numbers before the squeeze, if `mixes`, a coupling, and a scale and
    /// shift of each channel.
    pub(super) fn checkered_step(
        &self,
        i: usize,
        mixes: bool,
        map: impl Into<MonotoneSpec>,
        heads: usize,
    ) -> Vec<LayerSpec> {
        let grid = self.pixels();
        let colours = grid.channels / 4;
        let matrix = PluSpec { order: (0..colours).collect() };
        let mix = PixelwiseSpec { channels: colours, transforms: vec![matrix.into()] };
        let norm =
            PixelwiseSpec { channels: grid.channels, transforms: vec![ActNormSpec {}.into()] };
        let mut layers: Vec<LayerSpec> = Vec::new();
        if mixes && colours > 1 {
            layers.push(mix.into());
        }
        layers.extend([self.by_pixels_around(grid.mask(i), map, heads), norm.into()]);
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_checkerboards_and_halves_in_turn() {
        let grid = Grid { height: 2, width: 2, channels: 8 };
        let of = |i| grid.mask(i).into_iter().map(u8::from).collect::<Vec<_>>();
        assert_eq!(of(0), [1, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(of(1), [0, 0, 1, 1, 1, 1, 0, 0]);
        assert_eq!(of(2), [1, 1, 1, 1, 0, 0, 0, 0]);
        assert_eq!(of(3), [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(of(4), of(0));
    }

    #[test]
    fn images_are_squeezed_or_refused() {
        let of = |height, width| Grid::of(ImageShape::of_bytes(height, width, 3));
        assert_eq!(of(6, 4).unwrap().squeezed().unwrap().numbers(), 72);
        for (height, width) in [(7, 4), (4, 5), (1, 2)] {
            assert!(of(height, width).unwrap_err().message().contains("tarflow"));
        }
    }
}
