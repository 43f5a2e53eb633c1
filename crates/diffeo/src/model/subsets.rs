//! Densities and draws of some columns given others, for models whose columns may be left out or given ([`Schema::any_subset`]).

use super::{Model, SampleOptions};
use crate::columns::{Known, Schema};
use crate::engine::padded;
use crate::error::{Error, Result, quoted};
use crate::host::linalg::{host_values, padded_tensor_of};
use crate::host::rows::Rows;

impl Model {
    /// Whether there is a column that may be left out or given.
    pub fn is_of_subsets(&self) -> bool {
        self.schema.columns.iter().any(|column| column.optional)
    }

    /// `ln p(x | given)` in nats of each row, in the units of the data: of the columns that are known in `x`, NaN where they are not, given
    /// those that are known in `given`. A column that is given is not counted in `x`, whatever stands there.
    ///
    /// Reference: Li, Akbar, Oliva. *ACFlow: Flow Models for Arbitrary Conditional Likelihoods*. ICML 2020, arXiv:1909.06319. The conditionals are
    /// learned, each by itself: that they follow from one joint density is true as far as the model has learned them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong, [`crate::ErrorKind::Config`] if a column is given that may not be.
    pub fn log_prob_given(
        &self,
        x: &Rows,
        given: &Rows,
        context: Option<&Rows>,
        threads: usize,
    ) -> Result<Vec<f64>> {
        self.check(x, context)?;
        self.check_width(given, x.width())?;
        if given.len() != x.len() {
            return Err(Error::shape(format!(
                "expected {} rows of what is given, found {}",
                x.len(),
                given.len()
            )));
        }
        self.expect_givable(given)?;
        let mut asked = x.clone();
        let cells = asked.values_mut().iter_mut().zip(given.values());
        cells.filter(|(_, given)| !given.is_nan()).for_each(|(x, _)| *x = f64::NAN);
        self.score(&asked, Known { context, given: Some(given) }, threads)
    }

    /// Draws what is missing in each row (NaN) given what is there, and the context if the model has one. Rows without a missing value come
    /// back as they are; row `i` of a call is row `first_row + i` of the seed.
    ///
    /// # Errors
    /// As [`Model::log_prob_given`] and [`Model::sample`].
    pub fn impute(
        &self,
        rows: &Rows,
        context: Option<&Rows>,
        options: &SampleOptions,
    ) -> Result<Rows> {
        self.check(rows, context)?;
        self.expect_givable(rows)?;
        options.validate(rows.len())?;
        let known = Known { context, given: Some(rows) };
        let columns = self.schema.columns.len();
        let (mut drawn, _) = self.map(rows.len(), options.threads, columns, |block| {
            let (first, n) = (options.first_row + block.start() as u64, padded(block.len()));
            let z = host_values(self.flow.draw(n, options.seed, first, options.temperature)?)?;
            let mut z = Rows::new(z, self.flow.dims())?;
            self.encoding.leave_out(&block.of(rows), &mut z);
            self.block_to_data(&block, padded_tensor_of(&z, n), known)
        })?;
        self.encoding.settle(&mut drawn);
        let cells = drawn.values_mut().iter_mut().zip(rows.values());
        cells.filter(|(_, given)| !given.is_nan()).for_each(|(drawn, given)| *drawn = *given);
        Ok(drawn)
    }

    /// Refuses values in columns that cannot be given, and values that their columns cannot hold.
    fn expect_givable(&self, given: &Rows) -> Result<()> {
        let Schema { columns, .. } = &self.schema;
        for (j, column) in columns.iter().enumerate() {
            let mut values = given.column(j).into_iter().enumerate().filter(|(_, x)| !x.is_nan());
            let Some((row, x)) = values.find(|(_, x)| !column.optional || !column.contains(*x))
            else {
                continue;
            };
            if !column.optional {
                return Err(Error::config(format!(
                    "column {} cannot be given: the model was not fitted for any subset of its columns",
                    quoted(&column.name)
                )));
            }
            return Err(Error::data(format!(
                "row {}, column {}: expected {} to be given, found {x}",
                row + 1,
                quoted(&column.name),
                column.describe()
            )));
        }
        Ok(())
    }
}
