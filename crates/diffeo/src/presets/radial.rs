//! Swellings about points (Rezende, Mohamed. ICML 2015, arXiv:1505.05770).

use super::family::{Family, Rows};
use crate::transforms::RadialSpec;

pub(super) const RADIAL: Family = Family {
    name: "radial",
    summary: "swellings about points, tiny; take many transforms",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |_, _| vec![RadialSpec {}.into()],
};
