//! Named models, one a file: each is a few lines that name transforms.
//!
//! A new one is a file like these and a line in [`Preset`].

mod bernstein;
mod bnaf;
mod family;
mod ffjord;
mod flowpp;
mod gaussian;
mod gaussianization;
mod glow;
mod gnf;
mod iaf;
mod maf;
mod naf;
mod nsf;
mod nsf_coupling;
mod nsf_image;
mod options;
mod ot_flow_matching;
mod patches;
mod planar;
mod qnsf;
mod radial;
mod realnvp;
mod realnvp_image;
mod resflow;
mod scales;
mod sos;
mod sylvester;
mod t_maf;
mod t_naf;
mod tarflow;
mod umnn;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use options::{ColumnOrder, PresetOptions};

use crate::bases::BaseSpec;
use crate::columns::{ImageShape, Schema, Shape};
use crate::conditioner::ConvolutionalSpec;
use crate::embedding::{EmbeddingSpec, ImageEmbeddingSpec, MotionSpec};
use crate::error::{Error, Result, quoted};
use crate::marks::MarksSpec;
use crate::spec::FlowSpec;
use crate::transforms::{Gates, LayerSpec, PermutationSpec, PluSpec};
use family::{Draft, Family, Rows};
use patches::Patches;
use scales::Grid;

