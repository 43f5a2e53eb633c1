//! The inverse of an increasing map that has no formula for it.

use burn::tensor::{DType, Tensor};

use super::Scalarwise;
use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::host_values;

/// Doublings of a bracket's reach: to 2^120, beyond which single precision has few numbers.
const GROWTHS: usize = 120;
/// Steps of refinement: bisection alone halves a bracket of 2^121 down to the last digit of double precision in so many.
const STEPS: usize = 200;

/// `x` with `forward(x) = z`, element by element, and the log-slopes `ln dx/dz`.
///
/// A bracket about `z` grows until it holds the root, then Newton's steps are taken where they stay inside the bracket, and halves where
/// not (Press et al. *Numerical Recipes*, 3rd edition, section 9.4). One further Newton step is taken with gradients: it makes the
/// gradients by `z` and by the parameters those of the implicit function, `dx/dz = 1 / f'(x)` and `dx/dp = -f_p / f'(x)`.
///
/// An element that is not finite stays as it is, with log-slope 0. One that has arrived rests while others go on, so that its bits do not
/// depend on them.
///
/// # Errors
/// [`ErrorKind::NotConverged`] with the residual where the map does not reach `z`.
pub(crate) fn inverse(
    forward: &dyn Fn(Tensor<2>, Tensor<2>) -> Result<Scalarwise>,
    z: Tensor<2>,
    params: Tensor<2>,
) -> Result<Scalarwise> {
    inverse_by(|z, params| solve(forward, z, params), forward, z, params)
}

/// The same with a search of one's own, which is given `z` and parameters without gradients, and returns the roots so.
///
/// # Errors
/// Those of the search and of the map.
pub(crate) fn inverse_by(
    search: impl FnOnce(Tensor<2>, Tensor<2>) -> Result<Tensor<2>>,
    forward: &dyn Fn(Tensor<2>, Tensor<2>) -> Result<Scalarwise>,
    z: Tensor<2>,
    params: Tensor<2>,
) -> Result<Scalarwise> {
    let bad = z.clone().detach().is_finite().bool_not();
    let safe = z.clone().mask_fill(bad.clone(), 0.0);
    let found = search(safe.clone().detach(), params.clone().detach())?;
    let at_root = forward(found.clone(), params.clone())?;
    let slope = at_root.log_slope.detach().exp();
    let value = found - (at_root.value - safe) / slope;
    let log_slope = forward(value.clone(), params)?.log_slope.neg();
    Ok(Scalarwise {
        value: value.mask_where(bad.clone(), z),
        log_slope: log_slope.mask_fill(bad, 0.0),
    })
}

/// The roots, without gradients.
fn solve(
    forward: &dyn Fn(Tensor<2>, Tensor<2>) -> Result<Scalarwise>,
    z: Tensor<2>,
    params: Tensor<2>,
) -> Result<Tensor<2>> {
    let epsilon = if z.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let excess = |x: &Tensor<2>| -> Result<(Tensor<2>, Tensor<2>)> {
        let mapped = forward(x.clone(), params.clone())?;
        Ok((mapped.value - z.clone(), mapped.log_slope))
    };
    let bracket = |side: f64| -> Result<Tensor<2>> {
        let mut reach = 1.0;
        let mut edge = z.clone().add_scalar(side);
        for _ in 0..GROWTHS {
            let short = excess(&edge)?.0.mul_scalar(side).lower_elem(0.0);
            if !short.clone().any().into_scalar::<bool>() {
                return Ok(edge);
            }
            reach *= 2.0;
            edge = edge.clone().mask_where(short, edge.add_scalar(side * reach));
        }
        not_converged(&excess(&edge)?.0)
    };
    let (mut low, mut high) = (bracket(-1.0)?, bracket(1.0)?);
    let mut x = z.clone().max_pair(low.clone()).min_pair(high.clone());
    // None yet: all are finite.
    let mut arrived = z.clone().is_nan();
    for _ in 0..STEPS {
        let (residual, log_slope) = excess(&x)?;
        arrived = arrived.bool_or(residual.clone().equal_elem(0.0));
        let above = residual.clone().greater_elem(0.0);
        high = high.mask_where(above.clone(), x.clone());
        low = low.mask_where(above.bool_not(), x.clone());
        let newton = x.clone() - residual * log_slope.neg().exp();
        let middle = (low.clone() + high.clone()).mul_scalar(0.5);
        let inside =
            newton.clone().greater(low.clone()).bool_and(newton.clone().lower(high.clone()));
        let next = middle.mask_where(inside, newton).mask_where(arrived.clone(), x.clone());
        let moved = (next.clone() - x).abs();
        let unit = next.clone().abs().add_scalar(1.0).mul_scalar(2.0 * epsilon);
        arrived = arrived.bool_or(moved.greater(unit).bool_not());
        x = next;
        if arrived.clone().all().into_scalar::<bool>() {
            return Ok(x);
        }
    }
    not_converged(&excess(&x)?.0)
}

