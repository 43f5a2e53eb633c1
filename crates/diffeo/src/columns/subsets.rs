//! Which columns of a training row are given, which are hidden, and which are asked for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::encoding::Encoding;
use crate::host::random::uniform;
use crate::host::rows::Rows;

/// The share of rows that are shown whole, nothing given: what [`crate::Model::log_prob`] gives of complete rows.
const WHOLE: f64 = 0.3;
/// The share of the others in which columns that are not given are hidden, too.
const HIDING: f64 = 0.5;

impl Encoding {
    /// Takes values out of rows at random: those that are given go into the rows that are returned, which are NaN elsewhere; others are
    /// hidden. What is left is asked for, one column at least. How many are given is uniform, and so is which.
    ///
    /// Reference: Li, Akbar, Oliva. *ACFlow: Flow Models for Arbitrary Conditional Likelihoods*. ICML 2020, arXiv:1909.06319.
    pub(crate) fn draw_subsets(
        &self,
        x: &mut Rows,
        rng: impl Fn(usize) -> ChaCha8Rng,
    ) -> Option<Rows> {
        if self.optional().is_empty() {
            return None;
        }
        let width = x.width();
        let mut given = Rows::zeros(x.len(), width);
        given.values_mut().fill(f64::NAN);
        let rows = x.values_mut().chunks_exact_mut(width).zip(given.values_mut().chunks_mut(width));
        for (i, (row, given)) in rows.enumerate() {
            let mut rng = rng(i);
            if uniform(&mut rng) < WHOLE {
                continue;
            }
            let mut there: Vec<usize> =
                self.optional().iter().copied().filter(|&j| !row[j].is_nan()).collect();
            let others = row.iter().enumerate();
            let asked = others.filter(|(j, x)| !x.is_nan() && !there.contains(j)).count();
            // A column that can be neither given nor hidden is asked for.
            let most = (there.len() + usize::from(asked > 0)).saturating_sub(1);
            let count = below(most + 1, &mut rng);
            for k in 0..count {
                let other = k + below(there.len() - k, &mut rng);
                there.swap(k, other);
                let j = there[k];
                given[j] = std::mem::replace(&mut row[j], f64::NAN);
            }
            if uniform(&mut rng) < HIDING {
                for &j in there[count..].iter().skip(usize::from(asked == 0)) {
                    if uniform(&mut rng) < 0.5 {
                        row[j] = f64::NAN;
                    }
                }
            }
        }
        Some(given)
    }
}

/// A number of `0 .. n`, each as likely as the others.
fn below(n: usize, rng: &mut impl Rng) -> usize {
    ((uniform(rng) * n as f64) as usize).min(n.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{Column, Schema, Units};
    use crate::host::random::{Purpose, Streams};

    #[test]
    fn each_value_is_given_hidden_or_asked_for_and_one_is_asked_for_at_least() {
        for fixed in [false, true] {
            let mut schema = Schema::real(["a", "b", "c"]).any_subset();
            schema.columns.extend(fixed.then(|| Column::real("d")));
            let (n, width) = (3000, schema.columns.len());
            let encoding = Encoding::new(&schema, Units::none(width, schema.context_width()));
            let table = Rows::new((0..n * width).map(|i| i as f64).collect(), width).unwrap();
            let mut x = table.clone();
            let streams = Streams::new(3);
            let rng = |i: usize| streams.rng(Purpose::Subset, 0, i as u64);
            let given = encoding.draw_subsets(&mut x, rng).unwrap();
            let (mut seen, mut hidden) = ([0; 5], 0);
            for i in 0..n {
                let mut counts = (0, 0);
                for j in 0..width {
                    match (x.row(i)[j].is_nan(), given.row(i)[j].is_nan()) {
                        (false, true) => counts.0 += 1,
                        (true, false) => counts.1 += 1,
                        (true, true) => hidden += 1,
                        (false, false) => panic!("row {i}: both"),
                    }
                    let kept = [x.row(i)[j], given.row(i)[j]];
                    assert!(kept.iter().all(|v| v.is_nan() || *v == table.row(i)[j]));
                }
                assert!(counts.0 > 0 && (!fixed || !x.row(i)[3].is_nan()), "row {i}");
                seen[counts.1] += 1;
            }
            let most = if fixed { 4 } else { 3 };
            let expected = 0.7 * n as f64 / most as f64;
            for (count, seen) in seen[..most].iter().enumerate().skip(1) {
                assert!((*seen as f64 - expected).abs() < 5.0 * expected.sqrt(), "{count}: {seen}");
            }
            assert_eq!(seen[most], 0);
            assert!(hidden > n / 20 && hidden < n, "{hidden}");
        }
    }
}