/// Makes the enum of a list of families.
macro_rules! presets {
    ($($(#[$doc:meta])* $variant:ident = $family:path),+ $(,)?) => {
        /// A named model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Preset {
            $($(#[$doc])* $variant),+
        }

        impl Preset {
            /// All presets.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];

            fn family(self) -> &'static Family {
                match self {
                    $(Self::$variant => &$family),+
                }
            }
        }
    };
}

presets! {
    /// `N(mu, Sigma)` in closed form: the baseline that every flow must beat.
    Gaussian = gaussian::GAUSSIAN,
    /// Affine couplings with alternating halves (Dinh et al. 2017).
    RealNvp = realnvp::REALNVP,
    /// Affine autoregressive layers with reversed orders: fast density (Papamakarios et al. 2017).
    Maf = maf::MAF,
    /// Inverted affine autoregressive layers: fast samples (Kingma et al. 2016).
    Iaf = iaf::IAF,
    /// Autoregressive spline layers with PLU layers between: the best density for most tables (Durkan et al. 2019).
    Nsf = nsf::NSF,
    /// Spline couplings with PLU layers between: fast in both directions (Durkan et al. 2019).
    NsfCoupling = nsf_coupling::NSF_COUPLING,
    /// Autoregressive layers of quadratic splines with PLU layers between (Müller et al. 2019, Durkan et al. 2019).
    Qnsf = qnsf::QNSF,
    /// Couplings of logistic mixtures with PLU layers between, of tables or of images at several scales (Ho et al. 2019).
    Flowpp = flowpp::FLOWPP,
    /// Autoregressive layers of deep sigmoids with PLU layers between (Huang et al. 2018).
    Naf = naf::NAF,
    /// Block neural autoregressive layers with PLU layers between (De Cao et al. 2019).
    Bnaf = bnaf::BNAF,
    /// Autoregressive layers of monotonic networks with PLU layers between (Wehenkel, Louppe 2019).
    Umnn = umnn::UMNN,
    /// Monotonic networks along a graph of the columns; without one, in the order of the table (Wehenkel, Louppe 2021).
    Gnf = gnf::GNF,
    /// Autoregressive layers of Bernstein polynomials with PLU layers between (Ramasinghe et al. 2021).
    Bernstein = bernstein::BERNSTEIN,
    /// Autoregressive layers of sum-of-squares polynomials with PLU layers between (Jaini et al. 2019).
    Sos = sos::SOS,
    /// Affine autoregressive layers by causal transformers with reversed orders (Zhai et al. 2024).
    TMaf = t_maf::T_MAF,
    /// Autoregressive layers of deep sigmoids by causal transformers with reversed orders (Patacchiola et al. 2024).
    TNaf = t_naf::T_NAF,
    /// Affine couplings of images at several scales (Dinh et al. 2017).
    RealNvpImage = realnvp_image::REALNVP_IMAGE,
    /// Invertible 1 x 1 convolutions and affine couplings of images at several scales (Kingma, Dhariwal 2018).
    Glow = glow::GLOW,
    /// Spline couplings of images at several scales (Durkan et al. 2019).
    NsfImage = nsf_image::NSF_IMAGE,
    /// Autoregressive spline layers over patches of images by causal transformers (after Zhai et al. 2025).
    TarFlow = tarflow::TARFLOW,
    /// Rotations and a logistic mixture for each column (Meng et al. 2020).
    Gaussianization = gaussianization::GAUSSIANIZATION,
    /// Planar layers (Rezende, Mohamed 2015).
    Planar = planar::PLANAR,
    /// Radial layers (Rezende, Mohamed 2015).
    Radial = radial::RADIAL,
    /// Sylvester layers (van den Berg et al. 2018).
    Sylvester = sylvester::SYLVESTER,
    /// Continuous layers (Grathwohl et al. 2019).
    Ffjord = ffjord::FFJORD,
    /// One continuous layer, trained by flow matching with optimal transport (Lipman et al. 2023, Tong et al. 2024).
    OtFlowMatching = ot_flow_matching::OT_FLOW_MATCHING,
    /// Contractive residual layers with ActNorm layers between (Chen et al. 2019).
    ResFlow = resflow::RESFLOW,
}

impl Preset {
    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        self.family().name
    }

    /// What it is, in a few words.
    pub fn summary(self) -> &'static str {
        self.family().summary
    }

    /// Refuses a model whose layers cannot follow a graph.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with those that can.
    pub fn expect_graph(self) -> Result<()> {
        if self.family().takes_graph {
            return Ok(());
        }
        let able = Self::ALL.into_iter().filter(|preset| preset.family().takes_graph);
        let able: Vec<&str> = able.map(Self::name).collect();
        Err(Error::config(format!("{self}: takes no graph; use one of {}", able.join(", "))))
    }

    /// Describes the flow for `dims` columns and `context_dims` context values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if an option is out of range, or the model is not for so few columns, for a context, for an order or for a graph.
    pub fn spec(
        self,
        dims: usize,
        context_dims: usize,
        options: &PresetOptions,
    ) -> Result<FlowSpec> {
        self.spec_of((dims, None, None), context_dims, options)
    }

    /// All models of tables, whose rows may be anything.
    pub fn of_tables() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|preset| preset.is_of_tables())
    }

    /// All models of images: see [`Preset::spec_for`].
    pub fn of_images() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|preset| preset.is_of_images())
    }

    /// What suits images best that nothing else is known of: couplings at several scales where the image can be squeezed, else tokens.
    pub fn usual_of(image: ImageShape) -> Self {
        if Grid::of(image).is_ok() { Self::NsfImage } else { Self::TarFlow }
    }

    /// What suits a table of so many rows: a Gaussian where there are no more rows than columns and it can be had, else a neural spline flow. (One row has no covariance.)
    pub fn usual_of_rows(schema: &Schema, rows: usize) -> Self {
        let is_plain = schema.shape().marks.is_empty() && schema.context.is_empty();
        let few = (2..=schema.width()).contains(&rows);
        if few && is_plain { Self::Gaussian } else { Self::default() }
    }

    /// Whether its rows can be those of a table.
    pub fn is_of_tables(self) -> bool {
        matches!(self.family().rows, Rows::Table | Rows::ScalesOrTable)
    }

    /// Whether it takes images as such, and not as so many columns.
    pub fn is_of_images(self) -> bool {
        self.family().rows != Rows::Table
    }

    /// The tokens or the pixels of the images that it is a model of, if it is one of images.
    fn places(
        self,
        image: Option<ImageShape>,
        options: &PresetOptions,
    ) -> Result<(Option<Patches>, Option<Grid>)> {
        if options.patch.is_some() && self.family().rows != Rows::Tokens {
            return Err(Error::config(format!(
                "{self}: has no patches of images to choose; leave them out, or use tarflow"
            )));
        }
        match (self.family().rows, image) {
            (Rows::Tokens, Some(image)) => Ok((Some(Patches::new(image, options.patch)?), None)),
            (Rows::Scales | Rows::ScalesOrTable, Some(image)) => Ok((None, Some(Grid::of(image)?))),
            (Rows::Tokens | Rows::Scales, None) => Err(Error::config(format!(
                "{self}: is a model of images, and these rows are none; use nsf"
            ))),
            (Rows::Table, _) | (Rows::ScalesOrTable, None) => Ok((None, None)),
        }
    }

    /// Refuses options that the model cannot follow.
    fn expect(
        self,
        (dims, given): (usize, Option<ImageShape>),
        context_dims: usize,
        options: &PresetOptions,
    ) -> Result<()> {
        let family = self.family();
        if dims < family.columns_min {
            return Err(Error::config(format!(
                "{self}: a coupling needs at least {} columns, found {dims}; use nsf or maf",
                family.columns_min
            )));
        }
        if context_dims > 0 && !family.takes_context {
            return Err(Error::config(format!("{self}: takes no context; use maf or nsf")));
        }
        if options.order.is_some() && family.order.is_none() {
            return Err(Error::config(format!(
                "{self}: has no order of columns to choose; leave it out, or use maf, iaf, nsf or nsf-coupling"
            )));
        }
        if let Some(parents) = &options.graph {
            self.expect_graph()?;
            let edges: usize = parents.iter().map(Vec::len).sum();
            if options.transforms.saturating_mul(edges) > PresetOptions::EDGES_MAX {
                return Err(Error::config(format!(
                    "expected a graph of at most {} edges in all transforms together, found {edges} in each of {}; take fewer transforms",
                    PresetOptions::EDGES_MAX,
                    options.transforms
                )));
            }
            if options.order.is_some() {
                return Err(Error::config(
                    "a graph says itself in which order columns are taken; leave the order out",
                ));
            }
        }
        if given.is_some() && options.embedding.is_some() {
            return Err(Error::config(
                "an embedding makes numbers of a context, and an image is seen as such; leave it out",
            ));
        }
        Ok(())
    }

    fn spec_of(
        self,
        (dims, image, given): (usize, Option<ImageShape>, Option<ImageShape>),
        context_dims: usize,
        options: &PresetOptions,
    ) -> Result<FlowSpec> {
        options.validate()?;
        self.expect((dims, given), context_dims, options)?;
        let family = self.family();
        let (patches, grid) = self.places(image, options)?;
        let order = options.order.or(family.order).unwrap_or(ColumnOrder::Given);
        let noise = match (image, grid) {
            _ if !options.dequantise => None,
            (Some(image), Some(_)) => Some(image.levels),
            _ => {
                return Err(Error::config(format!(
                    "{self}: noise is learned by models of images at several scales; leave that out, or use nsf-image"
                )));
            }
        };
        // Models at several scales see what one network finds in an image.
        let found = match (image, given, grid) {
            (Some(image), Some(given), Some(_)) => Some(found_in(given, image, options)),
            _ => None,
        };
        let embedding = found.map(EmbeddingSpec::Image).or(options.embedding.clone());
        let placeless = if given.is_some() { 0 } else { context_dims };
        let draft = Draft { dims, patches, grid, found, placeless, noise, options, order };
        let transforms: Vec<LayerSpec> = match grid {
            Some(_) => draft.at_scales(family.layers),
            None => (0..options.transforms).flat_map(|i| (family.layers)(&draft, i)).collect(),
        };
        let spec = FlowSpec::new(dims, transforms).given(context_dims);
        let spec = spec.through(embedding);
        let (base, precision) = match family.fixed {
            Some(fixed) => fixed(),
            None => (options.base.clone(), options.precision),
        };
        let spec = spec.onto(base).in_precision(precision);
        spec.validate()?;
        Ok(spec)
    }

    /// Describes the flow for the columns of a table: the density of their marks, and of their numbers given the marks.
    ///
    /// # Errors
    /// As [`Preset::spec`]; [`crate::ErrorKind::Config`] for a model that takes no context, and for another base than the normal, where numbers
    /// may be absent.
    pub fn spec_for(self, shape: &Shape, options: &PresetOptions) -> Result<FlowSpec> {
        if shape.marks.is_empty() {
            let numbers = (shape.gates.len(), shape.image, shape.given_image);
            return self.spec_of(numbers, shape.context, options);
        }
        options.validate()?;
        let embedding = &options.embedding;
        let marks = MarksSpec { marks: shape.marks.clone(), network: options.network() };
        if shape.gates.is_empty() {
            if options.embedding.is_some() {
                return Err(Error::config(
                    "an embedding is for columns of numbers, and this table has none; leave it out",
                ));
            }
            let spec =
                FlowSpec::new(0, vec![]).given(shape.context).in_precision(options.precision);
            let spec = spec.with_marks(marks);
            spec.validate()?;
            return Ok(spec);
        }
        let with_all = |e: Error| {
            let text = format!(
                "{}; numbers are given the categories beside them, as a context",
                e.message()
            );
            Error::new(e.kind(), text)
        };
        let options = PresetOptions { embedding: None, ..options.clone() };
        let spec = self.spec(shape.gates.len(), shape.context + marks.width(), &options);
        let mut spec = spec.map_err(with_all)?.given(shape.context).with_marks(marks);
        spec.embedding = embedding.clone();
        if shape.gates.iter().any(Option::is_some) {
            if spec.base != BaseSpec::default() {
                return Err(Error::config(
                    "columns with point masses or missing values need the normal base; leave --base out",
                ));
            }
            let gates = shape.gates_behind(spec.context_seen());
            spec.transforms = gated(spec.transforms, gates).ok_or_else(|| {
                Error::config(format!(
                    "{self}: mixes columns, of which some may be absent here (point masses, missing values); use an autoregressive or coupling model such \
                     as nsf, or leave the point masses out with --columns"
                ))
            })?;
        }
        spec.validate()?;
        Ok(spec)
    }
}

