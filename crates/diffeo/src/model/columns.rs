//! Which flows are flows of which columns.

use crate::bases::BaseSpec;
use crate::columns::{Column, Schema};
use crate::error::{Error, Result, quoted};
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
    if let Some(embedding) = &spec.embedding {
        expect_members(embedding.members(), schema)?;
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

/// Refuses a context whose members, of which so many lie one after another, are not of the same columns.
fn expect_members(members: usize, schema: &Schema) -> Result<()> {
    if members == 1 {
        return Ok(());
    }
    let columns: Vec<Column> = schema.conditions().collect();
    let each = columns.len().checked_div(members).unwrap_or(0);
    if each == 0 || each * members != columns.len() {
        return Err(Error::config(format!(
            "embedding: expected {members} members of equally many context columns, found {} columns",
            columns.len()
        )));
    }
    let wide = |column: &Column| column.context_width();
    let other = (each..columns.len()).find(|i| wide(&columns[*i]) != wide(&columns[i % each]));
    let Some(i) = other else { return Ok(()) };
    let [first, this] = [&columns[i % each], &columns[i]];
    Err(Error::config(format!(
        "embedding: members are of the same columns, but {} is {} where the first member has {}, which is {}; give both one kind",
        quoted(&this.name),
        this.describe(),
        quoted(&first.name),
        first.describe()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_of_the_same_columns() {
        let real = Column::real;
        let category = |name: &str| Column::category(name, ["u", "v"]);
        let of = |context: Vec<Column>| Schema::new(vec![real("y")], context);
        let same = of(vec![real("a"), category("b"), real("c"), category("d")]);
        let crossed = of(vec![real("a"), category("b"), category("c"), real("d")]);
        assert!([1, 2].into_iter().all(|members| expect_members(members, &same).is_ok()));
        assert!(expect_members(1, &crossed).is_ok());
        let text = expect_members(2, &crossed).unwrap_err().message().to_owned();
        assert!(text.contains("\"c\"") && text.contains("\"a\""), "{text}");
        assert!([0, 5].into_iter().all(|members| expect_members(members, &same).is_err()));
        let text = expect_members(3, &same).unwrap_err().message().to_owned();
        assert!(text.contains("3 members") && text.contains("4 columns"), "{text}");
    }
}
