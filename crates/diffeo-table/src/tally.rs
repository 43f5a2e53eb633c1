//! How often each value of a column occurs, and what that says about it.

use diffeo::Step;

/// A column with fewer different values than this share of the rows has few of them,
const DISTINCT_SHARE: f64 = 0.1;
/// of at most so many rows.
const DISTINCT_ROWS: usize = 100_000;
/// Rows below which nothing is read off repetitions.
const ROWS: usize = 50;
/// Digits behind the point that a step may have.
const DIGITS: i32 = 6;
/// A divisor of all values is believed if by chance they all had it in one of so many tables.
const CHANCE: f64 = 1000.0;
/// Other values that there must be beside those that are frequent.
const REST: usize = 20;
/// Shares of the rows from which on a value is frequent: with few rows,
const SHARE: f64 = 0.05;
/// and where there are so many of it.
const SHARE_OF_MANY: f64 = 0.01;
const MANY: usize = 20;
/// A number is frequent if it is there so many times as often as those around it.
const STANDS_OUT: f64 = 5.0;
/// Other values on each side of one that tell how often values are there that are not frequent: more than there are masses, mostly.
const NEAR: usize = 30;
/// Rows from which on a value may have a mass of its own where there are few different ones.
const ROWS_PER_VALUE: usize = 5;
/// Rows for each different value from which on all have a mass.
const ROWS_FOR_ALL: usize = 20;
/// Counts whose squared distance from the mean of their neighbours is so many times its variance are not those of a smooth density.
const ROUGH: f64 = 3.0;

/// The different values of a column in order, and how often each is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    runs: Vec<(f64, usize)>,
    rows: usize,
}