/// Numbers that are found in each square of an image.
const FEATURES: usize = 16;

/// How far anything is looked for that moves from frame to frame, in pixels.
const REACH: usize = 3;

/// What is to be found in the frames that one is given: how they move, if there are two, and more by a network twice as wide and as deep as those of the layers.
fn found_in(given: ImageShape, frame: ImageShape, options: &PresetOptions) -> ImageEmbeddingSpec {
    let widest = options.hidden.iter().copied().max().unwrap_or(1);
    let moves = given.channels >= 2 * frame.channels;
    let motion = moves.then_some(MotionSpec {
        channels: frame.channels,
        levels: frame.levels,
        reach: REACH,
    });
    ImageEmbeddingSpec {
        height: given.height,
        across: given.width,
        channels: given.channels,
        width: (widest / 2).clamp(1, ConvolutionalSpec::WIDTH_MAX),
        blocks: 2 * options.hidden.len(),
        features: FEATURES,
        motion,
    }
}

/// The same layers where some columns may be absent; `None` if they cannot be. A product of matrices mixes columns, so only its permutation is left.
fn gated(layers: Vec<LayerSpec>, mut gates: Vec<Option<usize>>) -> Option<Vec<LayerSpec>> {
    let mut result = Vec::with_capacity(layers.len());
    for layer in layers {
        let layer = match layer {
            LayerSpec::Plu(PluSpec { order }) => PermutationSpec { order }.into(),
            mut layer => {
                gate(&mut layer, &gates);
                layer
            }
        };
        gates = layer.gates_after(&gates)?;
        result.push(layer);
    }
    Some(result)
}

