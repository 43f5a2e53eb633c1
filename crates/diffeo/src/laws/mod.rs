//! The laws that every bijection and every density obeys, as a kit: for the built-in layers, and for a program's own.
//!
//! ```no_run
//! # use diffeo::LayerSpec;
//! # fn layer() -> LayerSpec { todo!() }
//! use diffeo::laws::{Case, hold};
//!
//! hold(&Case::of_layer(layer(), 2, 0));
//! ```
//!
//! A law is a function that panics with what is broken, where and by how much. [`cases`] are all built-in layers and bases, in the shapes
//! that matter; whoever adds one to a catalogue is asked for its [`Cases`] by the compiler.

mod case;
mod density;
mod edges;
mod files;
mod gradients;
mod maps;
mod sensitivity;

pub use case::{Case, around, built, close, host, randomised, tensor, tensor_as, tracked};
pub use density::engine_and_tensors_agree;
pub use edges::{
    absurd_weights_give_no_nan, bad_rows_spoil_no_other, far_points_have_a_density,
    no_rows_give_no_densities,
};
pub use files::{saved_and_loaded_it_is_the_same, threads_change_nothing};
pub use gradients::{
    gradients_are_finite_at_edges, gradients_of_inputs_are_right, gradients_of_weights_are_right,
};
pub use maps::{
    log_det_is_that_of_the_jacobian, round_trips_return, rows_do_not_know_each_other,
    shapes_and_types_are_as_promised, single_precision_agrees_with_double,
};
pub use sensitivity::{WAYS, Way};

pub use crate::catalog::Cases;

use crate::bases::{BaseSpec, NormalSpec};
use crate::columns::{ImageShape, Schema};
use crate::conditioner::ConditionerSpec;
use crate::embedding::DenseEmbeddingSpec;
use crate::monotone::{Affine, MonotoneSpec};
use crate::network::{Activation, NetworkSpec};
use crate::place::Place;
use crate::presets::{Preset, PresetOptions};
use crate::transforms::{ElementwiseSpec, LayerSpec};

/// Every layer that a file can name in 1, 2 and 5 dimensions, those of images in 8, with and without context where it can have one, every base, and every
/// preset.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for dims in [1, 2, 5] {
        for context in [0, 2] {
            let layers = LayerSpec::cases(Place::new(dims, context));
            all.extend(layers.into_iter().map(|layer| Case::of_layer(layer, dims, context)));
        }
        for base in BaseSpec::cases(Place::new(dims, 0)) {
            let layer = ElementwiseSpec { monotone: Affine::default().into() };
            let mut case = Case::of_layer(layer, dims, 0);
            if base != BaseSpec::Normal(NormalSpec {}) {
                case.name = format!("{} onto {}", case.name, base.name());
                case.spec.base = base;
                all.push(case);
            }
        }
    }
    for context in [0, 2] {
        let layers = LayerSpec::cases(Place::new(8, context)).into_iter().filter(is_of_images);
        all.extend(layers.map(|layer| Case::of_layer(layer, 8, context)));
    }
    let options = PresetOptions { transforms: 2, hidden: vec![12, 12], ..PresetOptions::default() };
    for (preset, [dims, context]) in
        Preset::ALL.iter().flat_map(|p| [[2, 2], [3, 0]].map(|at| (p, at)))
    {
        // Some take no context.
        let Ok(spec) = preset.spec(dims, context, &options) else { continue };
        // Far out, one affine layer after another scales by e^14 and back, and leaves no digits of single precision.
        let case = Case::new(format!("{preset}_{dims}d_{context}c"), spec);
        all.push(case.only(|row| row.iter().all(|v| v.abs() < 1e3)));
    }
    let image = ImageShape::of_bytes(4, 4, 1);
    let rows = [("images", Schema::images(image)), ("frames", Schema::frames(image, 2))];
    let small = PresetOptions { transforms: 1, ..options.clone() };
    for (preset, (name, schema)) in Preset::of_images().zip(rows.iter().cycle()) {
        let spec = preset.spec_for(&schema.shape(), &small).expect("a sound flow");
        let case = Case::new(format!("{preset} of {name}"), spec);
        // Where black is foretold, the highest level follows the lowest at zero.
        let is_off_seams = |v: &f64| *name == "images" || v.abs() > 1e-6;
        all.push(case.only(|row| row.iter().all(|v| v.abs() < 10.0 && is_off_seams(v))));
    }
    let network = NetworkSpec { hidden: vec![7], residual: false, activation: Activation::Tanh };
    for (preset, members) in [(Preset::Nsf, 1), (Preset::NsfCoupling, 2)] {
        let embedding = DenseEmbeddingSpec { network: network.clone(), width: 3, members };
        let options = PresetOptions { embedding: Some(embedding.into()), ..options.clone() };
        let spec = preset.spec(2, 4, &options).expect("a sound flow");
        let case = Case::new(format!("{preset} of {members} embedded"), spec);
        all.push(case.only(|row| row.iter().all(|v| v.abs() < 1e3)));
    }
    for case in all.iter_mut().filter(|case| case.spec.transforms.iter().any(bends_far_out)) {
        *case = case.only(|row| row.iter().all(|v| v.abs() < 10.0));
    }
    for case in all.iter_mut().filter(|case| case.spec.transforms.iter().any(takes_long)) {
        *case = case.shortened();
    }
    for (i, case) in all.iter_mut().enumerate() {
        case.name = format!("{i}: {}", case.name);
    }
    all
}