impl Tally {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let runs = sorted.chunk_by(|a, b| a == b);
        let runs = runs.filter_map(|run| Some((*run.first()?, run.len()))).collect();
        Self { runs, rows: sorted.len() }
    }

    /// How many different values there are.
    pub(crate) fn distinct(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are few different values for so many rows.
    pub(crate) fn is_of_few_values(&self) -> bool {
        let rows = self.rows.min(DISTINCT_ROWS) as f64;
        self.rows >= ROWS && (self.distinct() as f64) < DISTINCT_SHARE * rows
    }

    /// A value that fills much of the rows, and its share.
    pub(crate) fn heavy_tie(&self) -> Option<(f64, f64)> {
        let (value, count) = self.runs.iter().max_by_key(|(_, count)| count)?;
        let share = *count as f64 / self.rows as f64;
        (self.rows >= ROWS && share >= SHARE).then_some((*value, share))
    }

    /// The share of the rows that have a value.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let count = self.runs.iter().find(|(x, _)| *x == value).map_or(0, |(_, count)| *count);
        count as f64 / self.rows as f64
    }

    /// The largest decimal number that all values are multiples of, as far as single precision tells and chance does not; none if they have more
    /// than six digits behind the point.
    pub(crate) fn step(&self) -> Option<Step> {
        let digits = (0..=DIGITS).find(|digits| {
            let per = 10f64.powi(*digits);
            self.runs.iter().all(|(x, _)| is_whole(x * per))
        })?;
        let per = 10f64.powi(digits);
        let counts = self.runs.iter().map(|(x, _)| (x * per).round().abs());
        let divisor = counts.fold(0.0, greatest_common_divisor);
        let is_believed = divisor.ln() * (self.distinct() as f64 - 1.0) >= CHANCE.ln();
        Step::new(if is_believed { divisor } else { 1.0 } / per).ok()
    }

    /// What values are told apart by: their [`Tally::step`], or a thousandth of the smallest distance between two of them, of which they are multiples as near as matters; none if that
    /// distance is a rounding error.
    pub(crate) fn resolution(&self) -> Option<Step> {
        let largest = self.runs.iter().fold(0.0, |largest: f64, (x, _)| largest.max(x.abs()));
        let gaps = self.runs.windows(2).filter_map(|pair| match pair {
            [(low, _), (high, _)] => {
                let size = low.abs().max(high.abs());
                let rounding = (f64::from(f32::EPSILON) * size).max(f64::EPSILON * largest);
                Some(high - low).filter(|gap| *gap > rounding)
            }
            _ => None,
        });
        let least = gaps.fold(f64::INFINITY, f64::min);
        if let Some(step) = self.step().filter(|step| step.width() < 1.5 * least) {
            return Some(step);
        }
        let digits = 3.0 - least.log10().floor();
        // A quotient of powers that are whole numbers is the float that its digits are read as.
        let [times, per] = [-digits, digits].map(|power| 10f64.powf(power.max(0.0)));
        Step::new(times / per).ok()
    }

    /// Whether counts on a lattice of at most `most` numbers differ from the mean of their neighbours more than those of draws of a smooth
    /// density would.
    pub(crate) fn is_rough(&self, step: Step, most: usize) -> bool {
        let Some((low, _)) = self.runs.first() else { return false };
        let place = |x: f64| step.count(x - low).round() as usize;
        if self.runs.last().is_none_or(|(high, _)| place(*high) >= most) {
            return false;
        }
        let mut counts = vec![0.0; most];
        let runs = self.runs.iter();
        runs.for_each(|(x, count)| {
            counts.iter_mut().skip(place(*x)).take(1).for_each(|c| *c += *count as f64)
        });
        let (mut squares, mut variance) = (0.0, 0.0);
        for near in counts.windows(3) {
            let [before, here, after] = near else { continue };
            squares += (here - 0.5 * (before + after)).powi(2);
            variance += here + 0.25 * (before + after);
        }
        squares > ROUGH * variance
    }

    /// The smallest and the largest value.
    pub(crate) fn ends(&self) -> Option<[f64; 2]> {
        Some([self.runs.first()?.0, self.runs.last()?.0])
    }

    /// Whether whole numbers end all at once on both sides, as days of a month do: all are there, and the first and the last at least half as often as the others are on average.
    pub(crate) fn is_cut(&self) -> bool {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else { return false };
        let is_full = |(_, count): &(f64, usize)| 2 * count * self.distinct() >= self.rows;
        let is_whole = last.0 - first.0 == self.distinct() as f64 - 1.0;
        is_whole && is_full(first) && is_full(last)
    }

    /// The values of a lattice that are much more frequent than those around them, `most` at most: the most frequent first.
    pub(crate) fn peaks(&self, step: Step, most: usize) -> Vec<f64> {
        const AROUND: f64 = 10.0;
        let is_peak = |(i, (x, count)): &(usize, &(f64, usize))| {
            let near = |other: &&(f64, usize)| {
                step.count(other.0 - x).abs().round() <= AROUND && other.0 != *x
            };
            let (before, after) = self.runs.split_at(*i);
            let sides =
                before.iter().rev().take_while(near).chain(after.iter().skip(1).take_while(near));
            let around: usize = sides.map(|(_, count)| count).sum();
            self.is_frequent(*count) && *count as f64 > STANDS_OUT * around as f64 / (2.0 * AROUND)
        };
        let peaks = self.runs.iter().enumerate().filter(is_peak).map(|(_, run)| *run);
        self.masses(peaks, most).unwrap_or_default()
    }

    /// The values that fill a share of the rows each, beside others that hardly repeat, `most` at most: the most frequent first. An infinity,
    /// which a table to be scored may hold, is none.
    pub(crate) fn spikes(&self, most: usize) -> Vec<f64> {
        let stands_out = |i: usize| {
            let near = &self.runs[i.saturating_sub(NEAR)..self.runs.len().min(i + NEAR + 1)];
            let mut counts: Vec<usize> = near.iter().map(|(_, count)| *count).collect();
            let middle = counts.len() / 2;
            let usual = *counts.select_nth_unstable(middle).1;
            self.runs[i].1 as f64 > STANDS_OUT * usual as f64
        };
        let frequent = self.runs.iter().copied().enumerate();
        let frequent = frequent.filter(|(i, (_, n))| self.is_frequent(*n) && stands_out(*i));
        let frequent = frequent.map(|(_, run)| run);
        let (count, rows) =
            frequent.clone().fold((0, 0), |(n, rows), (_, count)| (n + 1, rows + count));
        let (rest, distinct) = (self.rows - rows, self.distinct() - count);
        if count > most || (distinct as f64) < DISTINCT_SHARE * rest as f64 {
            return Vec::new();
        }
        self.masses(frequent, most).unwrap_or_default()
    }

    /// Whether a good part of the multiples of a step that lie between the smallest and the largest value are there.
    pub(crate) fn fills(&self, step: Step) -> bool {
        const FILLED: f64 = 0.05;
        let (Some((low, _)), Some((high, _))) = (self.runs.first(), self.runs.last()) else {
            return false;
        };
        self.distinct() as f64 >= FILLED * step.count(high - low)
    }

    /// All values where there are very few different ones, `most` at most, or those that repeat: the most frequent first.
    pub(crate) fn repeated(&self, most: usize) -> Vec<f64> {
        let all = self.distinct() <= most && self.rows >= ROWS_FOR_ALL * self.distinct();
        let least = if all { 1 } else { ROWS_PER_VALUE };
        let repeated = self.runs.iter().copied().filter(|(_, count)| *count >= least);
        let mut repeated: Vec<_> = repeated.filter(|(x, _)| x.is_finite()).collect();
        most_frequent(&mut repeated, most)
    }

    fn is_frequent(&self, count: usize) -> bool {
        let share = count as f64 / self.rows as f64;
        share >= SHARE || share >= SHARE_OF_MANY && count >= MANY
    }

    fn masses(&self, values: impl Iterator<Item = (f64, usize)>, most: usize) -> Option<Vec<f64>> {
        let mut values: Vec<_> = values.filter(|(x, _)| x.is_finite()).collect();
        let rest = self.rows - values.iter().map(|(_, count)| count).sum::<usize>();
        (self.rows >= ROWS && rest >= REST).then(|| most_frequent(&mut values, most))
    }
}

