//! Rotations with a map for each column between (Meng, Song, Song, Ermon. *Gaussianization Flows*. AISTATS 2020, arXiv:2003.01941).

use super::family::{Family, Rows};
use crate::monotone::LogisticMixture;
use crate::transforms::{ElementwiseSpec, OrthogonalSpec};

pub(super) const GAUSSIANIZATION: Family = Family {
    name: "gaussianization",
    summary: "rotations and a mixture for each column, few parameters, no network",
    columns_min: 1,
    takes_context: false,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, _| {
        // Log-odds instead of the normal quantile: tails stay linear, and the next layer finds them so.
        let map = LogisticMixture { components: draft.options.bins, depth: 1 };
        vec![ElementwiseSpec { monotone: map.into() }.into(), OrthogonalSpec {}.into()]
    },
};
