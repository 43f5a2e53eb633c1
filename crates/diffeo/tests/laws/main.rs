//! The laws that every transform obeys, over all that a file can name.

mod maps;
mod structure;

use std::collections::BTreeSet;

use diffeo::laws::{self, Case, cases};
use diffeo::monotone::MonotoneSpec;
use diffeo::{BaseSpec, LayerSpec};

/// The names of variants that a specification mentions, however deep.
fn mentioned(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            names.extend(fields.get("type").and_then(|name| name.as_str()).map(str::to_owned));
            fields.values().for_each(|value| mentioned(value, names));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| mentioned(value, names)),
        _ => {}
    }
}

#[test]
fn every_name_of_every_catalogue_has_a_case() {
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    for case in cases() {
        mentioned(&serde_json::to_value(&case.spec).unwrap(), &mut found);
        assert!(names.insert(case.name.clone()), "two cases are called {}", case.name);
    }
    let catalogues = [
        LayerSpec::NAMES,
        MonotoneSpec::NAMES,
        BaseSpec::NAMES,
        diffeo::conditioner::ConditionerSpec::NAMES,
    ];
    let snake = |name: &str| {
        let mut text = String::new();
        for c in name.chars() {
            if c.is_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.extend(c.to_lowercase());
        }
        text
    };
    let demanded: BTreeSet<String> = catalogues.concat().into_iter().map(snake).collect();
    let missing: Vec<_> = demanded.difference(&found).filter(|name| *name != "own").collect();
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
    all(laws::engine_and_tensors_agree);
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
