//! The places of data among samples, column by column: flat if the model is right.

use diffeo::{Result, Rows};

/// Steps of the golden ratio fall evenly on an interval, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// For each value of `data` the share of `samples` below it, in the same column. Values that samples share (whole numbers)
/// are spread evenly over the shares that these take, so that a right model is flat for them too. A missing value has no place, and none
/// among the samples counts.
pub(super) fn ranks(data: &Rows, samples: &Rows) -> Result<Rows> {
    let width = data.width();
    let mut ranks = vec![f64::NAN; data.values().len()];
    for j in 0..width {
        let mut sorted = samples.column(j);
        sorted.retain(|x| !x.is_nan());
        sorted.sort_unstable_by(f64::total_cmp);
        for (i, value) in data.column(j).into_iter().enumerate() {
            if value.is_nan() {
                continue;
            }
            let below = sorted.partition_point(|s| *s < value);
            let ties = sorted.partition_point(|s| *s <= value) - below;
            let within = (i as f64 * GOLDEN).fract();
            if let Some(rank) = ranks.get_mut(i * width + j) {
                *rank = (below as f64 + within * (ties + 1) as f64) / (sorted.len() + 1) as f64;
            }
        }
    }
    Rows::new(ranks, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_have_no_place() {
        let data = Rows::new(vec![2.0, f64::NAN, 4.0], 1).unwrap();
        let samples = Rows::new(vec![f64::NAN, 1.0, f64::NAN, 3.0, 5.0], 1).unwrap();
        let ranks = ranks(&data, &samples).unwrap().into_values();
        assert!((0.25..0.5).contains(&ranks[0]) && ranks[1].is_nan(), "{ranks:?}");
        assert!((0.5..0.75).contains(&ranks[2]), "{ranks:?}");
    }

    #[test]
    fn equal_data_and_samples_are_flat_also_with_ties() {
        for distinct in [4, 1000] {
            let values: Vec<f64> = (0..1000).map(|i| f64::from(i % distinct)).collect();
            let rows = Rows::new(values, 1).unwrap();
            let mut ranks = ranks(&rows, &rows).unwrap().into_values();
            ranks.sort_unstable_by(f64::total_cmp);
            for (i, rank) in ranks.iter().enumerate() {
                assert!((rank - i as f64 / 1000.0).abs() < 0.02, "{distinct} {i} {rank}");
            }
        }
    }
}
