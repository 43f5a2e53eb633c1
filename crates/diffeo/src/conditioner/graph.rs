//! What is known of who influences whom: a directed acyclic graph over the columns.

use serde::{Deserialize, Serialize};

use super::{Conditioner, DescribeConditioner, Networked, Structure};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::network::{InputSets, Network, NetworkSpec};
use crate::parameter::Init;
use crate::place::Place;

/// A network in which the parameters of a column depend on exactly its parents in a graph, and on the context.
///
/// * Hidden units are of the distinct sets of parents: a unit of a set sees the columns in it and units whose sets are in it, a column's parameters see units whose sets are in
///   its parents. So a column never sees one that is not a parent, and columns share units for the parents that they share. Each set has as many units as the others, in
///   each hidden layer one at least.
/// * Levels are those of the graph, so an inverse in passes takes as many as the graph is deep: a column without parents is of the first one. On the CPU, where the
///   map has a kernel, it takes one.
/// * Cost: kernels see the staircase that covers the masks and multiply masked weights in it as zeros. So a pass costs what one of a masked network of the same widths does, at most.
/// * A composition of layers of one graph follows its paths: with several of them a column depends on its ancestors, with one on its parents.
///
/// Reference: Wehenkel, Louppe. *Graphical Normalizing Flows*. AISTATS 2021, section 3.2, arXiv:2006.02548 (there the parents are masks of the inputs of a network that
/// runs once for each column).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// The network.
    pub network: NetworkSpec,
    /// The parents of each column.
    pub parents: Vec<Vec<usize>>,
}

/// How deep each column lies in a graph, given the parents of each: 0 without parents, else one more than the deepest of them.
///
/// # Errors
/// The columns of a cycle, each a parent of the next and the last one of the first, if the graph has one.
///
/// # Panics
/// If a parent is no column.
pub fn depths(parents: &[Vec<usize>]) -> std::result::Result<Vec<usize>, Vec<usize>> {
    let mut children = vec![Vec::new(); parents.len()];
    for (column, parents) in parents.iter().enumerate() {
        parents.iter().for_each(|&parent| children[parent].push(column));
    }
    let mut waiting: Vec<usize> = parents.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..parents.len()).filter(|&column| waiting[column] == 0).collect();
    let mut depths = vec![0; parents.len()];
    while let Some(column) = ready.pop() {
        for &child in &children[column] {
            depths[child] = depths[child].max(depths[column] + 1);
            waiting[child] -= 1;
            if waiting[child] == 0 {
                ready.push(child);
            }
        }
    }
    // A column that still waits does so for a parent that waits, too: going up ends in a cycle.
    let Some(start) = waiting.iter().position(|left| *left > 0) else { return Ok(depths) };
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let above = parents[last].iter().find(|&&parent| waiting[parent] > 0);
        let Some(&above) = above else { return Ok(depths) };
        if let Some(first) = path.iter().position(|&column| column == above) {
            path.drain(..first);
            path.reverse();
            return Err(path);
        }
        path.push(above);
    }
}

impl GraphSpec {
    /// Most edges: a file says each of them.
    pub const EDGES_MAX: usize = 1 << 17;

    /// Checks that the parents make a graph without cycles.
    fn check(parents: &[Vec<usize>]) -> Result<Vec<usize>> {
        let dims = parents.len();
        let edges: usize = parents.iter().map(Vec::len).sum();
        if edges > Self::EDGES_MAX {
            return Err(Error::config(format!(
                "graph: expected at most {} edges, found {edges}",
                Self::EDGES_MAX
            )));
        }
        for (column, parents) in parents.iter().enumerate() {
            let mut sorted = parents.clone();
            sorted.sort_unstable();
            let fault = |text: String| Err(Error::config(format!("graph: {text}")));
            if let Some(parent) = sorted.last().filter(|parent| **parent >= dims) {
                return fault(format!(
                    "parents must be in 0..{dims}, found {parent} for column {column}"
                ));
            }
            if sorted.contains(&column) {
                return fault(format!("column {column} is a parent of itself"));
            }
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return fault(format!("column {column} has the parent {} twice", pair[0]));
            }
        }
        depths(parents).map_err(|cycle| {
            let around: Vec<String> =
                cycle.iter().chain(cycle.first()).map(usize::to_string).collect();
            Error::config(format!(
                "graph: expected no cycle, found the columns {}; take one of these edges out",
                around.join(" -> ")
            ))
        })
    }

    /// The columns by their depth, the sets of their parents in that order, and how many columns each level has.
    fn sorted(&self, depths: &[usize], context: bool) -> (Vec<usize>, InputSets, Vec<usize>) {
        let dims = depths.len();
        let mut order: Vec<usize> = (0..dims).collect();
        order.sort_by_key(|&column| depths[column]);
        let mut place = vec![0; dims];
        order.iter().enumerate().for_each(|(at, &column)| place[column] = at);
        let of = |&column: &usize| self.parents[column].iter().map(|&p| place[p]).collect();
        let parents: Vec<Vec<usize>> = order.iter().map(of).collect();
        let mut levels = vec![0; depths.iter().max().map_or(0, |deepest| deepest + 1)];
        depths.iter().for_each(|&depth| levels[depth] += 1);
        (order, InputSets::new(dims, &parents, context), levels)
    }
}

