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

/// Clenshaw-Curtis nodes on `[0, 1]`, the `n + 1` of which include both ends, with their weights, ascending: exact for polynomials of degree `n`, and all positive.
///
/// The nodes are `(1 - cos(pi k / n)) / 2`, `n` even; those of `n / 2` are every second one of `n`.
///
/// Reference: Clenshaw, Curtis. *A method for numerical integration on an automatic computer*. Numerische Mathematik 2, 1960; weights after Waldvogel. *Fast construction
/// of the Fejér and Clenshaw-Curtis quadrature rules*. BIT 46, 2006.
pub(crate) fn clenshaw_curtis(n: usize) -> Vec<[f64; 2]> {
    let angle = |k: usize| std::f64::consts::PI * k as f64 / n as f64;
    let cosines: Vec<f64> = (0..2 * n).map(|k| angle(k).cos()).collect();
    let weight = |k: usize| {
        let terms = (0..=n / 2).map(|j| {
            let share = if j == 0 || 2 * j == n { 1.0 } else { 2.0 };
            share * cosines[2 * j * k % (2 * n)] / (1.0 - 4.0 * (j * j) as f64)
        });
        let whole = terms.sum::<f64>() / n as f64;
        if k == 0 || k == n { 0.5 * whole } else { whole }
    };
    // The square of the sine of half the angle: exact at both ends.
    (0..=n).map(|k| [(0.5 * angle(k)).sin().powi(2), weight(k)]).collect()
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
    fn nodes_with_both_ends_are_exact_up_to_their_number() {
        for n in [2, 4, 8, 16, 64] {
            let nodes = clenshaw_curtis(n);
            assert_eq!([nodes[0][0], nodes[n][0]], [0.0, 1.0]);
            assert!(nodes.iter().all(|[_, w]| *w > 0.0));
            let integral = |degree: usize| -> f64 {
                nodes.iter().map(|[x, w]| w * x.powi(degree as i32)).sum()
            };
            for degree in 0..=n {
                let exact = 1.0 / (degree as f64 + 1.0);
                assert!((integral(degree) - exact).abs() < 1e-14, "{n} nodes, degree {degree}");
            }
            let error = (integral(n + 2) - 1.0 / (n as f64 + 3.0)).abs();
            assert!(n > 8 || error > 1e-8, "{n} nodes cannot be exact for degree {}", n + 2);
        }
    }

    #[test]
    fn the_integral_of_one_and_a_square_is_fourteen_thirds() {
        for nodes in [gauss_legendre(2), clenshaw_curtis(2), clenshaw_curtis(50)] {
            let found: f64 = nodes.iter().map(|[x, w]| 2.0 * w * (1.0 + (2.0 * x).powi(2))).sum();
            assert!((found - 14.0 / 3.0).abs() < 1e-14);
        }
    }
}
