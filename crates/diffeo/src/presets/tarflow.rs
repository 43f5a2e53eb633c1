//! Autoregressive layers over patches of images by causal transformers (Zhai et al. *Normalizing flows are capable generative models*. ICML 2025, arXiv:2412.06329).
//!
//! Splines stand where the paper has affine maps: uniform noise in the cells of a level, which most pixels of a drawing are, is no affine image of a normal, and costs a quarter of a bit
//! for each number where that is all there is. Tokens are pixels far apart and patches in turn, where the paper has patches only.

use super::family::{Family, Rows};

pub(super) const TARFLOW: Family = Family {
    name: "tarflow",
    summary: "images: splines over patches by causal transformers",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Tokens,
    order: None,
    fixed: None,
    layers: |draft, i| draft.over_patches(i, draft.options.spline()),
};
