//! Whether the scales of a fitted flow have run into their bounds.

use super::batches::Batch;
use crate::error::Result;
use crate::flow::Flow;
use crate::host::linalg::{host_values, tensor_of};
use crate::transform::Scales;

/// Rows that are looked at.
pub(crate) const ROWS_EXAMINED: usize = 1024;
/// Share of a bound from which on a log-scale counts as saturated: its gradient is then a fiftieth of what it was.
const SATURATED: f64 = 0.99;
/// Share of saturated log-scales that is worth a warning.
const SHARE_MAX: f64 = 0.01;

/// Log-scales seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    saturated: usize,
    total: usize,
}

fn tally(flow: &Flow, batch: &Batch) -> Result<Tally> {
    let context = batch.context.as_ref().map(tensor_of);
    let mut tally = Tally::default();
    for Scales { log_scales, bound } in flow.scales(tensor_of(&batch.x), context)? {
        let values = host_values(log_scales)?;
        tally.total += values.len();
        tally.saturated += values.iter().filter(|s| s.abs() > SATURATED * bound).count();
    }
    Ok(tally)
}

/// A sentence about log-scales at their bounds; `None` if they are few.
pub(crate) fn about(flow: &Flow, rows: &Batch) -> Result<Option<String>> {
    let Tally { saturated, total } = tally(flow, rows)?;
    let share = saturated as f64 / total.max(1) as f64;
    Ok((share > SHARE_MAX).then(|| {
        format!(
            "{:.1} % of the log-scales of the fitted flow are at their bound (looked at in {} rows): it would stretch or \
             squeeze more than it can; look for rows far from all others, repeated rows or columns that are functions of \
             others, lower the learning rate, or use a spline model",
            100.0 * share,
            rows.x.len()
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::rows::Rows;
    use crate::monotone::Affine;
    use crate::spec::{FlowSpec, Precision};
    use crate::transforms::{
        ActNormSpec, ChainSpec, ElementwiseSpec, InvertedSpec, PermutationSpec, PluSpec,
    };
    use burn::tensor::{Tensor, TensorData};

    fn flow(raw: f64) -> Flow {
        let affine = || ElementwiseSpec { monotone: Affine::default().into() };
        let inside = vec![InvertedSpec::of(affine()).into(), ActNormSpec {}.into()];
        let transforms = vec![
            affine().into(),
            PermutationSpec { order: vec![1, 0] }.into(),
            ChainSpec { transforms: inside }.into(),
            PluSpec { order: vec![0, 1] }.into(),
        ];
        let mut flow = FlowSpec::new(2, transforms).in_precision(Precision::F64).build(0).unwrap();
        // The first log-scale of every layer: of the affine maps the second of each column's two parameters.
        flow.visit(&mut |name, parameter| {
            let [rows, columns] = parameter.value.dims();
            if name.ends_with("params") || name.ends_with("log_scale") {
                let at = usize::from(name.ends_with("params"));
                let mut values = vec![0.0; rows * columns];
                values[at] = raw;
                let data = TensorData::new(values, [rows, columns]);
                let device = parameter.value.device();
                parameter.value = Tensor::from_data(data, (&device, parameter.value.dtype()));
            }
        });
        flow
    }

    #[test]
    fn d5_saturated_log_scales_are_counted_in_every_layer() {
        let x = Rows::new(vec![0.1, 0.2, -0.3, 0.4, 0.5, -0.6], 2).unwrap();
        let rows = Batch::of(x);
        // Four layers of two columns at three rows, one column of each at its bound.
        let found = tally(&flow(1000.0), &rows).unwrap();
        assert_eq!(found, Tally { saturated: 12, total: 24 });
        let text = about(&flow(-1000.0), &rows).unwrap().unwrap();
        assert!(text.starts_with("50.0 % of the log-scales"), "{text}");
        assert_eq!(tally(&flow(3.0), &rows).unwrap(), Tally { saturated: 0, total: 24 });
        assert_eq!(about(&flow(3.0), &rows).unwrap(), None);
    }
}
