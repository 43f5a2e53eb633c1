//! Bends across hyperplanes (Rezende, Mohamed. ICML 2015, arXiv:1505.05770).

use super::family::{Family, Rows};
use crate::transforms::PlanarSpec;

pub(super) const PLANAR: Family = Family {
    name: "planar",
    summary: "bends across hyperplanes, tiny; take many transforms",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |_, _| vec![PlanarSpec {}.into()],
};
