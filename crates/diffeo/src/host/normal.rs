//! The standard normal: its density's constant, its distribution function and the inverse of that.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// `ln(2 pi) / 2`: with `z^2 / 2`, the negative log-density at `z`.
pub(crate) const LN_2PI_HALF: f64 = 0.918_938_533_204_672_8;

/// `Phi(z)`, with full relative accuracy in both tails.
pub(crate) fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// `Phi^-1(u)`, with `u` held to where it is finite: from -8.5 to 8.2. NaN stays NaN.
///
/// Acklam's rational approximation (relative error 1.2e-9) and one step of Halley's method against [`cdf`].
pub(crate) fn quantile(u: f64) -> f64 {
    let u = u.clamp(1e-17, 1.0 - f64::EPSILON / 2.0);
    let z = approximate(u);
    let error = (cdf(z) - u) * TAU.sqrt() * (0.5 * z * z).exp();
    z - error / (1.0 + 0.5 * z * error)
}

fn approximate(u: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.383577518672690e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] = [
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e+00,
        3.754408661907416e+00,
        1.0,
    ];
    const TAIL: f64 = 0.02425;
    let polynomial = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    if (TAIL..=1.0 - TAIL).contains(&u) {
        let q = u - 0.5;
        return q * polynomial(&A, q * q) / polynomial(&B, q * q);
    }
    let q = (-2.0 * u.min(1.0 - u).ln()).sqrt();
    let z = polynomial(&C, q) / polynomial(&D, q);
    if u < 0.5 { z } else { -z }
}

/// `ln(e^a + e^b)`.
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_the_inverse_of_the_distribution_function() {
        for i in 1..1000 {
            let u = f64::from(i) / 1000.0;
            assert!((cdf(quantile(u)) - u).abs() < 1e-15, "{u}");
            let z = f64::from(i - 500) / 62.5;
            // Above 0 the distribution function is near 1, where floats are coarse.
            let grain = 4.0 * f64::EPSILON * (0.5 * z * z).exp() * TAU.sqrt();
            assert!(
                (quantile(cdf(z)) - z).abs() < 1e-13 + if z > 0.0 { grain } else { 0.0 },
                "{z}"
            );
        }
        // Abramowitz and Stegun, tables 26.1 and 26.5.
        assert!((quantile(0.975) - 1.959963984540054).abs() < 1e-14);
        assert!((cdf(-5.0) - 2.866515718791939e-7).abs() < 1e-20);
        assert!(
            quantile(0.0).is_finite() && quantile(1.0).is_finite() && quantile(f64::NAN).is_nan()
        );
    }
}