impl DescribeConditioner for GraphSpec {
    fn validate(&self, at: Place) -> Result<()> {
        at.expect_width("graph", self.parents.len())?;
        Self::check(&self.parents)?;
        self.network.validate()?;
        let needed = InputSets::count(&self.parents, at.context > 0);
        match self.network.hidden.iter().find(|width| **width < needed) {
            None => Ok(()),
            Some(width) => Err(Error::config(format!(
                "graph: expected hidden layers of {needed} units at least, one for each of the different sets of parents, found {width}; take wider hidden layers"
            ))),
        }
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let dims = at.dims as u64;
        self.network.count(dims, at.context as u64, dims.checked_mul(per_dim)?)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        let (order, sets, levels) = self.sorted(&Self::check(&self.parents)?, at.context > 0);
        let order = (!order.is_sorted()).then_some(order);
        let structure = Structure::new(at.dims, order.clone(), order, levels)?;
        let network = Network::of_sets(&self.network, &sets, per_dim, at.context, init);
        Ok(Box::new(Networked { structure, network }))
    }
}

impl Cases for GraphSpec {
    /// Two columns in a row, or more of them with two ways from one to another; later columns come first.
    fn cases(at: Place) -> Vec<Self> {
        let reach = if at.dims < 3 { 1..2 } else { 2..4 };
        let of = |column: usize| {
            reach.clone().map(|by| column + by).filter(|&parent| parent < at.dims).collect()
        };
        let parents: Vec<Vec<usize>> = (0..at.dims).map(of).collect();
        let networks = NetworkSpec::cases(at).into_iter().take(2);
        networks.map(|network| Self { network, parents: parents.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    fn spec(hidden: usize, parents: &[&[usize]]) -> GraphSpec {
        let activation = Activation::Tanh;
        let network = NetworkSpec { hidden: vec![hidden; 2], residual: false, activation };
        GraphSpec { network, parents: parents.iter().map(|p| p.to_vec()).collect() }
    }

    fn fault(spec: &GraphSpec) -> String {
        let at = Place::new(spec.parents.len(), 0);
        spec.validate(at).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_is_no_graph_is_refused_and_told_why() {
        assert!(fault(&spec(8, &[&[], &[2]])).contains("0..2, found 2 for column 1"));
        assert!(fault(&spec(8, &[&[0], &[]])).contains("column 0 is a parent of itself"));
        assert!(fault(&spec(8, &[&[], &[0, 0]])).contains("column 1 has the parent 0 twice"));
        assert!(spec(8, &[&[]]).validate(Place::new(2, 0)).is_err());
        let all: Vec<usize> = (0..GraphSpec::EDGES_MAX + 1).collect();
        assert!(fault(&spec(8, &[&[], &all])).contains("edges"));
        // Column 0 hangs below the cycle, column 4 is not part of it.
        let found = fault(&spec(8, &[&[1], &[2], &[3, 4], &[1], &[]]));
        assert!(found.contains("the columns 3 -> 2 -> 1 -> 3"), "{found}");
        assert!(fault(&spec(8, &[&[1], &[0]])).contains("cycle"));
    }

    #[test]
    fn every_set_of_parents_needs_a_unit() {
        let graph = |hidden| spec(hidden, &[&[], &[0], &[0, 1], &[0], &[2]]);
        assert!(fault(&graph(2)).contains("3 units at least"));
        graph(3).validate(Place::new(5, 0)).unwrap();
        assert!(graph(3).validate(Place::new(5, 2)).is_err(), "one sees the context alone");
        graph(4).validate(Place::new(5, 2)).unwrap();
    }

    #[test]
    fn levels_are_as_many_as_the_graph_is_deep() {
        let structure = |parents: &[&[usize]]| {
            let mut init = Init::new(0, burn::tensor::DType::F64, burn::tensor::Device::flex());
            let (spec, at) = (spec(16, parents), Place::new(parents.len(), 0));
            spec.build(at, 2, &mut init).unwrap().structure().clone()
        };
        let found = structure(&[&[], &[0], &[0], &[1, 2]]);
        assert_eq!((found.levels(), &found.moved), (&[1, 2, 1][..], &None));
        let found = structure(&[&[3], &[], &[0, 1], &[]]);
        assert_eq!((found.levels(), &found.moved), (&[2, 1, 1][..], &Some(vec![1, 3, 0, 2])));
        assert_eq!(structure(&[&[], &[], &[]]).levels(), [3]);
        assert_eq!(structure(&[&[], &[0], &[1]]).levels(), [1, 1, 1]);
    }
}
