//! Bends across as many hyperplanes as there are columns (van den Berg et al. UAI 2018, arXiv:1803.05649).

use super::family::{Family, Rows};
use crate::transforms::SylvesterSpec;

pub(super) const SYLVESTER: Family = Family {
    name: "sylvester",
    summary: "bends across several hyperplanes at once",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, _| vec![SylvesterSpec { directions: draft.dims }.into()],
};
