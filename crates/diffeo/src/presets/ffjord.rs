//! Free-form flows along the time of a differential equation (Grathwohl et al. ICLR 2019, arXiv:1810.01367).

use super::family::{Family, Rows};
use crate::transforms::ContinuousSpec;

pub(super) const FFJORD: Family = Family {
    name: "ffjord",
    summary: "the solution of a differential equation whose field is a smooth network",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, _| vec![ContinuousSpec::new(draft.options.hidden.clone()).into()],
};