fn most_frequent(values: &mut Vec<(f64, usize)>, most: usize) -> Vec<f64> {
    values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
    values.truncate(most);
    values.iter().map(|(x, _)| *x).collect()
}

/// Whether a number is whole but for the rounding of single precision.
fn is_whole(x: f64) -> bool {
    let slack = (1e-6 + x.abs() * f64::from(f32::EPSILON)).min(0.05);
    x.is_finite() && x.abs() <= 9_007_199_254_740_992.0 && (x - x.round()).abs() <= slack
}

fn greatest_common_divisor(a: f64, b: f64) -> f64 {
    let (mut a, mut b) = (a, b);
    while b != 0.0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(values: &[f64]) -> Tally {
        Tally::of(values.iter().copied())
    }

    #[test]
    fn steps_are_those_of_the_digits_and_of_common_divisors() {
        let multiples = |of: f64| Tally::of((0..40).map(|i| f64::from(i * i) * of));
        for (of, step) in [(1.0, 1.0), (5.0, 5.0), (1000.0, 1000.0), (0.01, 0.01), (0.25, 0.25)] {
            assert_eq!(multiples(of).step(), Step::new(step).ok(), "{of}");
        }
        // Of few values, only the digits are believed.
        assert_eq!(tally(&[0.0, 10.0, 20.0, 40.0]).step(), Step::new(10.0).ok());
        assert_eq!(tally(&[0.0, 10.0, 20.0]).step(), Some(Step::ONE));
        assert_eq!(tally(&[0.5, 1.5]).step(), Step::new(0.1).ok());
        // Tenths that went through single precision, and sums of tenths.
        let single = Tally::of((0..500).map(|i| f64::from(i as f32 * 0.1f32)));
        assert_eq!(single.step(), Step::new(0.1).ok());
        assert_eq!(tally(&[1.0 / 3.0, 0.5]).step(), None);
        assert_eq!(tally(&[f64::INFINITY, 1.0]).step(), None);
    }

    #[test]
    fn what_tells_few_values_apart_is_a_decimal_number_at_every_scale() {
        for exponent in -9..9 {
            // Of each value there is one that rounding has moved, which is no other.
            let scale = 10f64.powi(exponent) / 9.3;
            let values = (0..400).map(|i| f64::from(i % 20) * scale);
            let moved = values.clone().map(f64::next_up);
            let found = Tally::of(values.chain(moved)).resolution().map(Step::width);
            let expected = format!("1e{}", exponent - 4).parse::<f64>().unwrap();
            assert_eq!(found, Some(expected).filter(|_| exponent > -12), "1e{exponent}");
        }
        assert_eq!(tally(&[1.0 / 3.0; 60]).resolution(), None);
    }

    #[test]
    fn rough_counts_are_told_from_smooth_ones() {
        let of =
            |count: fn(i32) -> usize| Tally::of((0..60).flat_map(|i| vec![f64::from(i); count(i)]));
        // A bell with the noise of counting, and one in which every fifth number is six times as often.
        fn bell(i: i32) -> f64 {
            40.0 * (-0.5 * (f64::from(i - 30) / 10.0).powi(2)).exp()
        }
        let smooth = of(|i| (bell(i) + bell(i).sqrt() * (f64::from(i) * 2.4).sin()) as usize);
        let rough = of(|i| (bell(i) * if i % 5 == 0 { 6.0 } else { 1.0 }) as usize);
        assert!(!smooth.is_rough(Step::ONE, 100) && rough.is_rough(Step::ONE, 100));
        assert!(smooth.peaks(Step::ONE, 8).is_empty());
        let inflated = Tally::of(
            (0..1000).map(|i| if i % 3 == 0 { 0.0 } else { f64::from(1 + i * 37 % 5000) }),
        );
        assert_eq!(inflated.peaks(Step::ONE, 8), [0.0]);
    }

    #[test]
    fn ends_of_a_month_are_told_from_tails() {
        let of =
            |count: fn(i32) -> usize| Tally::of((1..32).flat_map(|i| vec![f64::from(i); count(i)]));
        assert!(of(|_| 40).is_cut());
        assert!(of(|day| if day == 31 { 23 } else { 40 }).is_cut());
        assert_eq!(of(|_| 1).ends(), Some([1.0, 31.0]));
        // One that is not there, a bell, and what falls from its first value on.
        assert!(!of(|day| if day == 5 { 0 } else { 40 }).is_cut());
        assert!(
            !of(|i| (100.0 * (-0.5 * (f64::from(i - 16) / 6.0).powi(2)).exp()) as usize).is_cut()
        );
        assert!(!of(|i| 1 + (200.0 * (-0.3 * f64::from(i)).exp()) as usize).is_cut());
    }

    #[test]
    fn spikes_stand_beside_values_that_hardly_repeat() {
        let mixed =
            Tally::of((0..1000).map(|i| if i % 20 == 0 { 0.5 } else { f64::from(i).sqrt() }));
        assert_eq!(mixed.spikes(8), [0.5]);
        assert!((mixed.share(0.5) - 0.05).abs() < 1e-12);
        // Rounded numbers repeat, some by chance more than others.
        let rounded = Tally::of((0..1000).map(|i| {
            let x = f64::from(i * 37 % 89) / 100.0;
            if i % 80 == 0 { 0.33 } else { x }
        }));
        assert!(rounded.share(0.33) > 0.01 && rounded.spikes(8).is_empty());
        let few = Tally::of((0..1000).map(|i| f64::from(i % 7).ln_1p()));
        assert!(few.spikes(8).is_empty());
        assert_eq!((few.repeated(32).len(), few.repeated(3).len()), (7, 3));
        let infinite =
            Tally::of((0..100).map(|i| if i < 50 { f64::INFINITY } else { f64::from(i).sqrt() }));
        assert!(infinite.spikes(8).is_empty());
    }
}
