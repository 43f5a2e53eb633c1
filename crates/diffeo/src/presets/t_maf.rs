//! Affine autoregressive layers by causal transformers (after Zhai et al. *Normalizing flows are capable generative models*. ICML 2025, arXiv:2412.06329, with a token for each column).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::Affine;

pub(super) const T_MAF: Family = Family {
    name: "t-maf",
    summary: "affine autoregressive by causal transformers",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: Some(ColumnOrder::Reverse),
    fixed: None,
    layers: |draft, i| draft.by_transformer(i, Affine::default()),
};
