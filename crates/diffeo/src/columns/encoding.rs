//! From rows of a table to what a flow learns from.

use rand_chacha::ChaCha8Rng;

use super::cells::Cells;
use super::schema::Schema;
use super::units::Units;
use crate::host::rows::Rows;

/// Cells and units together.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    cells: Cells,
    pub(crate) units: Units,
}

/// Rows as a flow sees them.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// Real numbers of order one.
    pub(crate) x: Rows,
    /// `log|det|` of the map from the data, of each row.
    pub(crate) log_det: Vec<f64>,
    pub(crate) context: Option<Rows>,
}

impl Encoding {
    pub(crate) fn new(schema: &Schema, units: Units) -> Self {
        Self { cells: Cells::new(schema), units }
    }

    /// Encodes rows in the units of the data, whole numbers at random points of their cells; `rng` makes the random numbers of a row.
    pub(crate) fn encode(
        &self,
        mut x: Rows,
        mut context: Option<Rows>,
        rng: impl Fn(usize) -> ChaCha8Rng,
    ) -> Encoded {
        self.cells.scatter(&mut x, rng);
        let log_det = self.units.to_real(&mut x);
        context.iter_mut().for_each(|context| self.units.context_to_real(context));
        Encoded { x, log_det, context }
    }
}
