//! Contractive residual layers with ActNorm between (Chen, Behrmann, Duvenaud, Jacobsen. *Residual Flows*. NeurIPS 2019, arXiv:1906.02735).

use super::family::{Family, Rows};
use crate::transforms::{ActNormSpec, ResidualSpec};

pub(super) const RESFLOW: Family = Family {
    name: "resflow",
    summary: "residual layers, smooth, free Jacobians; slow in columns",
    columns_min: 1,
    takes_context: true,
    takes_graph: false,
    rows: Rows::Table,
    order: None,
    fixed: None,
    layers: |draft, _| {
        let residual = ResidualSpec::new(draft.options.hidden.clone());
        vec![residual.into(), ActNormSpec {}.into()]
    },
};
