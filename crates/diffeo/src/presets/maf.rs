//! Affine autoregressive layers with reversed orders: fast density (Papamakarios, Pavlakou, Murray. NeurIPS 2017, arXiv:1705.07057).

use super::family::{Draft, Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::Affine;
use crate::transforms::{AutoregressiveSpec, PermutationSpec};

pub(super) const MAF: Family = Family {
    name: "maf",
    summary: "affine autoregressive, the fastest fit",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Reverse),
    fixed: None,
    layers: |draft, i| {
        if let Some(layer) = draft.by_graph(&Affine::default().into()) {
            return vec![layer];
        }
        let mut layers = Vec::new();
        layers.extend(draft.turn(i).map(|order| PermutationSpec { order }.into()));
        layers.push(affine(draft).into());
        layers
    },
};

/// The layer of MAF, which IAF uses the other way round.
pub(super) fn affine(draft: &Draft<'_>) -> AutoregressiveSpec {
    AutoregressiveSpec::new(Affine::default(), draft.options.network())
}
