//! Importance weights beside arviz-stats; made by `benches/peers/golden_weights.py`.

use diffeo::inference::Weights;
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    log_weights: Vec<f64>,
    pareto_k: f64,
    smoothed: Vec<f64>,
}

#[test]
fn tails_and_their_smoothing_are_those_of_arviz() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/weights.json");
    let recorded: Recorded = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(recorded.cases.len() >= 5);
    for case in recorded.cases {
        let weights = Weights::new(case.log_weights).unwrap();
        let k = weights.pareto_k().unwrap();
        assert!((k - case.pareto_k).abs() < 1e-9, "{}: {k} {}", case.name, case.pareto_k);
        let smoothed = weights.smoothed().normalised();
        for (ours, theirs) in smoothed.iter().zip(&case.smoothed) {
            assert!((ours.ln() - theirs).abs() < 1e-8, "{}: {} {theirs}", case.name, ours.ln());
        }
    }
}
