//! The weights of a flow as one flat array, and back.

use burn::tensor::{Tensor, TensorData};

use super::element::Element;
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::linalg::host_values;

/// Where the weights of a flow lie in a flat array, and their values.
///
/// # Errors
/// [`ErrorKind::Device`] if the weights cannot be read.
pub(crate) fn flat_weights<T: Element>(flow: &Flow) -> Result<(Layout, Vec<T>)> {
    let mut flow = flow.clone();
    let mut found = Vec::new();
    flow.visit(&mut |name, parameter| found.push((name.to_owned(), parameter.clone())));
    let (mut layout, mut weights) = (Layout::default(), Vec::new());
    for (name, parameter) in found {
        let mask = parameter.mask.map(host_values).transpose()?;
        let values = elements::<T>(parameter.value)?;
        layout.push(&name, values.len(), parameter.decay, mask.as_deref());
        weights.extend(values);
    }
    Ok((layout, weights))
}

/// Where the weights of a flow lie in a flat array; masks are not looked at.
pub(super) fn layout_of(flow: &Flow) -> Layout {
    let mut layout = Layout::default();
    flow.clone().visit(&mut |name, parameter| {
        layout.push(name, parameter.value.shape().num_elements(), parameter.decay, None);
    });
    layout
}

/// Puts flat weights into a flow.
///
/// # Errors
/// [`ErrorKind::Internal`] if there are more than the flow has.
pub(crate) fn set_weights<T: Element>(flow: &mut Flow, weights: &[T]) -> Result<()> {
    let mut rest = weights;
    flow.visit(&mut |_, parameter| {
        let len = parameter.value.shape().num_elements().min(rest.len());
        let (values, after) = rest.split_at(len);
        rest = after;
        let data = TensorData::new(values.to_vec(), parameter.value.dims());
        parameter.value = Tensor::from_data(data, (&parameter.value.device(), T::dtype()));
    });
    if rest.is_empty() { Ok(()) } else { Err(internal("weights left over")) }
}

/// The numbers of a tensor.
///
/// # Errors
/// [`ErrorKind::Device`] if they cannot be read.
pub(crate) fn elements<T: Element>(tensor: Tensor<2>) -> Result<Vec<T>> {
    let data = tensor
        .try_into_data()
        .map_err(|e| Error::new(ErrorKind::Device, format!("cannot read weights: {e:?}")))?;
    data.try_into_vec().map_err(|e| internal(&format!("weights have another precision: {e:?}")))
}

fn internal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}; please report this"))
}
