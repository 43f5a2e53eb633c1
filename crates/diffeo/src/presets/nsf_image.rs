//! Spline couplings of images at several scales (Durkan, Bekasov, Murray, Papamakarios. *Neural spline flows*. NeurIPS 2019, section 5.3, arXiv:1906.04032).
//!
//! Checkerboards and halves of the channels take turns, where the paper mixes all channels before each coupling: neighbours of one channel then tell each other more.

use super::family::{Family, Rows};

pub(super) const NSF_IMAGE: Family = Family {
    name: "nsf-image",
    summary: "images: spline couplings at several scales, fast samples",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Scales,
    order: None,
    fixed: None,
    layers: |draft, i| draft.checkered_step(i, true, draft.options.spline(), 0),
};
