//! Autoregressive layers of sum-of-squares polynomials (Jaini, Selby, Yu. ICML 2019, arXiv:1905.02325).

use super::family::{Family, Rows};
use super::options::ColumnOrder;
use crate::monotone::SumOfSquares;

pub(super) const SOS: Family = Family {
    name: "sos",
    summary: "autoregressive sums of squared polynomials, smooth",
    columns_min: 1,
    takes_context: true,
    takes_graph: true,
    rows: Rows::Table,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let (degree, bound) = (draft.options.bins.div_ceil(2), draft.options.bound);
        let map = SumOfSquares { polynomials: 3, degree, bound };
        draft.autoregressive(i, map)
    },
};
