//! Nodes and weights of integrals.

/// Gauss-Legendre nodes on `[0, 1]` with their weights, ascending: exact for polynomials of degree `2 n - 1`.
///
/// The nodes are the roots of the Legendre polynomial of degree `n`, found by Newton's method from Tricomi's estimate.
pub(crate) fn gauss_legendre(n: usize) -> Vec<[f64; 2]> {
    let mut nodes: Vec<[f64; 2]> = (0..n)
        .map(|i| {
            let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            for _ in 0..100 {
                let (value, slope) = legendre(n, x);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            let (_, slope) = legendre(n, x);
            [0.5 + 0.5 * x, 1.0 / ((1.0 - x * x) * slope * slope)]
        })
        .collect();
    nodes.reverse();
    nodes
}

/// The Legendre polynomial of degree `n >= 1` and its derivative, inside `(-1, 1)`.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
    }
    (value, n as f64 * (x * value - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for n in 1..=16 {
            let nodes = gauss_legendre(n);
            for degree in 0..2 * n {
                let found: f64 = nodes.iter().map(|[x, w]| w * x.powi(degree as i32)).sum();
                let exact = 1.0 / (degree as f64 + 1.0);
                assert!((found - exact).abs() < 1e-14, "{n} nodes, degree {degree}: {found}");
            }
            let beyond: f64 = nodes.iter().map(|[x, w]| w * x.powi(2 * n as i32)).sum();
            let error = (beyond - 1.0 / (2.0 * n as f64 + 1.0)).abs();
            assert!(n > 8 || error > 1e-13, "{n} nodes cannot be exact for degree {}", 2 * n);
        }
    }

    #[test]
    fn the_integral_of_one_and_a_square_is_fourteen_thirds() {
        let found: f64 =
            gauss_legendre(2).iter().map(|[x, w]| 2.0 * w * (1.0 + (2.0 * x).powi(2))).sum();
        assert!((found - 14.0 / 3.0).abs() < 1e-14);
    }
}
