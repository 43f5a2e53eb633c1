//! Block neural autoregressive flow (De Cao, Titov, Aziz. UAI 2019, arXiv:1904.04676).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::transforms::{BlockAutoregressiveSpec, PluSpec};

pub(super) const BNAF: Family = Family {
    name: "bnaf",
    summary: "one increasing network for all columns, smooth; slow samples",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        // A hidden layer is as wide as other networks', but each column has so many units at least.
        let least = draft.options.bins;
        let of = |width: &usize| (width / draft.dims.max(1)).max(least);
        let units = draft.options.hidden.iter().map(of).collect();
        let layer = BlockAutoregressiveSpec { units };
        vec![PluSpec { order: draft.turn_or_stay(i) }.into(), layer.into()]
    },
};
