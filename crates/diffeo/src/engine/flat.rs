//! The weights of a flow, or of anything trainable, as one flat array, and back.

use burn::tensor::{Tensor, TensorData};

use super::element::Element;
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::host_values;
use crate::parameter::Trainable;

/// Where the weights of a flow or module lie in a flat array, and their values.
///
/// # Errors
/// [`ErrorKind::Device`] if the weights cannot be read.
pub(crate) fn flat_weights<T: Element>(module: &impl Trainable) -> Result<(Layout, Vec<T>)> {
    let mut module = module.clone();
    let mut found = Vec::new();
    module.visit(&mut |name, parameter| found.push((name.to_owned(), parameter.clone())));
    let (mut layout, mut weights) = (Layout::default(), Vec::new());
    for (name, parameter) in found {
        let mask = parameter.mask.map(host_values).transpose()?;
        let values = elements::<T>(parameter.value)?;
        layout.push(&name, values.len(), parameter.decay, mask.as_deref());
        weights.extend(values);
    }
    Ok((layout, weights))
}

/// Where weights lie in a flat array; masks are not looked at.
pub(super) fn layout_of(module: &impl Trainable) -> Layout {
    let mut layout = Layout::default();
    module.clone().visit(&mut |name, parameter| {
        layout.push(name, parameter.value.shape().num_elements(), parameter.decay, None);
    });
    layout
}

/// Puts flat weights into a flow or module.
///
/// # Errors
/// [`ErrorKind::Internal`] if there are more than it has.
pub(crate) fn set_weights<T: Element>(module: &mut impl Trainable, weights: &[T]) -> Result<()> {
    let mut rest = weights;
    module.visit(&mut |_, parameter| {
        let len = parameter.value.shape().num_elements().min(rest.len());
        let (values, after) = rest.split_at(len);
        rest = after;
        let data = TensorData::new(values.to_vec(), parameter.value.dims());
        parameter.value = Tensor::from_data(data, (&parameter.value.device(), T::dtype()));
    });
    if rest.is_empty() { Ok(()) } else { Err(internal("weights left over")) }
}

/// A copy whose parameters record gradients, and these parameters in their order.
pub(crate) fn tracked<M: Trainable>(module: &M) -> (M, Vec<Tensor<2>>) {
    let mut module = module.clone();
    let mut leaves = Vec::new();
    module.visit(&mut |_, parameter| {
        let leaf = parameter.value.clone().autodiff().require_grad();
        leaves.push(leaf.clone());
        parameter.value = leaf;
    });
    (module, leaves)
}

/// Writes the gradients of a number by such parameters one after another; zero where it does not depend on one.
///
/// # Errors
/// [`ErrorKind::Device`] if they cannot be read.
pub(crate) fn flat_gradient<T: Element>(
    number: &Tensor<1>,
    leaves: Vec<Tensor<2>>,
    gradient: &mut [T],
) -> Result<()> {
    if !number.is_tracked() {
        gradient.fill(T::ZERO);
        return Ok(());
    }
    let mut gradients = number.backward();
    let mut rest = gradient;
    for leaf in leaves {
        let (part, after) = rest.split_at_mut(leaf.shape().num_elements());
        rest = after;
        match leaf.grad_remove(&mut gradients) {
            Some(found) => part.copy_from_slice(&elements::<T>(found)?),
            None => part.fill(T::ZERO),
        }
    }
    Ok(())
}

/// The numbers of a tensor.
///
/// # Errors
/// [`ErrorKind::Device`] if they cannot be read.
fn elements<T: Element>(tensor: Tensor<2>) -> Result<Vec<T>> {
    let data = tensor
        .try_into_data()
        .map_err(|e| Error::new(ErrorKind::Device, format!("cannot read weights: {e:?}")))?;
    data.try_into_vec().map_err(|e| internal(&format!("weights have another precision: {e:?}")))
}

fn internal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}; please report this"))
}
