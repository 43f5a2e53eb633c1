//! Affine couplings of images at several scales (Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, arXiv:1605.08803).

use super::family::{Family, Rows};
use super::scales::affine;

pub(super) const REALNVP_IMAGE: Family = Family {
    name: "realnvp-image",
    summary: "images: affine couplings at several scales",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Scales,
    order: None,
    fixed: None,
    layers: |draft, i| draft.checkered_step(i, false, affine(), 0),
};
