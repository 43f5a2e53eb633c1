//! Neural autoregressive flow with deep sigmoids (Huang, Krueger, Lacoste, Courville. ICML 2018, section 3.1, arXiv:1804.00779).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::LogisticMixture;

pub(super) const NAF: Family = Family {
    name: "naf",
    summary: "autoregressive deep sigmoids, smooth",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        // Twice the bins: 16 units by default, as in the paper.
        let map = LogisticMixture { components: 2 * draft.options.bins, depth: 1 };
        draft.autoregressive(i, map)
    },
};
