//! Layers whose conditioners go further where the context leads.

use super::LayerSpec;
use super::conditional::{ConditionalSpec, Short as _};
use crate::conditioner::GuidedSpec;
use crate::error::{Error, Result};

/// Gives every conditioner of some layers, and of those inside, a [`GuidedSpec`] around it, with the same weights under the same names.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for a layer that sees the context without a conditioner, or that may leave out columns.
pub(crate) fn guide(layers: &mut [LayerSpec], weight: f64) -> Result<()> {
    for layer in layers {
        // The noise in the cells of levels is no part of what is drawn.
        if matches!(layer, LayerSpec::Dequantise(_)) {
            continue;
        }
        guide(layer.inner_mut(), weight)?;
        let long = match layer {
            LayerSpec::Coupling(layer) => layer.long(),
            LayerSpec::Autoregressive(layer) => layer.long(),
            LayerSpec::Conditional(layer) => layer.clone(),
            LayerSpec::Planar(_)
            | LayerSpec::Radial(_)
            | LayerSpec::Sylvester(_)
            | LayerSpec::Residual(_)
            | LayerSpec::BlockAutoregressive(_)
            | LayerSpec::Continuous(_)
            | LayerSpec::Own(_) => {
                return Err(Error::config(format!(
                    "guidance is for couplings and autoregressive layers, and this model has a layer {}",
                    layer.name()
                )));
            }
            _ => continue,
        };
        if !long.gates.is_empty() {
            return Err(Error::config("guidance is not for models whose columns may be left out"));
        }
        let conditioner = GuidedSpec { of: Box::new(long.conditioner), weight };
        *layer = ConditionalSpec { conditioner: conditioner.into(), ..long }.into();
    }
    Ok(())
}
