//! A continuous layer for flow matching with minibatch optimal transport (Lipman et al. ICLR 2023, arXiv:2210.02747; Tong et al. TMLR 2024, arXiv:2302.00482).

use super::family::{Family, Rows};
use crate::transforms::ContinuousSpec;

pub(super) const OT_FLOW_MATCHING: Family = Family {
    name: "ot-flow-matching",
    summary: "one smooth map like ffjord's, trained without solving its equation",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, i| match i {
        0 => vec![ContinuousSpec::new(draft.options.hidden.clone()).into()],
        _ => Vec::new(),
    },
};
