//! Law 11: where kernels run a flow without tensors, density and gradient are those of the tensors.

use super::case::{Case, built, close};
use crate::engine::{Engine, Input, flat_weights};
use crate::host::random::{Purpose, Streams, uniform};
use crate::host::rows::Rows;

/// Density and gradient of an engine.
fn outcome(
    mut engine: Engine<f64>,
    weights: &[f64],
    input: Input<'_>,
    row_weights: &[f64],
) -> [Vec<f64>; 3] {
    let say = |e| panic!("{e}");
    engine.load(weights).unwrap_or_else(say);
    let mut gradient = vec![0.0; weights.len()];
    let trained = engine
        .gradient(weights, input, row_weights, &mut gradient)
        .unwrap_or_else(|e| panic!("{e}"));
    let scored = engine.log_prob(weights, input).unwrap_or_else(|e| panic!("{e}"));
    [scored, trained, gradient]
}

/// Where kernels run the flow without tensors, density and gradient agree with those of the tensors, at every point where they are finite.
/// Says whether they do run it.
///
/// # Panics
/// Where they do not agree.
pub fn engine_and_tensors_agree(case: &Case) -> bool {
    // Where a far point's square is the whole density, its gradients drown those of all others.
    let case = case.only(|row| row.iter().all(|v| v.abs() < 1e3));
    let n = case.points.len();
    let rows = |values: Vec<f64>, width| Rows::new(values, width).unwrap_or_else(|e| panic!("{e}"));
    let x = rows(case.points.concat(), case.spec.dims);
    let context = case.context().map(|c| rows(super::case::host(c), case.spec.context_dims));
    let log_det: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
    let mut rng = Streams::new(6).rng(Purpose::Check, 3, 0);
    let row_weights: Vec<f64> = (0..n).map(|_| uniform(&mut rng)).collect();
    for seed in case.seeds() {
        let flow = built(&case.spec, seed);
        let engine = Engine::<f64>::new(&flow);
        if !engine.has_program() {
            return false;
        }
        let (_, weights) = flat_weights::<f64>(&flow).unwrap_or_else(|e| panic!("{e}"));
        let input = Input { x: &x, log_det: &log_det, context: context.as_ref(), draws: None };
        let name = format!("{} seed {seed}", case.name);
        let [scored, trained, gradient] = outcome(engine, &weights, input, &row_weights);
        let tensors = Engine::<f64>::of_tensors(&flow);
        let [_, expected, by_tensors] = outcome(tensors, &weights, input, &row_weights);
        assert_eq!(scored, trained, "{name}: scoring and training give the same bits");
        close(&format!("{name}, density"), &trained, &expected, 1e-10);
        // A gradient is a sum over rows, of terms that may be as large as the largest gradient.
        let largest = by_tensors.iter().fold(0.0f64, |top, g| top.max(g.abs()));
        close(&format!("{name}, gradient"), &gradient, &by_tensors, 1e-10 * (1.0 + largest));
    }
    true
}
