//! Moments of a column, in `f64` and safe for any scale.

/// Minimum, maximum, mean, standard deviation and skewness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    pub(crate) skewness: f64,
}

/// Moments of some numbers, in three passes: range, mean, central moments.
///
/// The numbers are shifted to the middle of their range and divided by its half first, so no square over- or underflows and a
/// large offset takes no digits away: `1e9 + u` is as exact as the input.
pub(crate) fn moments(values: impl Iterator<Item = f64> + Clone) -> Moments {
    let (mut min, mut max, mut n) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for x in values.clone() {
        min = min.min(x);
        max = max.max(x);
        n += 1.0;
    }
    let middle = min / 2.0 + max / 2.0;
    let half = max / 2.0 - min / 2.0;
    if half <= 0.0 || half.is_nan() || n < 2.0 {
        return Moments { min, max, mean: middle, deviation: 0.0, skewness: 0.0 };
    }
    let scaled = move |x: f64| (x - middle) / half;
    let mean = values.clone().map(scaled).sum::<f64>() / n;
    let (mut second, mut third) = (0.0, 0.0);
    for x in values {
        let d = scaled(x) - mean;
        second += d * d;
        third += d * d * d;
    }
    let deviation = (second / n).sqrt();
    let skewness = if deviation > 0.0 { third / n / deviation.powi(3) } else { 0.0 };
    Moments { min, max, mean: middle + half * mean, deviation: half * deviation, skewness }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_extreme_scales_and_offsets_lose_nothing() {
        let unit = [-1.0, 0.5, 0.25, -0.75, 0.125, 0.875];
        let reference = moments(unit.iter().copied());
        for scale in [1e-300, 1e-30, 1.0, 1e30, 1e300] {
            let m = moments(unit.iter().map(|&x| x * scale));
            assert!((m.deviation / scale - reference.deviation).abs() < 1e-14, "{scale}");
            assert!((m.skewness - reference.skewness).abs() < 1e-13, "{scale}");
        }
        // Exact in f64: halves next to 1e9.
        let m = moments(unit.iter().map(|&x| 1e9 + x));
        assert!((m.mean - 1e9 - reference.mean).abs() < 2e-7);
        assert!((m.deviation - reference.deviation).abs() < 1e-12);
    }

    #[test]
    fn one_value_has_no_spread() {
        assert_eq!(moments([3.0].into_iter()).deviation, 0.0);
        assert_eq!(moments([3.0, 3.0].into_iter()).deviation, 0.0);
    }
}
