//! Graphs that are known.

use super::gates::cyclic_slopes;
use super::*;
use crate::host::linalg::log_abs_det;
use crate::host::random::{normal, uniform};

/// Edges `[parent, child]` of ten columns whose order is none of theirs: a chain, a fork, a collider and a pair by itself.
const EDGES: [[usize; 2]; 10] =
    [[7, 2], [2, 5], [5, 0], [7, 9], [9, 5], [3, 9], [3, 1], [8, 1], [1, 0], [6, 4]];

/// Rows of `x_j = sum_i w_ij x_i + noise` with weights between 0.6 and 1.6 of either sign.
fn linear(n: usize, deviation: impl Fn(usize) -> f64) -> Rows {
    let order = [7, 3, 8, 6, 2, 9, 5, 1, 0, 4];
    let mut rng = Streams::new(12).rng(Purpose::Check, 0, 0);
    let mut weight =
        || (0.6 + uniform(&mut rng)) * if uniform(&mut rng) < 0.5 { -1.0 } else { 1.0 };
    let weights: Vec<f64> = EDGES.iter().map(|_| weight()).collect();
    let mut rng = Streams::new(13).rng(Purpose::Check, 0, 0);
    let mut values = Vec::new();
    for _ in 0..n {
        let mut x = [0.0; 10];
        for &j in &order {
            let into = EDGES.iter().zip(&weights).filter(|(edge, _)| edge[1] == j);
            x[j] = into.map(|(edge, weight)| weight * x[edge[0]]).sum::<f64>();
            x[j] += deviation(j) * normal(&mut rng);
        }
        values.extend(x.map(|v| 5.0 * v + 40.0));
    }
    Rows::new(values, 10).unwrap()
}

fn parents() -> Vec<Vec<usize>> {
    let of = |j: usize| EDGES.iter().filter(move |edge| edge[1] == j).map(|edge| edge[0]);
    let mut parents: Vec<Vec<usize>> = (0..10).map(|j| of(j).collect()).collect();
    parents.iter_mut().for_each(|parents| parents.sort_unstable());
    parents
}

fn search() -> GraphSearch {
    GraphSearch { noise: NoiseScale::Equal, units: 0, ..GraphSearch::default() }
}

#[test]
fn linear_dependences_with_equal_noise_are_found_exactly() {
    let rows = linear(1000, |_| 1.0);
    let found = search().run(&rows).unwrap();
    assert_eq!(found.parents, parents(), "{:?}", found.edges);
    assert_eq!((found.edges.len(), found.left_out.len()), (10, 0));
    assert!(found.edges.iter().all(|(_, gate)| *gate > 0.45), "{:?}", found.edges);
    // Without the penalty nothing tells a column from its parents.
    let x = tensor_of(&search().prepared(&rows).unwrap());
    let options = LearnerOptions { learning_rate: LEARNING_RATE, ..LearnerOptions::default() };
    let mut learner = Learner::new(Gates::new(&search(), 10), options).unwrap();
    for _ in 0..1000 {
        learner.step(|gates| gates.loss(&x, &search(), 0.0)).unwrap();
    }
    let free = super::found(&learner.module().strengths().unwrap(), 0.3);
    assert!(free.parents != parents() && !free.left_out.is_empty(), "{:?}", free.edges);
}

#[test]
fn no_dependence_is_lost_where_its_direction_cannot_be_told() {
    // a -> b, a -> c <- b, c -> d, linear and normal, with noise of their own.
    let mut rng = Streams::new(5).rng(Purpose::Check, 0, 0);
    let mut values = Vec::new();
    for _ in 0..800 {
        let a = normal(&mut rng);
        let b = 0.8 * a + normal(&mut rng);
        let c = b - a + normal(&mut rng);
        values.extend([a, b, c, 0.5 * c + normal(&mut rng)]);
    }
    let rows = Rows::new(values, 4).unwrap();
    let found = GraphSearch { steps: 2000, ..GraphSearch::default() }.run(&rows).unwrap();
    let joined =
        |i: usize, j: usize| found.parents[i].contains(&j) || found.parents[j].contains(&i);
    for (i, j) in [(0, 1), (0, 2), (1, 2), (2, 3)] {
        assert!(joined(i, j), "{i} and {j}: {:?}", found.edges);
    }
}

