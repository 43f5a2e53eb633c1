//! `N(mu, Sigma)` in closed form: the baseline that every flow must beat.

use super::family::{Family, Rows};
use crate::bases::GaussianSpec;
use crate::spec::Precision;

pub(super) const GAUSSIAN: Family = Family {
    name: "gaussian",
    summary: "full covariance in closed form, the baseline",
    columns_min: 1,
    takes_context: false,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: Some(|| (GaussianSpec {}.into(), Precision::F64)),
    layers: |_, _| vec![],
};
