//! Units that see sets of inputs.

use std::collections::BTreeSet;

use super::Mask;

/// A set of inputs, a bit for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// One more than its last member; 0 without any.
    fn end(&self) -> usize {
        let last = self.0.iter().rposition(|word| *word != 0);
        last.map_or(0, |at| 64 * at + 64 - self.0[at].leading_zeros() as usize)
    }
}

/// Which inputs each group of outputs sees, and so which ones hidden units see: each unit is of one of the distinct sets of the outputs, sees the inputs of its set and units
/// whose sets are in it. So a group sees its inputs and no others, and groups share the units of what they have in common.
///
/// Sets are sorted by their last input, so a staircase covers every mask.
#[derive(Clone, Debug)]
pub(crate) struct InputSets {
    inputs: usize,
    outputs: Vec<Set>,
    /// Of hidden units.
    units: Vec<Set>,
}

impl InputSets {
    /// Of so many inputs the group `i` of the outputs sees those in `outputs[i]`. Without a context, units that see nothing are of no use.
    pub(crate) fn new(inputs: usize, outputs: &[Vec<usize>], context: bool) -> Self {
        let outputs: Vec<Set> = outputs.iter().map(|set| Set::new(inputs, set)).collect();
        let distinct: BTreeSet<&Set> =
            outputs.iter().filter(|set| context || !set.is_empty()).collect();
        let mut units: Vec<Set> = distinct.into_iter().cloned().collect();
        if units.is_empty() {
            units.push(Set::new(inputs, &[]));
        }
        units.sort_by_key(Set::end);
        Self { inputs, outputs, units }
    }

    /// How many distinct sets hidden units have: fewest units of a hidden layer.
    pub(crate) fn count(&self) -> usize {
        self.units.len()
    }

    /// The sets of a hidden layer, evenly.
    fn hidden(&self, width: usize) -> impl Iterator<Item = &Set> {
        (0..width).map(move |j| &self.units[j * self.units.len() / width])
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
            let groups = self.outputs.iter().map(move |to| Set::is_in(from, to));
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
    fn sets_know_members_subsets_and_their_end() {
        let (small, large) = (Set::new(130, &[0, 128]), Set::new(130, &[0, 5, 128]));
        assert!(small.is_in(&large) && !large.is_in(&small) && small.is_in(&small));
        assert!(small.has(128) && !small.has(5));
        assert_eq!(
            [&small, &Set::new(130, &[63]), &Set::new(130, &[])].map(Set::end),
            [129, 64, 0]
        );
    }

    #[test]
    fn groups_with_the_same_inputs_share_units() {
        let outputs = [vec![], vec![0], vec![0], vec![1, 0], vec![3]];
        assert_eq!(InputSets::new(5, &outputs, false).count(), 3);
        assert_eq!(InputSets::new(5, &outputs, true).count(), 4, "one for the context alone");
        assert_eq!(InputSets::new(5, &[vec![], vec![]], false).count(), 1);
    }
}
