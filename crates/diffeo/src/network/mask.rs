//! Which inputs each output of a layer sees.

use std::ops::Range;

/// Which inputs each output of a layer sees.
#[derive(Clone, Debug, Default)]
pub enum Mask {
    /// All.
    #[default]
    Dense,
    /// So many leading ones, not fewer than the output before: a staircase.
    Leading(Vec<usize>),
    /// Those that are named, `[inputs, outputs]`, row after row.
    Each(Vec<bool>),
}

impl Mask {
    /// Whether output `j` of `outputs` sees input `i`.
    fn holds(&self, i: usize, j: usize, outputs: usize) -> bool {
        match self {
            Self::Dense => true,
            Self::Leading(prefix) => i < prefix[j],
            Self::Each(seen) => seen[i * outputs + j],
        }
    }

    /// Ones and zeros, row after row; `None` if all are ones.
    pub(super) fn values(&self, [inputs, outputs]: [usize; 2]) -> Option<Vec<f64>> {
        let all = (0..inputs).flat_map(|i| (0..outputs).map(move |j| (i, j)));
        let at = |(i, j)| f64::from(u8::from(self.holds(i, j, outputs)));
        (!matches!(self, Self::Dense)).then(|| all.map(at).collect())
    }

    /// How many inputs each output sees.
    pub(super) fn counts(&self, [inputs, outputs]: [usize; 2]) -> Vec<usize> {
        match self {
            Self::Dense => vec![inputs; outputs],
            Self::Leading(prefix) => prefix.clone(),
            Self::Each(seen) => {
                let mut counts = vec![0; outputs];
                for row in seen.chunks_exact(outputs.max(1)) {
                    counts.iter_mut().zip(row).for_each(|(n, seen)| *n += usize::from(*seen));
                }
                counts
            }
        }
    }

    /// The lowest staircase that covers what is seen: how many leading inputs each output may see.
    pub(super) fn prefix(&self, [inputs, outputs]: [usize; 2]) -> Vec<usize> {
        match self {
            Self::Dense => vec![inputs; outputs],
            Self::Leading(prefix) => prefix.clone(),
            Self::Each(seen) => {
                let mut prefix = vec![0; outputs];
                for (i, row) in seen.chunks_exact(outputs.max(1)).enumerate() {
                    let found = prefix.iter_mut().zip(row).filter(|(_, seen)| **seen);
                    found.for_each(|(prefix, _)| *prefix = i + 1);
                }
                for j in 1..outputs {
                    prefix[j] = prefix[j].max(prefix[j - 1]);
                }
                prefix
            }
        }
    }

    /// What is masked under that staircase: runs of the weights, row after row.
    pub(super) fn holes(&self, shape: [usize; 2]) -> Vec<Range<usize>> {
        let Self::Each(seen) = self else { return Vec::new() };
        let (prefix, outputs) = (self.prefix(shape), shape[1]);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for at in (0..seen.len()).filter(|at| !seen[*at] && at / outputs < prefix[at % outputs]) {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staircase_covers_what_is_seen_and_holes_are_the_rest_of_it() {
        // Inputs down, outputs across.
        let text = ["0110", "0010", "0000"];
        let seen = text.concat().bytes().map(|b| b == b'1').collect();
        let (mask, shape) = (Mask::Each(seen), [3, 4]);
        assert_eq!(mask.counts(shape), [0, 1, 2, 0]);
        assert_eq!(mask.prefix(shape), [0, 1, 2, 2]);
        assert_eq!(mask.holes(shape), [3..4, 7..8]);
        let values = mask.values(shape).unwrap();
        assert!(values.iter().zip(text.concat().bytes()).all(|(v, b)| (*v == 1.0) == (b == b'1')));
    }

    #[test]
    fn a_staircase_has_no_holes() {
        let (mask, shape) = (Mask::Leading(vec![0, 2, 3]), [3, 3]);
        assert_eq!((mask.counts(shape), mask.prefix(shape)), (vec![0, 2, 3], vec![0, 2, 3]));
        assert!(mask.holes(shape).is_empty());
        assert_eq!(mask.values(shape).unwrap(), [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        assert!(Mask::Dense.values(shape).is_none() && Mask::Dense.holes(shape).is_empty());
    }
}
