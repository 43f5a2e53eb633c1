//! Affine couplings with alternating halves (Dinh, Sohl-Dickstein, Bengio. ICLR 2017, arXiv:1605.08803).

use super::family::{Family, Rows};
use crate::monotone::Affine;
use crate::transforms::{CouplingSpec, Gates};

pub(super) const REALNVP: Family = Family {
    name: "realnvp",
    summary: "affine couplings",
    columns_min: 2,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, i| {
        let (monotone, network) = (Affine::default().into(), draft.options.network());
        vec![
            CouplingSpec { monotone, network, kept: draft.kept(i), gates: Gates::default() }.into(),
        ]
    },
};
