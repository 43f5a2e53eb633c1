//! The network of a coupling of images: some channels of each pixel give the parameters of the others.

use diffeo_kernels::{ConvolutionShape, Convolutional, GivenImage};
use serde::{Deserialize, Serialize};

use super::sequenced::expect_size;
use super::{Conditioner, DescribeConditioner, Structure, Tiled};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::place::Place;

/// A convolutional network from the channels that stay (and the context) to the parameters of those that are mapped, pixel by pixel of an image.
///
/// * An image of one number a pixel is squeezed first ([`crate::transforms::SqueezeSpec`]); then channels 0 and 3 of four are the white squares of a checkerboard, and the network sees them in
///   blocks of two by two pixels, at a quarter of the cost of the full grid.
/// * A filter of three by three pixels, then `blocks` gated residual blocks of `width` units a pixel, each with a filter; with `heads`, each attends to all pixels besides. The formula is that of
///   [`Convolutional`]. All parameters are zero at the start.
/// * forward and inverse: one pass, about `9 i w + c w + b 11 w^2 + w o` products a pixel of `i` channels that stay, `c` numbers of the context that it sees and `o` parameters, and `2 p w` more a block with attention, for `p` pixels.
///
/// References: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, section 3.4, arXiv:1605.08803 (masks); Ho et al. *Flow++*. ICML 2019, section 3.3, arXiv:1902.00275
/// (the network).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionalSpec {
    /// Lines of the image.
    pub height: usize,
    /// Pixels of a line.
    pub across: usize,
    /// Which channels of a pixel stay as they are.
    pub kept: Vec<bool>,
    /// Units of a pixel.
    pub width: usize,
    /// Blocks.
    pub blocks: usize,
    /// Heads of attention; none if 0. The width is a multiple of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heads: usize,
    /// The image that the context starts with, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<GivenImageSpec>,
}

/// An image in a context, of `factor` times as many lines and pixels as the one that is mapped: a pixel of the latter sees a square of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenImageSpec {
    /// Lines and pixels of a square.
    pub factor: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl ConvolutionalSpec {
    /// Most units.
    pub const WIDTH_MAX: usize = 1 << 12;
    /// Most blocks.
    pub const BLOCKS_MAX: usize = 64;
    /// Most pixels that attend to each other.
    pub const ATTENTION_MAX: usize = 256;

    /// How many channels are kept, and how many are mapped.
    fn channels(&self) -> [usize; 2] {
        let kept = self.kept.iter().filter(|kept| **kept).count();
        [kept, self.kept.len() - kept]
    }

    fn pixels(&self) -> usize {
        self.height.saturating_mul(self.across)
    }

    /// Numbers of the context that each pixel sees; `None` if its image is larger than the context.
    fn seen(&self, at: Place) -> Option<usize> {
        let Some(GivenImageSpec { factor, channels }) = self.given else { return Some(at.context) };
        let square = factor.checked_mul(factor)?.checked_mul(channels)?;
        let shared = at.context.checked_sub(square.checked_mul(self.pixels())?)?;
        Some(square + shared).filter(|_| square > 0)
    }

    /// The columns of the channels that are kept, or of those that are mapped.
    fn columns(&self, kept: bool) -> Vec<usize> {
        let channels = self.kept.len();
        let columns = 0..self.pixels() * channels;
        columns.filter(|column| self.kept[column % channels] == kept).collect()
    }
}

impl DescribeConditioner for ConvolutionalSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let name = "convolutional";
        at.expect_image(name, [self.height, self.across, self.kept.len()])?;
        let [kept, mapped] = self.channels();
        if kept == 0 || mapped == 0 {
            return Err(Error::config(format!(
                "{name}: at least one channel must be kept and one mapped, found {kept} kept of {}; squeeze images of one channel first",
                self.kept.len()
            )));
        }
        expect_size(name, "width", self.width, Self::WIDTH_MAX)?;
        expect_size(name, "blocks", self.blocks, Self::BLOCKS_MAX)?;
        if self.heads > 0 && !self.width.is_multiple_of(self.heads) {
            return Err(Error::config(format!(
                "{name}: expected a width that is a multiple of the heads, found {} and {}",
                self.width, self.heads
            )));
        }
        if self.heads > 0 && self.pixels() > Self::ATTENTION_MAX {
            return Err(Error::config(format!(
                "{name}: attention is between {} pixels at most, found {}; leave the heads out, or squeeze the image further",
                Self::ATTENTION_MAX,
                self.pixels()
            )));
        }
        if self.seen(at).is_none() {
            return Err(Error::config(format!(
                "{name}: expected a context that starts with an image, a square of numbers for each of {} pixels, found {} numbers",
                self.pixels(),
                at.context
            )));
        }
        Ok(())
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let [kept, mapped] = self.channels().map(|channels| channels as u64);
        let (w, pixels) = (self.width as u64, self.pixels() as u64);
        let entry = kept.checked_mul(9)?.checked_add(1 + self.seen(at)? as u64)?;
        let entry = entry.checked_add(pixels)?.checked_mul(w)?;
        let square = w.checked_mul(w)?;
        let attention =
            if self.heads > 0 { square.checked_mul(4)?.checked_add(4 * w)? } else { 0 };
        let block = square.checked_mul(11)?.checked_add(3 * w)?.checked_add(attention)?;
        let head = mapped.checked_mul(per_dim)?.checked_mul(w + 1)?;
        entry.checked_add(block.checked_mul(self.blocks as u64)?)?.checked_add(head)
    }

    fn work(&self, at: Place, per_dim: u64) -> Option<u64> {
        // All weights but those of the places are used once a pixel.
        self.count(at, per_dim)?.checked_mul(self.pixels() as u64)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        let ([inputs, mapped], [seen, moved]) =
            (self.channels(), [true, false].map(|kept| self.columns(kept)));
        let (height, width, outputs) = (self.height, self.across, mapped * per_dim);
        let given = self.given.map(|given| {
            let GivenImageSpec { factor, channels } = given;
            GivenImage { factor, channels }
        });
        let shape = ConvolutionShape { height, width, inputs, context: at.context, given, outputs };
        let network = Convolutional::new(shape, [self.width, self.blocks, self.heads]);
        let levels = vec![moved.len()];
        let structure = Structure::new(at.dims, Some(seen), Some(moved), levels)?;
        Ok(Box::new(Tiled::new(network, structure, init)))
    }
}

impl Cases for ConvolutionalSpec {
    /// A channel of two of three pixels in a line and one more, or two of four with attention and a context that is an image as far as it goes.
    fn cases(at: Place) -> Vec<Self> {
        let of = |height, across, kept: Vec<bool>, heads| Self {
            height,
            across,
            kept,
            width: 4,
            blocks: 1,
            heads,
            given: None,
        };
        match (at.dims.is_multiple_of(8), at.context) {
            (true, 0) => vec![of(at.dims / 4, 2, vec![true, false], 0)],
            (true, context) => {
                let case = of(1, at.dims / 4, vec![true, false, false, true], 2);
                let channels = context / case.pixels();
                let given = (channels > 0).then_some(GivenImageSpec { factor: 1, channels });
                vec![Self { given, ..case }]
            }
            _ => vec![],
        }
    }
}
