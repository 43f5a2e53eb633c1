//! Transformer neural autoregressive flow: deep sigmoids by causal transformers (Patacchiola, Shysheya, Hofmann, Turner. arXiv:2401.01855).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::LogisticMixture;

pub(super) const T_NAF: Family = Family {
    name: "t-naf",
    summary: "autoregressive deep sigmoids by causal transformers, smooth",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: Some(ColumnOrder::Reverse),
    fixed: None,
    layers: |draft, i| {
        let map = LogisticMixture { components: 2 * draft.options.bins, depth: 1 };
        draft.by_transformer(i, map)
    },
};
