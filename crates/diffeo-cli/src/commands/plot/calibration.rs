//! The places of data among samples, column by column: flat if the model is right.

use diffeo::{Result, Rows};

/// Steps of the golden ratio fall evenly on an interval, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// For each value of `data` the share of `samples` below it, in the same column. Values that samples share (whole numbers)
/// are spread evenly over the shares that these take, so that a right model is flat for them too.
pub(super) fn ranks(data: &Rows, samples: &Rows) -> Result<Rows> {
    let width = data.width();
    let mut ranks = vec![f64::NAN; data.values().len()];
    for j in 0..width {
        let mut sorted = samples.column(j);
        sorted.sort_unstable_by(f64::total_cmp);
        for (i, value) in data.column(j).into_iter().enumerate() {
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
