//! A layer of your own: trained on a real table, saved, loaded, held to the laws. `cargo run --release --example own_layer`

use diffeo::burn::tensor::Tensor;
use diffeo::laws::{Case, hold};
use diffeo::train::Fit;
use diffeo::transforms::{Describe, Own, OwnLayer, Registry};
use diffeo::{
    Given, Init, Mapped, Model, Parameter, Place, Preset, PresetOptions, Result, Rows, Transform,
    Visitor, ops,
};
use serde::{Deserialize, Serialize};

/// What a file says of the layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SkewSpec {}

impl OwnLayer for SkewSpec {
    const NAME: &'static str = "skew";
}

impl Describe for SkewSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }
    fn count(&self, at: Place) -> Option<u64> {
        Some(at.dims as u64)
    }
    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Skew(Parameter::new(init.full([1, at.dims], 0.0)))))
    }
}

/// `z = sinh(asinh x - skew)` in every column (Jones and Pewsey, Biometrika 2009).
#[derive(Clone, Debug)]
struct Skew(Parameter);

impl Skew {
    /// `sinh(asinh x + by)`, and `ln` of its slope `cosh(asinh x + by) / cosh(asinh x)`, summed over columns.
    fn moved(x: Tensor<2>, by: Tensor<2>) -> Mapped {
        let (u, v) = (x.clone().asinh(), x.asinh() + by);
        let log_cosh = |u: Tensor<2>| u.clone().abs() + (u.abs() * -2.0).exp().log1p();
        Mapped { log_det: ops::sum_rows(log_cosh(v.clone()) - log_cosh(u)), value: v.sinh() }
    }
}

impl Transform for Skew {
    fn dims(&self) -> usize {
        self.0.value.dims()[1]
    }
    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Self::moved(x, self.0.value.clone().neg()))
    }
    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Self::moved(z, self.0.value.clone()))
    }
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("skew", &mut self.0);
    }
}

fn main() -> Result<()> {
    let table = include_str!("../../../data/wine_red.csv");
    let values = table.lines().skip(1).flat_map(|row| row.split(',').take(11));
    let rows = Rows::new(values.filter_map(|cell| cell.parse().ok()).collect(), 11)?;
    let mut spec = Preset::Maf.spec(11, 0, &PresetOptions::default())?;
    spec.transforms.insert(0, Own::new(SkewSpec {})?.into());
    let model = Fit::of(spec).rows(rows.clone()).steps(200).threads(2).run()?;
    let path = std::env::temp_dir().join("skew.safetensors");
    model.save(&path)?;
    println!("without its registry: {}", Model::load(&path).unwrap_err());
    let registry = Registry::new().with::<SkewSpec>();
    let loaded = Model::load_with(&path, &registry)?;
    assert_eq!(loaded.log_prob(&rows, None, 1)?, model.log_prob(&rows, None, 1)?);
    hold(&Case::of_layer(Own::new(SkewSpec {})?, 3, 0).with(registry));
    println!("saved, loaded, held to the laws");
    Ok(())
}
