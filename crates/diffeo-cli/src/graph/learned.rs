//! `--graph learn`: who influences whom, from the rows themselves.

use std::path::Path;

use diffeo::train::{FoundGraph, GraphSearch, NoiseScale, TrainingData};
use diffeo::{Column, Result, Rows, Schema, quoted};

use super::Graph;
use crate::output::Console;
use crate::progress::grouped;

/// What `--graph` asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The edges of a file.
    Given(Graph),
    /// Those that the rows show.
    Learned(NoiseScale),
}

/// The noise that a graph is to be learned with, if it is; a file of such a name is `./learn`.
fn noise(text: &Path) -> Option<NoiseScale> {
    match text.to_str() {
        Some("learn") => Some(NoiseScale::Own),
        Some("learn=equal") => Some(NoiseScale::Equal),
        _ => None,
    }
}

/// The file that `--graph` names, if it names one.
pub(crate) fn file(text: &Path) -> Option<&Path> {
    noise(text).is_none().then_some(text)
}

impl Wanted {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// As [`Graph::read`].
    pub(crate) fn read(text: &Path) -> Result<Self> {
        match noise(text) {
            Some(noise) => Ok(Self::Learned(noise)),
            None => Graph::read(text).map(Self::Given),
        }
    }

    /// The parents of each number of a flow of these columns, by their places.
    ///
    /// # Errors
    /// As [`Graph::parents`] and [`GraphSearch::run`].
    pub(crate) fn parents(
        &self,
        schema: &Schema,
        data: &TrainingData,
        seed: u64,
        console: &Console,
    ) -> Result<Vec<Vec<usize>>> {
        match self {
            Self::Given(graph) => graph.parents(schema, console),
            Self::Learned(noise) => learn(*noise, schema, data, seed, console),
        }
    }
}

fn learn(
    noise: NoiseScale,
    schema: &Schema,
    data: &TrainingData,
    seed: u64,
    console: &Console,
) -> Result<Vec<Vec<usize>>> {
    let places: Vec<usize> =
        (0..schema.columns.len()).filter(|&i| schema.columns[i].has_number()).collect();
    if places.len() < 2 {
        return Ok(vec![Vec::new(); places.len()]);
    }
    if data.weights.is_some() {
        console.warn("the weights of rows count in the fit, not in the search for a graph");
    }
    let values = (0..data.x.len()).flat_map(|i| places.iter().map(move |&j| data.x.row(i)[j]));
    let rows = Rows::new(values.collect(), places.len())?;
    console.note(format!("searching for a graph of {} columns", places.len()));
    let found = GraphSearch { noise, seed, ..GraphSearch::default() }.run(&rows)?;
    let numbers: Vec<&Column> = places.iter().map(|&i| &schema.columns[i]).collect();
    announce(&found, &numbers, console);
    Ok(found.parents)
}

fn announce(found: &FoundGraph, numbers: &[&Column], console: &Console) {
    let edge = |([parent, child], gate): &([usize; 2], f64)| {
        let [parent, child] = [parent, child].map(|&i| quoted(&numbers[i].name));
        format!("  {parent} -> {child}  # gate {gate:.2}")
    };
    console.note(format!("found {} edges", grouped(found.edges.len() as u64)));
    found.edges.iter().for_each(|found| console.note(edge(found)));
    if !found.left_out.is_empty() {
        let left: Vec<String> = found.left_out.iter().map(|e| edge(e).trim().to_owned()).collect();
        console.warn(format!(
            "the search has not come to its end; these edges would close a cycle and were left out: {}",
            left.join(", ")
        ));
    }
    let is_alone = |i: &usize| !found.edges.iter().any(|([a, b], _)| a == i || b == i);
    let alone: Vec<String> =
        (0..numbers.len()).filter(is_alone).map(|i| quoted(&numbers[i].name)).collect();
    if !alone.is_empty() {
        console.note(format!("fitted as independent of the others: {}", alone.join(", ")));
    }
}
