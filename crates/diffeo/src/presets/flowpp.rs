//! Couplings with mixtures of logistics (Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, arXiv:1902.00275): of the columns of a table, or of images at several scales, with attention.

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::LogisticMixture;

/// Heads of attention between the pixels of an image.
const HEADS: usize = 4;

pub(super) const FLOWPP: Family = Family {
    name: "flowpp",
    summary: "couplings of logistic mixtures, fast densities; images, too",
    columns_min: 2,
    takes_context: true,
    takes_graph: false,
    rows: Rows::ScalesOrTable,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let map = LogisticMixture { components: draft.options.bins, depth: 1 };
        match draft.grid {
            Some(_) => draft.checkered_step(i, true, map, HEADS),
            None => draft.coupling(i, map),
        }
    },
};