fn gate(layer: &mut LayerSpec, gates: &[Option<usize>]) {
    match layer {
        LayerSpec::Autoregressive(layer) => layer.gates = Gates(gates.to_vec()),
        LayerSpec::Coupling(layer) => layer.gates = Gates(gates.to_vec()),
        LayerSpec::Conditional(layer) => layer.gates = Gates(gates.to_vec()),
        other => other.inner_mut().iter_mut().for_each(|layer| gate(layer, gates)),
    }
}

impl Default for Preset {
    /// The best density for most tables.
    fn default() -> Self {
        Self::Nsf
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Preset> for String {
    fn from(preset: Preset) -> Self {
        preset.name().to_owned()
    }
}

impl TryFrom<String> for Preset {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::config(format!("model {} is unknown; choose one of {names}", quoted(text)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditioner::ConditionerSpec;

    /// The order of each permutation or PLU layer.
    fn orders(preset: Preset, order: Option<ColumnOrder>) -> Vec<Vec<usize>> {
        let options = PresetOptions { transforms: 3, order, ..PresetOptions::default() };
        let spec = preset.spec(4, 0, &options).unwrap();
        spec.build(0).unwrap();
        let order = |layer: LayerSpec| match layer {
            LayerSpec::Permutation(PermutationSpec { order })
            | LayerSpec::Plu(PluSpec { order }) => Some(order),
            _ => None,
        };
        spec.transforms.into_iter().filter_map(order).collect()
    }

    #[test]
    fn columns_are_taken_in_the_order_asked_for() {
        use ColumnOrder::{Given, Random, Reverse};
        let (same, back) = (vec![0, 1, 2, 3], vec![3, 2, 1, 0]);
        for preset in [Preset::Maf, Preset::Iaf] {
            assert_eq!(orders(preset, Some(Given)), Vec::<Vec<usize>>::new());
            assert_eq!(orders(preset, Some(Reverse)), [back.clone(), back.clone()]);
            assert_eq!(orders(preset, None), orders(preset, Some(Reverse)));
            let random = orders(preset, Some(Random));
            assert!(random.len() == 3 && random[0] != random[1], "{random:?}");
        }
        for preset in [Preset::Nsf, Preset::NsfCoupling] {
            assert_eq!(orders(preset, Some(Given)), [same.clone(), same.clone(), same.clone()]);
            assert_eq!(orders(preset, Some(Reverse)), [same.clone(), back.clone(), back.clone()]);
            assert_eq!(orders(preset, None), orders(preset, Some(Random)));
        }
        for preset in [Preset::RealNvp, Preset::Gaussian] {
            let options = PresetOptions { order: Some(Given), ..PresetOptions::default() };
            assert!(preset.spec(4, 0, &options).unwrap_err().message().contains("order"));
        }
        assert_eq!("reverse".parse::<ColumnOrder>().unwrap(), Reverse);
        assert!("sorted".parse::<ColumnOrder>().unwrap_err().message().contains("sorted"));
    }

    #[test]
    fn a_graph_makes_layers_that_follow_it_and_nothing_else() {
        let parents = vec![vec![], vec![0], vec![1]];
        let with = |order| {
            let graph = Some(parents.clone());
            PresetOptions { transforms: 2, graph, order, ..PresetOptions::default() }
        };
        for preset in Preset::of_tables() {
            let spec = preset.spec(3, 0, &with(None));
            let able = ["maf", "nsf", "qnsf", "naf", "umnn", "gnf", "bernstein", "sos"]
                .contains(&preset.name());
            assert_eq!(spec.is_ok(), able, "{preset}");
            match spec {
                Ok(spec) => {
                    spec.build(0).unwrap();
                    assert_eq!(spec.transforms.len(), 2);
                    for layer in spec.transforms {
                        let LayerSpec::Conditional(layer) = layer else { panic!("{layer:?}") };
                        let ConditionerSpec::Graph(graph) = layer.conditioner else {
                            panic!("{:?}", layer.conditioner)
                        };
                        assert_eq!(graph.parents, parents);
                    }
                    let both = preset.spec(3, 0, &with(Some(ColumnOrder::Given)));
                    assert!(both.unwrap_err().message().contains("order"));
                    assert!(preset.spec(4, 0, &with(None)).is_err(), "one column too many");
                }
                Err(error) => {
                    assert!(
                        error.message().contains("maf, nsf, qnsf, naf, umnn, gnf, bernstein, sos"),
                        "{error}"
                    );
                }
            }
        }
    }
}
