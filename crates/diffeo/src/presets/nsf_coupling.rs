//! Spline couplings with PLU layers between: fast in both directions (Durkan et al. NeurIPS 2019, arXiv:1906.04032).

use super::family::{Family, Rows};
use super::options::ColumnOrder;

pub(super) const NSF_COUPLING: Family = Family {
    name: "nsf-coupling",
    summary: "spline couplings, fast both ways",
    columns_min: 2,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| draft.coupling(i, draft.options.spline()),
};
