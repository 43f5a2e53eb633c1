//! The laws that every transform obeys, over all that a file can name.

mod maps;
mod structure;

use std::collections::BTreeSet;

use diffeo::conditioner::ConditionerSpec;
use diffeo::laws::{self, Case, cases};
use diffeo::monotone::MonotoneSpec;
use diffeo::{BaseSpec, LayerSpec};
use serde_json::Value;

/// What a specification mentions, however deep: the names of variants, which scalar map and which network a layer has.
fn mentioned(value: &Value, context: bool, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("type").and_then(Value::as_str) {
                names.insert(name.to_owned());
                names.extend(value.pointer("/monotone/type").map(|map| format!("{name} of {map}")));
                if let Some(network) = fields.get("network") {
                    names.insert(format!("{name} with {}", network["activation"]));
                    let residual = &network["residual"];
                    names.insert(format!("{name}, residual {residual}, context {context}"));
                }
                let order = fields.get("order").filter(|order| order.is_array());
                names.extend(order.map(|_| format!("{name} in another order")));
            }
            fields.values().for_each(|value| mentioned(value, context, names));
        }
        Value::Array(items) => items.iter().for_each(|value| mentioned(value, context, names)),
        _ => {}
    }
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// Every name of every catalogue, every scalar map in every layer that takes one, and every shape of network in every layer that has one.
fn demanded() -> BTreeSet<String> {
    let catalogues =
        [LayerSpec::NAMES, MonotoneSpec::NAMES, BaseSpec::NAMES, ConditionerSpec::NAMES];
    let mut names: BTreeSet<String> = catalogues.concat().into_iter().map(snake).collect();
    names.remove("own");
    for layer in ["elementwise", "coupling", "autoregressive"] {
        let maps = MonotoneSpec::NAMES.iter().map(|map| snake(map));
        names.extend(maps.map(|map| format!("{layer} of \"{map}\"")));
    }
    for layer in ["coupling", "autoregressive"] {
        names.extend(["relu", "tanh", "elu"].map(|name| format!("{layer} with \"{name}\"")));
        for (residual, context) in [(false, false), (false, true), (true, false), (true, true)] {
            names.insert(format!("{layer}, residual {residual}, context {context}"));
        }
    }
    names.insert("autoregressive in another order".into());
    names
}

#[test]
fn every_name_of_every_catalogue_and_every_shape_has_a_case() {
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    for case in cases() {
        let context = case.spec.context_dims > 0;
        mentioned(&serde_json::to_value(&case.spec).unwrap(), context, &mut found);
        assert!(names.insert(case.name.clone()), "two cases are called {}", case.name);
    }
    let missing: Vec<_> = demanded().difference(&found).cloned().collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
}

fn all(law: impl Fn(&Case)) {
    cases().iter().for_each(law);
}

#[test]
fn law1_shapes_and_types() {
    all(laws::shapes_and_types_are_as_promised);
}

#[test]
fn law2_law4_round_trips() {
    all(laws::round_trips_return);
}

#[test]
fn law3_log_determinants() {
    all(laws::log_det_is_that_of_the_jacobian);
}

#[test]
fn law5_e8_rows_do_not_know_each_other() {
    all(laws::rows_do_not_know_each_other);
}

#[test]
fn law6_gradients_of_weights() {
    all(laws::gradients_of_weights_are_right);
}

#[test]
fn law6_gradients_of_inputs() {
    all(laws::gradients_of_inputs_are_right);
}

#[test]
fn d3_gradients_at_edges() {
    all(laws::gradients_are_finite_at_edges);
}

#[test]
fn law7_single_precision() {
    all(laws::single_precision_agrees_with_double);
}

#[test]
fn law9_files() {
    all(laws::saved_and_loaded_it_is_the_same);
}

#[test]
fn law10_e8_threads_and_chunks() {
    all(laws::threads_change_nothing);
}

#[test]
fn law11_engine_and_tensors() {
    for case in cases() {
        let by_kernels = laws::engine_and_tensors_agree(&case);
        let fast = match case.layer() {
            Some(LayerSpec::Conditional(layer)) => {
                ["Graph", "Transformer", "Recurrent", "Convolutional"]
                    .contains(&layer.conditioner.name())
            }
            Some(layer) => matches!(
                layer,
                LayerSpec::Permutation(_)
                    | LayerSpec::Squeeze(_)
                    | LayerSpec::Pixelwise(_)
                    | LayerSpec::Split(_)
                    | LayerSpec::Plu(_)
                    | LayerSpec::Coupling(_)
                    | LayerSpec::Autoregressive(_)
                    | LayerSpec::Continuous(_)
            ),
            None => false,
        };
        // Maps by another library's parameters are made of tensor operations.
        let map = match case.layer() {
            Some(LayerSpec::Coupling(layer)) => Some(&layer.monotone),
            Some(LayerSpec::Autoregressive(layer)) => Some(&layer.monotone),
            Some(LayerSpec::Conditional(layer)) => Some(&layer.monotone),
            _ => None,
        };
        let fast = fast && map.is_none_or(|map| map.name() != "Translated");
        let expected = fast && case.spec.base.name() == "Normal";
        assert!(by_kernels || !expected, "{}: no kernels run it", case.name);
    }
}

#[test]
fn e1_bad_rows() {
    all(laws::bad_rows_spoil_no_other);
}

#[test]
fn e2_far_points() {
    all(laws::far_points_have_a_density);
}

#[test]
fn c6_absurd_weights() {
    all(laws::absurd_weights_give_no_nan);
}

#[test]
fn e6_no_rows() {
    all(laws::no_rows_give_no_densities);
}