/// Whether a layer takes rows as images.
fn is_of_images(layer: &LayerSpec) -> bool {
    match layer {
        LayerSpec::Squeeze(_)
        | LayerSpec::Pixelwise(_)
        | LayerSpec::Split(_)
        | LayerSpec::Dequantise(_) => true,
        LayerSpec::Conditional(layer) => {
            matches!(layer.conditioner, ConditionerSpec::Convolutional(_))
        }
        LayerSpec::Inverted(layer) => is_of_images(&layer.transform),
        _ => false,
    }
}

/// Whether a network gives the parameters of maps that bend far out: slopes, and the products of the Jacobian, then differ by so many powers of ten that
/// no digits are left to compare. The same maps are tried everywhere as element-wise layers.
fn bends_far_out(layer: &LayerSpec) -> bool {
    match layer {
        LayerSpec::Autoregressive(layer) => layer.monotone.bends_far_out(),
        LayerSpec::Coupling(layer) => layer.monotone.bends_far_out(),
        LayerSpec::Conditional(layer) => layer.monotone.bends_far_out(),
        other => other.inner().iter().any(bends_far_out),
    }
}

/// Whether a layer takes many times as long as others: the solution of an equation of all columns, a root for each column one after another, an integral for each element, or a transformer, which
/// has some twenty matrices of weights to be tried one after another.
fn takes_long(layer: &LayerSpec) -> bool {
    let is_integral = |map: &MonotoneSpec| matches!(map, MonotoneSpec::MonotonicNetwork(_));
    match layer {
        LayerSpec::Continuous(_) | LayerSpec::Residual(_) | LayerSpec::BlockAutoregressive(_) => {
            true
        }
        LayerSpec::Elementwise(layer) => is_integral(&layer.monotone),
        LayerSpec::Autoregressive(layer) => is_integral(&layer.monotone),
        LayerSpec::Coupling(layer) => is_integral(&layer.monotone),
        LayerSpec::Conditional(layer) => {
            let has_many = matches!(
                layer.conditioner,
                ConditionerSpec::Transformer(_) | ConditionerSpec::Convolutional(_)
            );
            has_many || is_integral(&layer.monotone)
        }
        other => other.inner().iter().any(takes_long),
    }
}

/// Holds one case to all laws.
///
/// # Panics
/// With the first law that is broken.
pub fn hold(case: &Case) {
    shapes_and_types_are_as_promised(case);
    round_trips_return(case);
    log_det_is_that_of_the_jacobian(case);
    rows_do_not_know_each_other(case);
    single_precision_agrees_with_double(case);
    gradients_of_weights_are_right(case);
    gradients_of_inputs_are_right(case);
    gradients_are_finite_at_edges(case);
    engine_and_tensors_agree(case);
    bad_rows_spoil_no_other(case);
    far_points_have_a_density(case);
    absurd_weights_give_no_nan(case);
    no_rows_give_no_densities(case);
    saved_and_loaded_it_is_the_same(case);
    threads_change_nothing(case);
}
