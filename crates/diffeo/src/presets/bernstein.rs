//! Autoregressive layers of Bernstein polynomials (Ramasinghe, Fernando, Khan, Barnes. 2021, arXiv:2102.03509).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::Bernstein;

pub(super) const BERNSTEIN: Family = Family {
    name: "bernstein",
    summary: "autoregressive Bernstein polynomials, smooth",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let map = Bernstein { degree: draft.options.bins, bound: draft.options.bound };
        draft.autoregressive(i, map)
    },
};
