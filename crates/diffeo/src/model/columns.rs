//! Which flows are flows of which columns.

use crate::bases::BaseSpec;
use crate::columns::Schema;
use crate::error::{Error, Result};
use crate::spec::FlowSpec;
use crate::transforms::gates_after;

/// Refuses a flow of other widths or marks than those of the columns, or one that cannot leave out the numbers that may be absent.
///
/// # Errors
/// [`crate::ErrorKind::Config`] with what differs.
pub(crate) fn expect_columns(spec: &FlowSpec, schema: &Schema) -> Result<()> {
    let found = (schema.width(), schema.context_width());
    if found != (spec.dims, spec.context_dims) {
        return Err(Error::config(format!(
            "the flow is for {} columns and {} context columns, the schema has {} and {}",
            spec.dims, spec.context_dims, found.0, found.1
        )));
    }
    let shape = schema.shape();
    let marks = spec.marks.as_ref().map_or(&[][..], |marks| marks.marks.as_slice());
    if marks != shape.marks {
        return Err(Error::config(format!(
            "the columns have {} marks, the flow has {}, or marks of other widths",
            shape.marks.len(),
            marks.len()
        )));
    }
    let is_gated = shape.gates.iter().any(Option::is_some);
    let follows = gates_after(&spec.transforms, &shape.gates_behind(spec.context_seen())).is_some();
    if is_gated && !(follows && spec.base == BaseSpec::default()) {
        return Err(Error::config(
            "the flow has a layer or a base that cannot leave out numbers, and a column may have a point mass or be missing",
        ));
    }
    Ok(())
}
