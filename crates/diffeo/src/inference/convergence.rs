//! Whether Markov chains have mixed, and what their draws are worth (Vehtari, Gelman, Simpson, Carpenter, Bürkner. *Rank-normalization, folding, and localization*. Bayesian Analysis 16, 2021,
//! arXiv:1903.08008).

use crate::host::normal::quantile;

/// Fewest draws of a chain.
const DRAWS_MIN: usize = 4;

/// The effective number of draws of a quantity in the bulk of its distribution; NaN of chains that are too short or not finite.
pub(super) fn bulk_effective_size(chains: &[Vec<f64>]) -> f64 {
    match is_sound(chains) {
        true => effective_size(&normal_scores(&halves(chains))),
        false => f64::NAN,
    }
}

/// The larger of the potential scale reductions of normal scores and of those of distances from the median; NaN of chains that are too short or not finite.
pub(super) fn r_hat(chains: &[Vec<f64>]) -> f64 {
    if !is_sound(chains) {
        return f64::NAN;
    }
    let halves = halves(chains);
    let mut all = halves.concat();
    all.sort_by(f64::total_cmp);
    let middle = 0.5 * (all[(all.len() - 1) / 2] + all[all.len() / 2]);
    let fold = |half: &Vec<f64>| half.iter().map(|v| (v - middle).abs()).collect::<Vec<_>>();
    let folded: Vec<Vec<f64>> = halves.iter().map(fold).collect();
    scale_reduction(&normal_scores(&halves)).max(scale_reduction(&normal_scores(&folded)))
}

fn is_sound(chains: &[Vec<f64>]) -> bool {
    let draws = chains.first().map_or(0, Vec::len);
    let is_good = |chain: &Vec<f64>| chain.len() == draws && chain.iter().all(|v| v.is_finite());
    draws >= DRAWS_MIN && chains.iter().all(is_good)
}

/// The first and the last half of each chain, as chains.
fn halves(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let half = chains[0].len() / 2;
    let first = chains.iter().map(|chain| chain[..half].to_vec());
    let last = chains.iter().map(|chain| chain[chain.len() - half..].to_vec());
    first.chain(last).collect()
}

/// Ranks among all draws, those of equal ones averaged, as quantiles of a normal (Blom 1958).
fn normal_scores(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let values = chains.concat();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut scores = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]);
        let end = start + equal.count();
        let rank = 0.5 * (start + 1 + end) as f64;
        let score = quantile((rank - 0.375) / (values.len() as f64 + 0.25));
        order[start..end].iter().for_each(|&i| scores[i] = score);
        start = end;
    }
    scores.chunks_exact(chains[0].len()).map(<[f64]>::to_vec).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With `n - 1` below.
fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

fn scale_reduction(chains: &[Vec<f64>]) -> f64 {
    let n = chains[0].len() as f64;
    let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
    let within = mean(&chains.iter().map(|chain| variance(chain)).collect::<Vec<_>>());
    ((variance(&means) * n / within + n - 1.0) / n).sqrt()
}

/// By autocorrelations over all chains, up to where sums of neighbours are no longer positive, and falling (Geyer 1992).
fn effective_size(chains: &[Vec<f64>]) -> f64 {
    let (m, n) = (chains.len(), chains[0].len());
    let total = (m * n) as f64;
    let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
    let covariance = |lag: usize| {
        let of = |(chain, centre): (&Vec<f64>, &f64)| {
            let pairs = chain[..n - lag].iter().zip(&chain[lag..]);
            pairs.map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>() / n as f64
        };
        chains.iter().zip(&means).map(of).sum::<f64>() / m as f64
    };
    let within = covariance(0) * n as f64 / (n as f64 - 1.0);
    let mut whole = within * (n as f64 - 1.0) / n as f64;
    if m > 1 {
        whole += variance(&means);
    }
    if whole <= 0.0 {
        return total;
    }
    let correlation = |lag: usize| match lag {
        0 => 1.0,
        _ => 1.0 - (within - covariance(lag)) / whole,
    };
    // Sums of neighbours, none above the one before.
    let (mut sum, mut lag, mut last) = (0.0, 0, f64::INFINITY);
    let mut rest = 0.0;
    while lag + 1 < n {
        let pair = [correlation(lag), correlation(lag + 1)];
        if pair[0] + pair[1] < 0.0 || lag + 4 >= n && lag > 0 {
            // The first of the pair that ends it still counts if it is positive.
            rest = pair[0].max(0.0);
            break;
        }
        last = last.min(pair[0] + pair[1]);
        sum += last;
        lag += 2;
    }
    let time = (2.0 * sum - 1.0 + rest).max(1.0 / total.log10());
    total / time
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Recorded {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        chains: Vec<Vec<f64>>,
        bulk_effective_size: f64,
        r_hat: f64,
    }

    /// Made by `benches/peers/golden_weights.py`.
    #[test]
    fn sizes_and_reductions_are_those_of_arviz() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chains.json");
        let recorded: Recorded =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(recorded.cases.len() >= 7);
        for Case { name, chains, bulk_effective_size: size, r_hat: reduction } in recorded.cases {
            let found = bulk_effective_size(&chains);
            assert!((found / size - 1.0).abs() < 1e-9, "{name}: {found} {size}");
            let found = r_hat(&chains);
            assert!((found / reduction - 1.0).abs() < 1e-9, "{name}: {found} {reduction}");
        }
    }

    #[test]
    fn chains_that_tell_nothing_have_no_size() {
        assert!(bulk_effective_size(&[vec![1.0, 2.0, 3.0]]).is_nan());
        assert!(r_hat(&vec![vec![1.0, 2.0, f64::NAN, 4.0]; 2]).is_nan());
        assert!(bulk_effective_size(&[]).is_nan());
    }
}
