//! `--graph learn`: who influences whom, from the rows themselves.

use std::path::Path;

use diffeo::train::{FoundGraph, GraphSearch, NoiseScale, TrainingData};
use diffeo::{Column, Result, Rows, Schema, quoted};

use super::{Graph, Remark};
use crate::progress::grouped;

/// What `--graph` asks for.
#[derive(Debug)]
pub struct Wanted(Choice);

#[derive(Debug)]
enum Choice {
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
    /// [`diffeo::ErrorKind::Io`] if it cannot be read, [`diffeo::ErrorKind::Config`] with all that is wrong in it.
    pub fn read(text: &Path) -> Result<Self> {
        match noise(text) {
            Some(noise) => Ok(Self::learned(noise)),
            None => Graph::read(text).map(|graph| Self(Choice::Given(graph))),
        }
    }

    /// The parents of each child, as a file of JSON has them: `{"child": ["parent", ...]}`.
    ///
    /// # Errors
    /// As [`Wanted::read`], but for those of files.
    pub fn of_json(text: &str) -> Result<Self> {
        Graph::of_json(text).map(|graph| Self(Choice::Given(graph)))
    }

    /// A graph that is to be learned.
    pub fn learned(noise: NoiseScale) -> Self {
        Self(Choice::Learned(noise))
    }

    /// The parents of each number of a flow of these columns, by their places; `tell` hears what there is to say of them.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] with all names that are no columns of numbers, or a cycle; as [`GraphSearch::run`].
    pub fn parents(
        &self,
        schema: &Schema,
        data: &TrainingData,
        seed: u64,
        tell: &mut dyn FnMut(Remark),
    ) -> Result<Vec<Vec<usize>>> {
        match &self.0 {
            Choice::Given(graph) => graph.parents(schema, tell),
            Choice::Learned(noise) => learn(*noise, schema, data, seed, tell),
        }
    }
}

fn learn(
    noise: NoiseScale,
    schema: &Schema,
    data: &TrainingData,
    seed: u64,
    tell: &mut dyn FnMut(Remark),
) -> Result<Vec<Vec<usize>>> {
    let places: Vec<usize> =
        (0..schema.columns.len()).filter(|&i| schema.columns[i].has_number()).collect();
    if places.len() < 2 {
        return Ok(vec![Vec::new(); places.len()]);
    }
    if data.weights.is_some() {
        let text = "the weights of rows count in the fit, not in the search for a graph";
        tell(Remark::Warning(text.into()));
    }
    let values = (0..data.x.len()).flat_map(|i| places.iter().map(move |&j| data.x.row(i)[j]));
    let rows = Rows::new(values.collect(), places.len())?;
    tell(Remark::Note(format!("searching for a graph of {} columns", places.len())));
    let found = GraphSearch { noise, seed, ..GraphSearch::default() }.run(&rows)?;
    let numbers: Vec<&Column> = places.iter().map(|&i| &schema.columns[i]).collect();
    announce(&found, &numbers, tell);
    Ok(found.parents)
}

fn announce(found: &FoundGraph, numbers: &[&Column], tell: &mut dyn FnMut(Remark)) {
    let edge = |([parent, child], gate): &([usize; 2], f64)| {
        let [parent, child] = [parent, child].map(|&i| quoted(&numbers[i].name));
        format!("  {parent} -> {child}  # gate {gate:.2}")
    };
    tell(Remark::Note(format!("found {} edges", grouped(found.edges.len() as u64))));
    found.edges.iter().for_each(|found| tell(Remark::Note(edge(found))));
    if !found.left_out.is_empty() {
        let left: Vec<String> = found.left_out.iter().map(|e| edge(e).trim().to_owned()).collect();
        tell(Remark::Warning(format!(
            "the search has not come to its end; these edges would close a cycle and were left out: {}",
            left.join(", ")
        )));
    }
    let is_alone = |i: &usize| !found.edges.iter().any(|([a, b], _)| a == i || b == i);
    let alone: Vec<String> =
        (0..numbers.len()).filter(is_alone).map(|i| quoted(&numbers[i].name)).collect();
    if !alone.is_empty() {
        tell(Remark::Note(format!("fitted as independent of the others: {}", alone.join(", "))));
    }
}
