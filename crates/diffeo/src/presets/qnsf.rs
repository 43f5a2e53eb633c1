//! Autoregressive quadratic splines (Müller et al. *Neural Importance Sampling*, arXiv:1808.03856; Durkan et al. *Neural Spline Flows*, arXiv:1906.04032).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::PolynomialSpline;

pub(super) const QNSF: Family = Family {
    name: "qnsf",
    summary: "autoregressive quadratic splines, a third fewer parameters than nsf",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let (bins, bound) = (draft.options.bins, draft.options.bound);
        draft.autoregressive(i, PolynomialSpline { degree: 2, bins, bound })
    },
};
