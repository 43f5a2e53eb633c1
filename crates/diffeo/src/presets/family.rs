//! What a preset says of itself.

use super::options::{ColumnOrder, PresetOptions};
use super::patches::Patches;
use super::scales::Grid;
use crate::bases::BaseSpec;
use crate::conditioner::{GraphSpec, TransformerSpec};
use crate::embedding::ImageEmbeddingSpec;
use crate::host::random::{Purpose, Streams, permutation};
use crate::monotone::MonotoneSpec;
use crate::spec::Precision;
use crate::transforms::{
    AutoregressiveSpec, ConditionalSpec, CouplingSpec, Gates, LayerSpec, PermutationSpec, PluSpec,
};

/// Most tokens of an image that have weights of their own.
const TOKENS_OF_THEIR_OWN: usize = 64;

/// A named model.
pub(super) struct Family {
    /// The name used in files and on the command line.
    pub(super) name: &'static str,
    /// What it is, in a few words.
    pub(super) summary: &'static str,
    /// Fewest columns, and what to use for less.
    pub(super) columns_min: usize,
    /// Whether it can be conditional.
    pub(super) takes_context: bool,
    /// Whether its layers can follow a graph.
    pub(super) takes_graph: bool,
    /// What its rows are.
    pub(super) rows: Rows,
    /// The usual order of columns; `None` where there is none to choose.
    pub(super) order: Option<ColumnOrder>,
    /// The base and the precision that it is for, where that is no choice.
    pub(super) fixed: Option<fn() -> (BaseSpec, Precision)>,
    /// The layers of transform `i`, of a model of images at several scales that of each scale.
    pub(super) layers: fn(&Draft<'_>, i: usize) -> Vec<LayerSpec>,
}

/// What the rows of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those of a table, whatever their numbers mean.
    Table,
    /// Images, as tokens of several pixels in sequence.
    Tokens,
    /// Images at several scales, pixels of all of which are mapped from those around them.
    Scales,
    /// The same if they are images, or else those of a table.
    ScalesOrTable,
}

/// A flow that is being described.
pub(super) struct Draft<'a> {
    pub(super) dims: usize,
    /// The tokens of images, of a model that is of these.
    pub(super) patches: Option<Patches>,
    /// The pixels of this scale, of a model of images at several.
    pub(super) grid: Option<Grid>,
    /// What is found in the image that the context starts with, if it does.
    pub(super) found: Option<ImageEmbeddingSpec>,
    /// Numbers of a context that has no place in the image.
    pub(super) placeless: usize,
    /// The levels of images, where noise in their cells is learned.
    pub(super) noise: Option<u32>,
    pub(super) options: &'a PresetOptions,
    pub(super) order: ColumnOrder,
}

impl Draft<'_> {
    /// How transform `i` finds the columns that the one before has left; `None` if as they are.
    pub(super) fn turn(&self, i: usize) -> Option<Vec<usize>> {
        match self.order {
            ColumnOrder::Random => {
                let streams = Streams::new(self.options.seed);
                let mut rng = streams.rng(Purpose::Permutation, 0, i as u64);
                let order = permutation(&mut rng, self.dims as u32);
                Some(order.into_iter().map(|column| column as usize).collect())
            }
            ColumnOrder::Reverse if i > 0 => Some((0..self.dims).rev().collect()),
            ColumnOrder::Reverse | ColumnOrder::Given => None,
        }
    }

    /// The same, as an order in any case.
    pub(super) fn turn_or_stay(&self, i: usize) -> Vec<usize> {
        self.turn(i).unwrap_or_else(|| (0..self.dims).collect())
    }

    /// A layer that maps each column given its parents, if there is a graph: columns are then neither mixed nor reordered.
    pub(super) fn by_graph(&self, map: &MonotoneSpec) -> Option<LayerSpec> {
        let (network, parents) = (self.options.network(), self.options.graph.clone()?);
        Some(ConditionalSpec::new(GraphSpec { network, parents }, map).into())
    }

    /// Transform `i` of a model that mixes the columns linearly, then maps each given those before it; or by a graph.
    pub(super) fn autoregressive(&self, i: usize, map: impl Into<MonotoneSpec>) -> Vec<LayerSpec> {
        let map = map.into();
        if let Some(layer) = self.by_graph(&map) {
            return vec![layer];
        }
        let layer = AutoregressiveSpec::new(map, self.options.network());
        vec![PluSpec { order: self.turn_or_stay(i) }.into(), layer.into()]
    }

    /// Transform `i` of a model that reorders the columns, then maps each given those before it by a transformer: a block for each hidden layer, as wide inside as the widest of
    /// them and half as wide outside.
    pub(super) fn by_transformer(&self, i: usize, map: impl Into<MonotoneSpec>) -> Vec<LayerSpec> {
        let layer = ConditionalSpec::new(self.transformer(), &map.into());
        let turn = self.turn(i).map(|order| PermutationSpec { order }.into());
        turn.into_iter().chain([layer.into()]).collect()
    }

    /// Transform `i` of a model of images, which maps the numbers of a token given the tokens before it by a transformer.
    pub(super) fn over_patches(&self, i: usize, map: impl Into<MonotoneSpec>) -> Vec<LayerSpec> {
        let Some(patches) = self.patches else { unreachable!("a model of images has tokens") };
        let (transformer, group) = (self.transformer(), patches.group());
        // Digits in the middle of their images gain from weights for each place.
        let alike = self.dims / group > TOKENS_OF_THEIR_OWN;
        let conditioner = TransformerSpec { group, alike, ..transformer };
        let layer = ConditionalSpec::new(conditioner, &map.into());
        vec![PermutationSpec { order: patches.turn(i) }.into(), layer.into()]
    }

    fn transformer(&self) -> TransformerSpec {
        let hidden = &self.options.hidden;
        let inner = hidden.iter().copied().max().unwrap_or(1);
        let width = (inner / 2).clamp(1, TransformerSpec::WIDTH_MAX);
        let heads = [4, 3, 2].into_iter().find(|&heads| width.is_multiple_of(heads)).unwrap_or(1);
        TransformerSpec { width, heads, inner, blocks: hidden.len(), ..TransformerSpec::default() }
    }

    /// Transform `i` of a model that mixes the columns linearly, then maps half of them given the others.
    pub(super) fn coupling(&self, i: usize, map: impl Into<MonotoneSpec>) -> Vec<LayerSpec> {
        let (monotone, network) = (map.into(), self.options.network());
        let layer = CouplingSpec { monotone, network, kept: self.kept(i), gates: Gates::default() };
        vec![PluSpec { order: self.turn_or_stay(i) }.into(), layer.into()]
    }

    /// Which columns transform `i` leaves as they are, every second one.
    pub(super) fn kept(&self, i: usize) -> Vec<bool> {
        (0..self.dims).map(|j| j % 2 == i % 2).collect()
    }
}
