//! Couplings with mixtures of logistics (Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, arXiv:1902.00275).

use super::family::Family;
use super::options::ColumnOrder;
use crate::monotone::LogisticMixture;

pub(super) const FLOWPP: Family = Family {
    name: "flowpp",
    summary: "couplings of logistic mixtures, fast densities",
    columns_min: 2,
    takes_context: true,
    takes_graph: false,
    is_of_images: false,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let map = LogisticMixture { components: draft.options.bins, depth: 1 };
        draft.coupling(i, map)
    },
};