#[test]
fn bends_tell_directions_where_noise_is_of_any_size() {
    // 2 -> 0 -> 1, with noise that linear dependences could not be told by.
    let mut rng = Streams::new(3).rng(Purpose::Check, 0, 0);
    let mut values = Vec::new();
    for _ in 0..500 {
        let mut noise = |size: f64| size * normal(&mut rng);
        let c = noise(3.0);
        let a = (c * 0.7).sin() * 2.0 + 0.1 * c * c + noise(0.5);
        let b = 100.0 * ((1.5 * a).tanh() + 0.3 * (2.0 * a).cos()) + noise(30.0);
        values.extend([a, b, c]);
    }
    let rows = Rows::new(values, 3).unwrap();
    let search = GraphSearch { steps: 1500, ..GraphSearch::default() };
    let found = search.run(&rows).unwrap();
    assert_eq!(found.parents, [vec![2], vec![0], vec![]], "{:?}", found.edges);
    assert_eq!(search.run(&rows).unwrap(), found, "the same bits");
}

#[test]
fn the_slopes_of_the_penalty_are_those_of_differences_and_vanish_on_no_cycle() {
    let h = |g: &[f64], s: f64| -> f64 {
        let rest = (0..9).map(|at| s * f64::from(u8::from(at / 3 == at % 3)) - g[at]).collect();
        3.0 * s.ln() - log_abs_det(rest, 3)
    };
    let cyclic = [0.0, 0.4, 0.1, 0.3, 0.0, 0.2, 0.5, 0.1, 0.0];
    for (scale, s) in [(1.0, 1.0), (4.0, 4.0)] {
        let g: Vec<f64> = cyclic.iter().map(|v| scale * v).collect();
        let found = cyclic_slopes(&SquareMatrix::new(g.clone(), 3));
        for at in 0..9 {
            let moved = |step: f64| {
                let mut g = g.clone();
                g[at] += step;
                h(&g, s)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((found[at] - expected).abs() < 1e-6, "{at}: {} {expected}", found[at]);
        }
        assert!(h(&g, s) > 0.01);
    }
    let acyclic = [0.0, 9.0, 0.5, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0];
    assert!(h(&acyclic, 1.0).abs() < 1e-12);
    let slopes = cyclic_slopes(&SquareMatrix::new(acyclic.to_vec(), 3));
    assert!(slopes.iter().zip(acyclic).all(|(slope, g)| g == 0.0 || *slope == 0.0), "{slopes:?}");
}

#[test]
fn an_edge_that_would_close_a_cycle_is_left_out_and_told() {
    let gates = vec![0.0, 0.9, 0.35, 0.5, 0.0, 0.8, 0.6, 0.2, 0.0];
    let graph = found(&SquareMatrix::new(gates, 3), 0.3);
    assert_eq!(graph.parents, [vec![], vec![0], vec![0, 1]]);
    assert_eq!(graph.edges, [([0, 1], 0.9), ([1, 2], 0.8), ([0, 2], 0.35)]);
    assert_eq!(graph.left_out, [([2, 0], 0.6), ([1, 0], 0.5)]);
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let rows = |values: &[f64]| Rows::new(values.to_vec(), 2).unwrap();
    let fault = |search: GraphSearch, values: &[f64]| {
        search.run(&rows(values)).unwrap_err().message().to_owned()
    };
    let good = [0.0, 1.0, 1.0, 3.0, 2.0, 2.0, 3.0, 5.0];
    assert!(fault(search(), &good[..6]).contains("needs 4 rows without missing values, found 3"));
    let nan = [&good[..6], &[f64::NAN, 1.0]].concat();
    assert!(fault(search(), &nan).contains("found 3"));
    let constant = [1.0, 1.0, 1.0, 3.0, 1.0, 2.0, 1.0, 5.0];
    assert!(fault(search(), &constant).contains("column 0 holds one value"));
    assert!(fault(GraphSearch { units: 65, ..search() }, &good).contains("0..=64, found 65"));
    assert!(fault(GraphSearch { sparsity: -1.0, ..search() }, &good).contains("at least 0"));
    assert!(fault(GraphSearch { steps: 0, ..search() }, &good).contains("at least 1"));
}
