//! Whether the scales of a fitted flow have run into their bounds.

use burn::tensor::Tensor;

use super::batches::Batch;
use crate::error::Result;
use crate::flow::Flow;
use crate::linalg::{host_values, tensor_of};
use crate::transform::Transform;
use crate::transforms::{ActNorm, Chain, Layer, Plu};

/// Rows that are looked at.
pub(crate) const ROWS_EXAMINED: usize = 1024;
/// Share of a bound from which on a log-scale counts as saturated: its gradient is then a fiftieth of what it was.
const SATURATED: f64 = 0.99;
/// Share of saturated log-scales that is worth a warning.
const SHARE_MAX: f64 = 0.01;

/// Log-scales seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    saturated: usize,
    total: usize,
}

impl Tally {
    fn add(&mut self, log_slopes: Tensor<2>, bound: f64, times: usize) -> Result<()> {
        let values = host_values(log_slopes)?;
        self.total += times * values.len();
        self.saturated += times * values.iter().filter(|s| s.abs() > SATURATED * bound).count();
        Ok(())
    }

    /// Counts the log-scales of a layer at rows on its data side.
    fn add_layer(
        &mut self,
        layer: &Layer,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<()> {
        let rows = x.dims()[0];
        let (log_slopes, bound) = match layer {
            Layer::Chain(chain) => return self.add_chain(chain, x, context),
            Layer::Inverted(inverted) => {
                let x = inverted.0.inverse(x, context)?.value;
                return self.add_layer(&inverted.0, x, context);
            }
            Layer::ActNorm(layer) => {
                return self.add(layer.log_scale(), ActNorm::LOG_SCALE_MAX, rows);
            }
            Layer::Plu(layer) => return self.add(layer.log_scale(), Plu::LOG_SCALE_MAX, rows),
            Layer::Elementwise(layer) => layer.log_slopes(x)?,
            Layer::Coupling(layer) => layer.log_slopes(x, context)?,
            Layer::Autoregressive(layer) => layer.log_slopes(x, context)?,
            Layer::Permutation(_) | Layer::Support(_) | Layer::Standardize(_) => return Ok(()),
        };
        self.add(log_slopes, bound, 1)
    }

    fn add_chain(
        &mut self,
        chain: &Chain,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<()> {
        let mut value = x;
        for layer in chain.layers() {
            value = chain.prepare(layer, value, false);
            self.add_layer(layer, value.clone(), context)?;
            value = layer.forward(value, context)?.value;
        }
        Ok(())
    }
}

fn tally(flow: &Flow, rows: &Batch) -> Result<Tally> {
    let context = rows.context.as_ref().map(tensor_of);
    let context = flow.map_context(rows.x.len(), context)?;
    let mut tally = Tally::default();
    tally.add_chain(flow.transform(), tensor_of(&rows.x), context.as_ref())?;
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
    use crate::monotone::{Affine, MonotoneSpec};
    use crate::rows::Rows;
    use crate::spec::{BaseSpec, FlowSpec, LayerSpec, Precision};

    fn flow(raw: f64) -> Flow {
        let affine =
            || LayerSpec::Elementwise { monotone: MonotoneSpec::Affine(Affine::default()) };
        let inverted = LayerSpec::Inverted { transform: Box::new(affine()) };
        let spec = FlowSpec {
            dims: 2,
            context_dims: 0,
            precision: Precision::F64,
            transforms: vec![
                LayerSpec::Standardize { center: vec![0.0; 2], scale: vec![1.0; 2] },
                affine(),
                LayerSpec::Permutation { order: vec![1, 0] },
                LayerSpec::Chain { transforms: vec![inverted, LayerSpec::ActNorm {}] },
                LayerSpec::Plu { order: vec![0, 1] },
            ],
            context_transforms: vec![],
            base: BaseSpec::Normal,
        };
        let mut flow = spec.build(0).unwrap();
        // The first log-scale of every layer: of the affine maps the second of each column's two parameters.
        flow.visit(&mut |name, parameter| {
            let [rows, columns] = parameter.value.dims();
            if name.ends_with("params") || name.ends_with("log_scale") {
                let at = usize::from(name.ends_with("params"));
                let mut values = vec![0.0; rows * columns];
                values[at] = raw;
                let data = burn::tensor::TensorData::new(values, [rows, columns]);
                let device = parameter.value.device();
                parameter.value = Tensor::from_data(data, (&device, parameter.value.dtype()));
            }
        });
        flow
    }

    #[test]
    fn d5_saturated_log_scales_are_counted_in_every_layer() {
        let x = Rows::new(vec![0.1, 0.2, -0.3, 0.4, 0.5, -0.6], 2).unwrap();
        let rows = Batch { x, context: None, weights: vec![1.0; 3] };
        // Four layers of two columns at three rows, one column of each at its bound.
        let found = tally(&flow(1000.0), &rows).unwrap();
        assert_eq!(found, Tally { saturated: 12, total: 24 });
        let text = about(&flow(-1000.0), &rows).unwrap().unwrap();
        assert!(text.starts_with("50.0 % of the log-scales"), "{text}");
        assert_eq!(tally(&flow(3.0), &rows).unwrap(), Tally { saturated: 0, total: 24 });
        assert_eq!(about(&flow(3.0), &rows).unwrap(), None);
    }
}
