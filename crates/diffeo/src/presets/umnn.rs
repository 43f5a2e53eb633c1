//! Unconstrained monotonic neural networks (Wehenkel, Louppe. NeurIPS 2019, arXiv:1908.05164).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::MonotonicNetwork;

pub(super) const UMNN: Family = Family {
    name: "umnn",
    summary: "autoregressive integrals of networks, smooth, dear",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let bound = draft.options.bound;
        draft.autoregressive(i, MonotonicNetwork { bound, ..MonotonicNetwork::default() })
    },
};
