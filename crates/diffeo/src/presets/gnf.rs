//! Graphical normalizing flow (Wehenkel, Louppe. *Graphical Normalizing Flows*. AISTATS 2021, arXiv:2006.02548).

use super::family::{Family, Rows};
use crate::monotone::{MonotoneSpec, MonotonicNetwork};
use crate::transforms::AutoregressiveSpec;

pub(super) const GNF: Family = Family {
    name: "gnf",
    summary: "monotonic networks along a graph of the columns",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, _| {
        let bound = draft.options.bound;
        let map: MonotoneSpec = MonotonicNetwork { bound, ..MonotonicNetwork::default() }.into();
        // Without a graph every column follows from all before it: the graph that forbids nothing.
        let any = || AutoregressiveSpec::new(map.clone(), draft.options.network()).into();
        vec![draft.by_graph(&map).unwrap_or_else(any)]
    },
};
