//! A model to and from its file.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::Value;

use super::file::{Damage, ModelParts, from_json};
use super::{Model, TrainingSummary};
use crate::error::{Error, Result};
use crate::file::container::{Dtype, NamedTensor};
use crate::file::storage::Disk;
use crate::host::linalg::host_values;
use crate::spec::{FlowSpec, Precision};
use crate::transforms::Registry;

pub(super) fn save(model: &Model, path: &Path) -> Result<()> {
    parts_of(model)?.write(path, &Disk)
}

pub(super) fn load(path: &Path, registry: &Registry) -> Result<Model> {
    model_of(&ModelParts::read(path, Damage::Refuse)?, registry).map_err(|e| e.at(path))
}

pub(super) fn encode(model: &Model) -> Result<Vec<u8>> {
    parts_of(model)?.encode()
}

/// A hash of what a model says: of its flow, weights, columns and units, by whatever release.
pub(super) fn fingerprint(model: &Model) -> Result<String> {
    let ModelParts { spec, schema, units, tensors, .. } = parts_of(model)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(serde_json::json!([spec, schema, units]).to_string().as_bytes());
    for tensor in tensors {
        hasher.update(tensor.name.as_bytes()).update(&tensor.data);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

pub(super) fn decode(bytes: &[u8], registry: &Registry) -> Result<Model> {
    model_of(&ModelParts::decode(bytes, Damage::Refuse)?, registry)
}

fn parts_of(model: &Model) -> Result<ModelParts> {
    let spec = model.flow.spec();
    let (tensors, precision) = tensors_of(&model.flow.parameters(), spec.precision)?;
    let json = |value: serde_json::Result<Value>| {
        value.map_err(|e| {
            Error::new(crate::ErrorKind::Internal, format!("cannot describe the model: {e}"))
        })
    };
    let mut parts = ModelParts::new(
        json(serde_json::to_value(spec))?,
        model.schema.clone(),
        model.units().clone(),
        precision,
        tensors,
    );
    parts.summary = match &model.summary {
        Some(summary) => Some(json(serde_json::to_value(summary))?),
        None => None,
    };
    parts.other = model.texts.clone();
    Ok(parts)
}

fn model_of(parts: &ModelParts, registry: &Registry) -> Result<Model> {
    let mut spec: FlowSpec = from_json("spec", &parts.spec)?;
    registry.resolve(&mut spec.transforms)?;
    let expected = match spec.precision {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    if parts.precision != expected {
        return Err(Error::model_file(format!(
            "expected weights of type {}, found {}",
            expected.name(),
            parts.precision.name()
        )));
    }
    let damaged = |e: Error| {
        Error::model_file(format!("the spec in the file cannot be built: {}", e.message()))
    };
    // A file must not make us allocate more than it brings along.
    let held: u64 = parts.tensors.iter().map(|t| (t.data.len() / t.dtype.size()) as u64).sum();
    let needed = spec.validate().and_then(|()| spec.parameter_count()).map_err(damaged)?;
    if needed != held {
        return Err(Error::model_file(format!(
            "the spec calls for {needed} weights, the file holds {held}"
        )));
    }
    let mut flow = spec.build(0).map_err(damaged)?;
    let shapes: Vec<(String, Vec<usize>)> =
        flow.parameters().into_iter().map(|(name, t)| (name, t.dims().to_vec())).collect();
    parts.check_tensors(shapes.iter().map(|(name, shape)| (name.as_str(), shape.clone())))?;
    let mut weights = BTreeMap::new();
    for tensor in &parts.tensors {
        weights.insert(tensor.name.clone(), from_file(tensor)?);
    }
    flow.set_parameters(&weights)?;
    let (schema, units) = (parts.schema.clone(), parts.units.clone());
    let mut model = Model::with_units(flow, schema, units).map_err(damaged)?;
    model.summary = match &parts.summary {
        Some(summary) => Some(from_json::<TrainingSummary>("training summary", summary)?),
        None => None,
    };
    model.texts = parts.other.clone();
    Ok(model)
}

fn tensors_of(
    parameters: &[(String, Tensor<2>)],
    precision: Precision,
) -> Result<(Vec<NamedTensor>, Dtype)> {
    let mut tensors = Vec::with_capacity(parameters.len());
    for (name, value) in parameters {
        let shape = value.dims();
        let values = host_values(value.clone())?;
        tensors.push(match precision {
            Precision::F64 => NamedTensor::from_f64(name, shape, &values),
            Precision::F32 => {
                let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                NamedTensor::from_f32(name, shape, &values)
            }
        });
    }
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    Ok((tensors, dtype))
}

fn from_file(tensor: &NamedTensor) -> Result<Tensor<2>> {
    let &[rows, columns] = tensor.shape.as_slice() else {
        return Err(Error::model_file(format!("tensor {} should have rank 2", tensor.name)));
    };
    let device = Device::flex();
    Ok(match tensor.dtype {
        Dtype::F32 => {
            let data = TensorData::new(tensor.to_f32()?, [rows, columns]);
            Tensor::from_data(data, (&device, DType::F32))
        }
        _ => {
            let data = TensorData::new(tensor.to_f64()?, [rows, columns]);
            Tensor::from_data(data, (&device, DType::F64))
        }
    })
}
