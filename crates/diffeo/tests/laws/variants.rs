//! What a specification can name, so that the registry of cases cannot forget any of it.

use std::collections::BTreeSet;

use diffeo::monotone::MonotoneSpec;
use diffeo::nn::{Activation, NetworkSpec};
use diffeo::transforms::SupportMap;
use diffeo::{BaseSpec, FlowSpec, LayerSpec, Precision};

/// An enum that can say its variant, and all there are.
pub trait Variants: 'static {
    const ALL: &'static [&'static str];
    fn variant(&self) -> &'static str;
}

/// One list makes the match, which a variant that is not listed stops from compiling, and the names, each of which a
/// listed variant without a case stops from passing.
macro_rules! variants {
    ($($enum:ident { $($variant:ident),+ $(,)? })+) => {
        $(impl Variants for $enum {
            const ALL: &'static [&'static str] = &[$(stringify!($variant)),+];

            fn variant(&self) -> &'static str {
                match self {
                    $($enum::$variant { .. } => stringify!($variant)),+
                }
            }
        })+
    };
}

variants! {
    LayerSpec {
        Chain, Inverted, Permutation, Plu, ActNorm, Elementwise, Coupling, Autoregressive, Support, Standardize,
    }
    MonotoneSpec { Affine, RationalQuadratic }
    Activation { Relu, Tanh, Elu }
    SupportMap { Identity, Log, Logit }
    BaseSpec { Normal, Gaussian, Uniform, StudentT, Mixture }
    Precision { F32, F64 }
}

/// The conditioners: the layers that hold a network.
const CONDITIONERS: [&str; 2] = ["Coupling", "Autoregressive"];

/// Everything that the registry must hold: every variant, every scalar map in every layer that takes one, and every shape of
/// network in every conditioner.
pub fn demanded() -> BTreeSet<String> {
    fn all<T: Variants>() -> impl Iterator<Item = String> {
        T::ALL.iter().map(ToString::to_string)
    }
    let mut names: BTreeSet<String> = all::<LayerSpec>()
        .chain(all::<SupportMap>())
        .chain(all::<BaseSpec>())
        .chain(all::<Precision>())
        .collect();
    for layer in ["Elementwise", "Coupling", "Autoregressive"] {
        names.extend(all::<MonotoneSpec>().map(|map| format!("{layer} of {map}")));
    }
    for layer in CONDITIONERS {
        names.extend(all::<Activation>().map(|activation| format!("{layer} with {activation}")));
        for residual in [false, true] {
            for context in [false, true] {
                names.insert(format!("{layer}, residual {residual}, context {context}"));
            }
        }
    }
    names.insert("Autoregressive in another order".into());
    names.extend(["Support", "Standardize"].map(|layer| format!("{layer} of the context")));
    names
}

/// What a specification names.
pub fn named(spec: &FlowSpec, names: &mut BTreeSet<String>) {
    names.insert(spec.base.variant().into());
    names.insert(spec.precision.variant().into());
    spec.transforms.iter().for_each(|layer| named_by(layer, spec.context_dims > 0, names));
    let maps = spec.context_transforms.iter();
    names.extend(maps.map(|layer| format!("{} of the context", layer.variant())));
}

fn named_by(layer: &LayerSpec, context: bool, names: &mut BTreeSet<String>) {
    let name = layer.variant();
    names.insert(name.into());
    let mut map = |m: &MonotoneSpec| names.insert(format!("{name} of {}", m.variant()));
    let network = |n: &NetworkSpec| {
        let NetworkSpec { residual, activation, hidden: _ } = n;
        [
            format!("{name} with {}", activation.variant()),
            format!("{name}, residual {residual}, context {context}"),
        ]
    };
    match layer {
        LayerSpec::Chain { transforms } => {
            transforms.iter().for_each(|layer| named_by(layer, context, names));
        }
        LayerSpec::Inverted { transform } => named_by(transform, context, names),
        LayerSpec::Elementwise { monotone } => {
            map(monotone);
        }
        LayerSpec::Coupling { monotone, network: n, .. } => {
            map(monotone);
            names.extend(network(n));
        }
        LayerSpec::Autoregressive { monotone, network: n, order } => {
            map(monotone);
            names.extend(network(n));
            if order.is_some() {
                names.insert("Autoregressive in another order".into());
            }
        }
        LayerSpec::Support { maps } => names.extend(maps.iter().map(|m| m.variant().to_owned())),
        LayerSpec::Permutation { .. }
        | LayerSpec::Plu { .. }
        | LayerSpec::ActNorm {}
        | LayerSpec::Standardize { .. } => {}
    }
}
