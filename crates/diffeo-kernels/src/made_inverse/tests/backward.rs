//! The backward pass of the inverse against difference quotients, and what its rows owe to each other.

use super::*;
use crate::MapGradients;

const ROWS: usize = 70;

struct Problem<T> {
    net: Net<T>,
    z: Vec<T>,
    /// By value and by log-slope.
    grads: [Vec<T>; 2],
    addend: Option<Vec<T>>,
}

impl<T: Real> Problem<T> {
    fn new(
        dims: usize,
        hidden: usize,
        map: Arc<dyn MapKernel<T>>,
        residual: bool,
        context: bool,
    ) -> Self {
        Self {
            net: net(dims, hidden, map, residual),
            z: noise(ROWS * dims, 3),
            grads: [5, 6].map(|seed| noise(ROWS * dims, seed)),
            addend: context.then(|| noise(ROWS * hidden, 4)),
        }
    }

    fn addends<'a>(&'a self, addend: Option<&'a [T]>) -> Vec<Option<&'a [T]>> {
        let mut addends = vec![None; self.net.graph.nodes().len()];
        addends[0] = addend;
        addends
    }

    fn inverse(&self, z: &[T], addend: Option<&[T]>) -> [Vec<T>; 2] {
        let [mut x, mut log_slope] = [vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]];
        self.net.prepared().run(z, None, &self.addends(addend), &mut x, &mut log_slope);
        [x, log_slope]
    }

    fn loss(&self) -> f64 {
        let found = self.inverse(&self.z, self.addend.as_deref());
        let pairs = found.iter().flatten().zip(self.grads.iter().flatten());
        pairs.map(|(v, g)| v.to_f64() * g.to_f64()).sum()
    }

    /// Gradients by `z`, the first node's addend, and the weights, of some rows.
    fn gradients(&self, rows: Range<usize>) -> [Vec<T>; 3] {
        let (dims, hidden) = (self.net.dims, self.net.layers[0].1.len());
        let at = rows.start * dims..rows.end * dims;
        let addend = self.addend.as_ref().map(|a| &a[rows.start * hidden..rows.end * hidden]);
        let [x, _] = self.inverse(&self.z[at.clone()], addend);
        let from =
            MapGradients { value: &self.grads[0][at.clone()], log_slope: &self.grads[1][at] };
        let total = self.net.layers.iter().map(|(w, b, _)| w.len() + b.len()).sum();
        let mut weights = vec![T::ZERO; total];
        let (graph, map) = (&self.net.graph, Arc::clone(&self.net.map));
        let backward = MadeInverseBackward::new(graph, &self.net.weights(), map, dims);
        let found = backward.run(&x, &self.addends(addend), from, Some(&mut weights));
        [found.z, found.addends[0].clone(), weights]
    }
}

/// The argument that the entry `at` of a list of gradients belongs to.
fn argument(problem: &mut Problem<f64>, list: usize, mut at: usize) -> Option<&mut f64> {
    match list {
        0 => Some(&mut problem.z[at]),
        1 => problem.addend.as_mut().map(|addend| &mut addend[at]),
        _ => {
            for (weight, bias, stairs) in &mut problem.net.layers {
                let outputs = bias.len();
                if at < weight.len() {
                    let seen = at / outputs < stairs.prefix()[at % outputs];
                    return seen.then_some(&mut weight[at]);
                }
                at -= weight.len();
                if at < outputs {
                    return Some(&mut bias[at]);
                }
                at -= outputs;
            }
            None
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for (residual, context) in [(false, true), (true, false)] {
        for map in [affine(), spline()] {
            let mut problem = Problem::<f64>::new(4, 13, map, residual, context);
            for (list, found) in problem.gradients(0..ROWS).into_iter().enumerate() {
                for at in (0..found.len()).step_by(7) {
                    let Some(start) = argument(&mut problem, list, at).map(|v| *v) else {
                        assert!(list == 1 || found[at] == 0.0, "a masked weight has a gradient");
                        continue;
                    };
                    let mut quotient = |h: f64| {
                        let [up, down] = [h, -h].map(|step| {
                            if let Some(value) = argument(&mut problem, list, at) {
                                *value = start + step;
                            }
                            problem.loss()
                        });
                        if let Some(value) = argument(&mut problem, list, at) {
                            *value = start;
                        }
                        (up - down) / (2.0 * h)
                    };
                    // A long step may cross a knot or a bend, a short one rounds.
                    let expected = [1e-4, 1e-5, 1e-6, 1e-7].map(&mut quotient);
                    let fits = |e: &f64| (found[at] - e).abs() < 1e-5 * (1.0 + e.abs());
                    assert!(
                        expected.iter().any(fits),
                        "list {list}, entry {at}: {} against {expected:?}",
                        found[at]
                    );
                }
            }
        }
    }
}

#[test]
fn d9_a_row_has_the_same_bits_in_any_chunk_and_on_any_instruction_set() {
    for map in [affine(), spline()] {
        let problem = Problem::<f32>::new(6, 40, map, true, true);
        let all = at_each_level(|| {
            let [z, addend, _] = problem.gradients(0..ROWS);
            for rows in [0..1, 3..70, 5..40, 69..70] {
                let part = problem.gradients(rows.clone());
                assert!(part[0] == z[rows.start * 6..rows.end * 6]);
                assert!(part[1] == addend[rows.start * 40..rows.end * 40]);
            }
            [z, addend]
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn a_bad_row_spoils_its_own_gradients_only() {
    for map in [affine(), spline()] {
        let mut problem = Problem::<f64>::new(4, 20, map, false, false);
        let clean = problem.gradients(0..ROWS);
        problem.z[33 * 4 + 1] = f64::NAN;
        let bad = problem.gradients(0..ROWS);
        for row in 0..ROWS {
            let same = clean[0][row * 4..][..4] == bad[0][row * 4..][..4];
            assert_eq!(same, row != 33);
        }
    }
}

#[test]
fn no_rows_have_gradients_of_zero() {
    let problem = Problem::<f64>::new(3, 9, spline(), true, false);
    let [z, addend, weights] = problem.gradients(0..0);
    assert!(z.is_empty() && addend.is_empty() && weights.iter().all(|g| *g == 0.0));
}

#[test]
#[should_panic(expected = "multiplied twice")]
fn a_node_that_two_layers_multiply_is_refused() {
    let net = net::<f64>(2, 5, affine(), false);
    let mut nodes = net.graph.nodes().to_vec();
    nodes.insert(2, nodes[1].clone());
    if let Some(Node::Linear { input, .. }) = nodes.last_mut() {
        *input = 3;
    }
    let mut weights = net.weights();
    weights.insert(2, weights[1]);
    let _ = MadeInverseBackward::new(&Graph::new(2, nodes), &weights, affine(), 2);
}
