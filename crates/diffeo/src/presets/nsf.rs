//! Autoregressive spline layers with PLU layers between: the best density for most tables (Durkan et al. NeurIPS 2019, arXiv:1906.04032).

use super::family::{Family, Rows};
use super::options::ColumnOrder;

pub(super) const NSF: Family = Family {
    name: "nsf",
    summary: "autoregressive splines, the best density",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| draft.autoregressive(i, draft.options.spline()),
};
