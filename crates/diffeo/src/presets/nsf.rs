//! Autoregressive spline layers with PLU layers between: the best density for most tables (Durkan et al. NeurIPS 2019, arXiv:1906.04032).

use super::family::Family;
use super::options::ColumnOrder;
use crate::transforms::{AutoregressiveSpec, PluSpec};

pub(super) const NSF: Family = Family {
    name: "nsf",
    summary: "autoregressive splines, the best density",
    columns_min: 1,
    takes_context: true,
    order: Some(ColumnOrder::Random),
    fixed: None,
    layers: |draft, i| {
        let spline = AutoregressiveSpec::new(draft.options.spline(), draft.options.network());
        vec![PluSpec { order: draft.turn_or_stay(i) }.into(), spline.into()]
    },
};
