//! Inverted affine autoregressive layers: fast samples (Kingma et al. NeurIPS 2016, arXiv:1606.04934).

use super::family::{Family, Rows};
use super::maf::affine;
use super::options::ColumnOrder;
use crate::transforms::{InvertedSpec, PermutationSpec};

pub(super) const IAF: Family = Family {
    name: "iaf",
    summary: "inverted autoregressive, fast samples",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: Some(ColumnOrder::Reverse),
    fixed: None,
    layers: |draft, i| {
        let mut layers = Vec::new();
        layers.extend(draft.turn(i).map(|order| PermutationSpec { order }.into()));
        layers.push(InvertedSpec::of(affine(draft)).into());
        layers
    },
};
