//! Is the log-determinant that of the map? Against the Jacobian by automatic differentiation.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::CheckResult;
use super::subject::{Samples, Subject};
use crate::columns::Within;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::linalg::{host_values, log_abs_det};
use crate::host::parallel;
use crate::host::rows::Rows;
use crate::spec::Precision;
use crate::transform::Mapped;

/// Both sides are computed in `f64`, whatever the model's precision: the formulas are on trial here, not the rounding. They agree to
/// about 1e-12; a term that is wrong or missing shows at 1e-3 and more.
const LIMIT: f64 = 1e-6;
/// Points at which the Jacobian is taken.
const POINTS: usize = 16;
/// A Jacobian of `d` columns takes `d` rows through the flow and back: fewer points where `d` is large, for bounded time.
const ROWS: usize = 4096;
/// Beyond this the matrix takes longer than the model.
const DIMS_MAX: usize = 1024;

pub(super) fn check(subject: &Subject<'_>) -> Result<CheckResult> {
    let d = subject.model.flow().numbers();
    if d == 0 {
        let reason =
            "no column reaches the transforms: all have probabilities, or a density on a circle"
                .to_owned();
        return Ok(CheckResult::skipped("log_det", reason));
    }
    if d > DIMS_MAX {
        let reason = format!("{d} columns, and Jacobians are taken for at most {DIMS_MAX}");
        return Ok(CheckResult::skipped("log_det", reason));
    }
    let n = (ROWS / d).clamp(1, POINTS);
    let context = subject.contexts(n);
    let options = subject.sample_options(Samples::LogDet);
    let x = subject.continuous.sample(n, context.as_ref(), &options)?;
    let (flow, encoding) = (in_double(subject.model.flow())?, subject.continuous.encoding());
    let of_numbers = flow.of_numbers();
    let errors = parallel::map(n, subject.threads, |i| {
        let (x, context) = (x.slice(i..i + 1), context.as_ref().map(|c| c.slice(i..i + 1)));
        let encoded = encoding.encode(&x, context.as_ref().into(), Within::Middle);
        let (x, context) = flow.numbers_of(&encoded.x, encoded.context.as_ref())?;
        error_at(&x, context.as_ref(), |x, c| of_numbers.to_base(x, c))
    })?;
    let larger = |a: f64, b: &f64| if b.is_nan() || *b > a { *b } else { a };
    let value = errors.iter().fold(0.0, |a: f64, b| if a.is_nan() { a } else { larger(a, b) });
    let detail = format!(
        "{n} samples, in f64: largest difference of log|det dz/dx| and that of the Jacobian by automatic differentiation \
         {value:.1e} (relative to 1 + |log det|)"
    );
    Ok(CheckResult::measured("log_det", value, LIMIT, detail))
}

/// The same flow with the same weights in double precision.
fn in_double(flow: &Flow) -> Result<Flow> {
    let mut double = flow.spec().clone().in_precision(Precision::F64).build(0)?;
    let weights: BTreeMap<String, Tensor<2>> = flow.parameters().into_iter().collect();
    double.set_parameters(&weights)?;
    Ok(double)
}

/// Difference of the log-determinant at one point and that of the Jacobian, relative to `1 + |log det|`.
///
/// The point goes through the map `d` times, as the rows of one batch, and row `i` is differentiated by output `i`.
fn error_at(
    x: &Rows,
    context: Option<&Rows>,
    forward: impl Fn(Tensor<2>, Option<Tensor<2>>) -> Result<Mapped>,
) -> Result<f64> {
    let d = x.width();
    let found = host_values(forward(repeated(x, 1), context.map(|c| repeated(c, 1)))?.log_det)?;
    let x = repeated(x, d).autodiff().require_grad();
    let z = forward(x.clone(), context.map(|c| repeated(c, d)))?.value;
    let eye: Vec<f64> = (0..d * d).map(|i| f64::from(u8::from(i / d == i % d))).collect();
    let pick = tensor(eye, [d, d]).cast(z.dtype());
    let gradients = (z * pick).sum().backward();
    let jacobian = x
        .grad(&gradients)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the map does not depend on its input"))?;
    let expected = log_abs_det(host_values(jacobian)?, d);
    Ok((found[0] - expected).abs() / (1.0 + expected.abs()))
}

fn repeated(row: &Rows, n: usize) -> Tensor<2> {
    tensor(row.values().repeat(n), [n, row.width()])
}

fn tensor(values: Vec<f64>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `z = (x_0 + x_1^3, 2 x_1)`, so `log|det| = ln 2`, and then a fault.
    fn planted(fault: f64) -> f64 {
        let x = Rows::new(vec![0.3, -1.2], 2).unwrap();
        let forward = |x: Tensor<2>, _: Option<Tensor<2>>| {
            let (a, b) = (x.clone().narrow(1, 0, 1), x.clone().narrow(1, 1, 1));
            let value = Tensor::cat(vec![a + b.clone().powi_scalar(3), b.mul_scalar(2.0)], 1);
            let log_det = x.narrow(1, 0, 1).reshape([-1]).mul_scalar(0.0);
            Ok(Mapped { value, log_det: log_det.add_scalar(2f64.ln() + fault) })
        };
        error_at(&x, None, forward).unwrap()
    }

    #[test]
    fn a_wrong_log_det_is_seen() {
        assert!(planted(0.0) < 1e-14, "{}", planted(0.0));
        assert!(planted(1e-4) > LIMIT);
        // A sign error.
        assert!(planted(-2.0 * 2f64.ln()) > 0.5);
        assert!(planted(f64::NAN).is_nan());
    }
}
