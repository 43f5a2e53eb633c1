//! Models from descriptions and weights that others give.

use std::collections::BTreeMap;

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Column, Error, FlowSpec, Model, Schema};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::errors::raise;
use crate::model::PyModel;

/// A model of this description, columns and weights, which are arrays of two dimensions by name.
#[pyfunction]
pub(crate) fn assemble(
    py: Python<'_>,
    spec: &str,
    columns: Vec<String>,
    context: Vec<String>,
    weights: Vec<(String, Bound<'_, PyAny>)>,
) -> PyResult<PyModel> {
    let spec: FlowSpec = serde_json::from_str(spec)
        .map_err(|e| raise(Error::config(format!("the description of the flow: {e}"))))?;
    spec.validate().map_err(raise)?;
    let (device, dtype) = (Device::flex(), DType::F64);
    let mut values = BTreeMap::new();
    for (name, array) in weights {
        let buffer = PyBuffer::<f64>::get(&array)?;
        let (numbers, shape) = (buffer.to_vec(py)?, buffer.shape());
        let &[rows, width] = shape else {
            return Err(raise(Error::shape(format!("{name}: expected rows and columns"))));
        };
        let data = TensorData::new(numbers, [rows, width]);
        values.insert(name, Tensor::<2>::from_data(data, (&device, dtype)));
    }
    let real = |names: Vec<String>| names.into_iter().map(Column::real).collect();
    let model = py.detach(|| {
        let to = spec.precision.dtype();
        let values = values.into_iter().map(|(name, value)| (name, value.cast(to))).collect();
        let mut flow = spec.build(0)?;
        flow.set_parameters(&values)?;
        Model::new(flow, Schema::new(real(columns), real(context)))
    });
    model.map(PyModel::from).map_err(raise)
}
