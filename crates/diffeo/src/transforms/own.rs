//! Layers that a program brings along: peers of the built-in ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Describe, LayerSpec, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result, quoted};
use crate::parameter::Init;
use crate::transform::Transform;

/// A layer of a program's own: plain data with a name that files know it by.
pub trait OwnLayer: Describe + Serialize + DeserializeOwned + 'static {
    /// The name, which must not change while there are files with it.
    const NAME: &'static str;
}

/// A layer that this library does not know: its name and its settings, and what they stand for once that is known.
///
/// A file can only name it. Who loads the file says what the name means, with a [`Registry`]; without one the layer is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    name: String,
    settings: Value,
    #[serde(skip)]
    layer: Option<Arc<dyn Describe>>,
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.settings) == (&other.name, &other.settings)
    }
}

impl Own {
    /// A layer of the program's own, to be put in a specification.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if its settings cannot be written as JSON.
    pub fn new<L: OwnLayer>(layer: L) -> Result<Self> {
        let settings = serde_json::to_value(&layer).map_err(|e| {
            Error::config(format!("layer {}: its settings have no JSON form: {e}", quoted(L::NAME)))
        })?;
        Ok(Self { name: L::NAME.to_owned(), settings, layer: Some(Arc::new(layer)) })
    }

    fn layer(&self) -> Result<&dyn Describe> {
        self.layer.as_deref().ok_or_else(|| {
            Error::config(format!(
                "layer {} is of another program's own; load the model with a registry that knows it (`Model::load_with`)",
                quoted(&self.name)
            ))
        })
    }
}

impl Describe for Own {
    fn validate(&self, at: Place) -> Result<()> {
        self.layer()?.validate(at)
    }

    fn count(&self, at: Place) -> Option<u64> {
        self.layer.as_ref()?.count(at)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.layer()?.build(at, init)
    }

    fn inner(&self) -> &[LayerSpec] {
        self.layer.as_ref().map_or(&[], |layer| layer.inner())
    }

    fn bound(&self) -> f64 {
        self.layer.as_ref().map_or(f64::INFINITY, |layer| layer.bound())
    }
}

impl Cases for Own {
    fn cases(_at: Place) -> Vec<Self> {
        Vec::new()
    }
}

type Read = fn(&Value) -> serde_json::Result<Box<dyn Describe>>;

/// What the names of a program's own layers mean: what a file may name beside the built-in layers.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    layers: BTreeMap<&'static str, Read>,
}

impl Registry {
    /// Knows no layer but the built-in ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows this layer too.
    #[must_use]
    pub fn with<L: OwnLayer>(mut self) -> Self {
        self.layers.insert(L::NAME, |settings| Ok(Box::new(L::deserialize(settings)?)));
        self
    }

    /// Gives the layers that came from a file by name their meaning.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] naming a layer whose settings are not those of the layer of that name. A name that is not known
    /// is left; [`Describe::validate`] refuses it.
    pub fn resolve(&self, layers: &mut [LayerSpec]) -> Result<()> {
        for layer in layers {
            self.resolve(layer.inner_mut())?;
            if let LayerSpec::Own(own) = layer
                && let Some(read) = self.layers.get(own.name.as_str())
            {
                let mut layer = read(&own.settings).map_err(|e| {
                    Error::model_file(format!(
                        "the settings of layer {} cannot be used: {}",
                        quoted(&own.name),
                        crate::error::printable(&e.to_string())
                    ))
                })?;
                self.resolve(layer.inner_mut())?;
                own.layer = Some(Arc::from(layer));
            }
        }
        Ok(())
    }
}
