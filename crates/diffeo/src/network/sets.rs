//! Units that see sets of inputs.

use std::collections::{BTreeMap, BTreeSet};

use super::Mask;

/// A set of inputs, a bit for each.
#[derive(Clone, Debug, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(inputs: usize, members: &[usize]) -> Self {
        let mut words = vec![0; inputs.div_ceil(64)];
        members.iter().for_each(|&i| words[i / 64] |= 1 << (i % 64));
        Self(words)
    }

    fn has(&self, input: usize) -> bool {
        self.0[input / 64] >> (input % 64) & 1 == 1
    }

    fn is_in(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

/// Which inputs each group of outputs sees, and so which ones hidden units see: each unit is of one of the distinct sets of the outputs, sees the inputs of its set and units
/// whose sets are in it. So a group sees its inputs and no others, and groups share the units of what they have in common.
///
/// Sets are sorted by their last input, so a staircase covers every mask.
#[derive(Clone, Debug)]
pub(crate) struct InputSets {
    inputs: usize,
    /// The distinct ones.
    sets: Vec<Set>,
    /// Which of them each group of outputs has.
    outputs: Vec<usize>,
    /// The first that hidden units have.
    first: usize,
}

/// The distinct ones of some sets, each sorted.
fn distinct(sets: &[Vec<usize>]) -> BTreeSet<Vec<usize>> {
    let sorted = |set: &Vec<usize>| {
        let mut set = set.clone();
        set.sort_unstable();
        set
    };
    sets.iter().map(sorted).collect()
}

/// How many of the distinct sets are of no use to hidden units: without a context, one that sees nothing, unless there is no other.
fn useless(sets: &BTreeSet<Vec<usize>>, context: bool) -> usize {
    usize::from(!context && sets.len() > 1 && sets.first().is_some_and(Vec::is_empty))
}

impl InputSets {
    /// Of so many inputs the group `i` of the outputs sees those in `outputs[i]`.
    pub(crate) fn new(inputs: usize, outputs: &[Vec<usize>], context: bool) -> Self {
        let all = distinct(outputs);
        let first = useless(&all, context);
        let mut sorted: Vec<&Vec<usize>> = all.iter().collect();
        sorted.sort_by_key(|set| set.last().map_or(0, |last| last + 1));
        let places: BTreeMap<&Vec<usize>, usize> =
            sorted.iter().enumerate().map(|(i, set)| (*set, i)).collect();
        let place = |set: &Vec<usize>| {
            let mut set = set.clone();
            set.sort_unstable();
            places[&set]
        };
        Self {
            inputs,
            sets: sorted.iter().map(|set| Set::new(inputs, set)).collect(),
            outputs: outputs.iter().map(place).collect(),
            first,
        }
    }

    /// How many distinct sets hidden units have: fewest units of a hidden layer.
    pub(crate) fn count(outputs: &[Vec<usize>], context: bool) -> usize {
        let all = distinct(outputs);
        all.len() - useless(&all, context)
    }

    /// The sets of a hidden layer, evenly.
    fn hidden(&self, width: usize) -> impl Iterator<Item = &Set> {
        let units = &self.sets[self.first..];
        (0..width).map(move |j| &units[j * units.len() / width])
    }

    /// Between the inputs and so many hidden units.
    pub(super) fn of_inputs(&self, width: usize) -> Mask {
        let row = |i: usize| self.hidden(width).map(move |set| set.has(i));
        Mask::Each((0..self.inputs).flat_map(row).collect())
    }

    /// Between two hidden layers.
    pub(super) fn between(&self, below: usize, above: usize) -> Mask {
        let row = |from| self.hidden(above).map(move |to| Set::is_in(from, to));
        Mask::Each(self.hidden(below).flat_map(row).collect())
    }

    /// Between so many hidden units and the outputs, `each` for a group.
    pub(super) fn of_outputs(&self, width: usize, each: usize) -> Mask {
        let row = |from| {
            let groups = self.outputs.iter().map(move |to| Set::is_in(from, &self.sets[*to]));
            groups.flat_map(move |seen| std::iter::repeat_n(seen, each))
        };
        Mask::Each(self.hidden(width).flat_map(row).collect())
    }

    /// Number of inputs, and of groups of outputs.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.inputs, self.outputs.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_members_and_subsets() {
        let (small, large) = (Set::new(130, &[0, 128]), Set::new(130, &[0, 5, 128]));
        assert!(small.is_in(&large) && !large.is_in(&small) && small.is_in(&small));
        assert!(small.has(128) && !small.has(5));
    }

    #[test]
    fn groups_with_the_same_inputs_share_units() {
        let outputs = [vec![], vec![0], vec![0], vec![1, 0], vec![0, 1], vec![3]];
        assert_eq!(InputSets::count(&outputs, false), 3);
        assert_eq!(InputSets::count(&outputs, true), 4, "one for the context alone");
        assert_eq!(InputSets::count(&[vec![], vec![]], false), 1);
    }

    #[test]
    fn masks_are_those_of_the_sets_and_sets_are_sorted_by_their_last_input() {
        let sets = InputSets::new(3, &[vec![], vec![0], vec![1, 0], vec![1]], false);
        let shown = |mask: Mask, shape: [usize; 2]| -> Vec<String> {
            let values = mask.values(shape).unwrap();
            values.chunks(shape[1]).map(|row| row.iter().map(f64::to_string).collect()).collect()
        };
        // Units: {0}, {0, 1}, {1}.
        assert_eq!(shown(sets.of_inputs(3), [3, 3]), ["110", "011", "000"]);
        assert_eq!(shown(sets.between(3, 3), [3, 3]), ["110", "010", "011"]);
        assert_eq!(shown(sets.of_outputs(3, 1), [3, 4]), ["0110", "0010", "0011"]);
        assert_eq!(shown(sets.of_outputs(3, 2), [3, 8])[0], "00111100");
    }
}