fn not_converged<T>(residual: &Tensor<2>) -> Result<T> {
    let worst = host_values(residual.clone().abs())?.into_iter().fold(0.0, f64::max);
    Err(Error::new(
        ErrorKind::NotConverged,
        format!(
            "the inverse of a scalar map: expected a root, found a residual of {worst:e}; the map does not reach every number"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monotone::{DescribeMap, Monotone, RationalQuadratic};
    use crate::parameter::Init;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: &[f64], width: usize, dtype: DType) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len() / width, width]);
        Tensor::from_data(data, (&Device::flex(), dtype))
    }

    fn spline() -> Box<dyn Monotone> {
        let mut init = Init::new(0, DType::F64, Device::flex());
        RationalQuadratic { bins: 5, bound: 3.0 }.build(&mut init)
    }

    /// Values, log-slopes, and gradients of a sum of both by `z` and by the parameters.
    fn outcome(iterated: bool, z: &[f64], dtype: DType) -> [Vec<f64>; 4] {
        let map = spline();
        let params: Vec<f64> = (0..14 * z.len()).map(|i| 1.5 * (i as f64 * 1.7).sin()).collect();
        let z = tensor(z, 1, dtype).autodiff().require_grad();
        let params = tensor(&params, 14, dtype).autodiff().require_grad();
        let found = match iterated {
            true => inverse(&|x, p| map.forward(x, p), z.clone(), params.clone()),
            false => map.inverse(z.clone(), params.clone()),
        }
        .unwrap();
        let gradients = (found.value.clone().sum() + found.log_slope.clone().sum()).backward();
        let by = |leaf: &Tensor<2>| host_values(leaf.grad(&gradients).unwrap()).unwrap();
        let host = |t: Tensor<2>| host_values(t).unwrap();
        [host(found.value), host(found.log_slope), by(&z), by(&params)]
    }

    #[test]
    fn the_iterated_inverse_and_its_gradients_are_those_of_the_formula() {
        let z = [-2.9, -1.3, 0.0, 0.4, 2.2, 2.999, 40.0, -1e6];
        for (dtype, limit) in [(DType::F64, 1e-9), (DType::F32, 2e-3)] {
            let [found, expected] = [true, false].map(|iterated| outcome(iterated, &z, dtype));
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= limit * (1.0 + b.abs()), "{dtype:?}: {a} against {b}");
                }
            }
        }
    }

    #[test]
    fn an_element_has_the_same_bits_in_any_company() {
        // The second arrives at once, the last only after many steps.
        let z = [0.3, 0.0, -1.7, 2.4, 1e-3, -40.0, 2.999_999, 1e6];
        let cubic = |x: Tensor<2>, _: Tensor<2>| {
            let square = x.clone().powi_scalar(2);
            let log_slope = (square.clone() * 3.0 + 1.0).log();
            Ok(Scalarwise { value: x.clone() * (square + 1.0), log_slope })
        };
        for dtype in [DType::F64, DType::F32] {
            let values = |z: &[f64]| {
                let zero = tensor(&vec![0.0; z.len()], 1, dtype);
                host_values(inverse(&cubic, tensor(z, 1, dtype), zero).unwrap().value).unwrap()
            };
            let together = values(&z);
            let alone: Vec<f64> = z.iter().flat_map(|z| values(&[*z])).collect();
            assert_eq!(together, alone, "{dtype:?}");
            assert_eq!(together[1], 0.0);
        }
    }

    #[test]
    fn elements_that_are_not_finite_stay_and_spoil_no_other() {
        let z = [f64::INFINITY, 0.3, f64::NEG_INFINITY, f64::NAN];
        let [value, log_slope, ..] = outcome(true, &z, DType::F64);
        let [alone, ..] = outcome(false, &z, DType::F64);
        assert!((value[1] - alone[1]).abs() < 1e-12 && value[3].is_nan());
        assert_eq!((value[0], value[2], log_slope[0]), (z[0], z[2], 0.0));
    }

    #[test]
    fn a_number_that_the_map_does_not_reach_is_an_error() {
        // The logistic function ends at 1.
        let logistic = |x: Tensor<2>, _: Tensor<2>| {
            let share = x.neg().exp().add_scalar(1.0).recip();
            let slope = share.clone() * share.clone().neg().add_scalar(1.0);
            Ok(Scalarwise { value: share, log_slope: slope.log() })
        };
        let found =
            inverse(&logistic, tensor(&[0.2], 1, DType::F64), tensor(&[0.0], 1, DType::F64));
        assert!((host_values(found.unwrap().value).unwrap()[0] - 0.25f64.ln()).abs() < 1e-12);
        let missed =
            inverse(&logistic, tensor(&[2.0], 1, DType::F64), tensor(&[0.0], 1, DType::F64));
        assert_eq!(missed.unwrap_err().kind(), ErrorKind::NotConverged);
    }
}
