//! Invertible 1 x 1 convolutions and affine couplings of images at several scales (Kingma, Dhariwal. *Glow*. NeurIPS 2018, arXiv:1807.03039).

use super::family::{Family, Rows};
use super::scales::affine;

pub(super) const GLOW: Family = Family {
    name: "glow",
    summary: "images: 1 x 1 convolutions and affine couplings at several scales",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Scales,
    order: None,
    fixed: None,
    layers: |draft, i| draft.mixed_step(i, affine()),
};
