//! The columns of a table: the part of a model that gives numbers their names and kinds.

use serde::{Deserialize, Serialize};

use super::kind::ColumnKind;
use crate::error::{Error, Result, quoted};

/// A named column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in the table's header.
    pub name: String,
    /// What it may hold.
    pub kind: ColumnKind,
}

/// The columns a model was fitted on, in the order of its dimensions, and those it is conditioned on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Columns whose density is modelled.
    pub columns: Vec<Column>,
    /// Columns the density is conditional on.
    #[serde(default)]
    pub context: Vec<Column>,
}

impl Column {
    /// A column of any real numbers.
    pub fn real(name: impl Into<String>) -> Self {
        Self::new(name, ColumnKind::Real)
    }

    /// A column of a kind.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl Schema {
    /// Real columns of these names, without context.
    pub fn real<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { columns: names.into_iter().map(Column::real).collect(), context: Vec::new() }
    }

    /// The same columns, given these.
    #[must_use]
    pub fn given(self, context: impl IntoIterator<Item = Column>) -> Self {
        Self { context: context.into_iter().collect(), ..self }
    }

    /// The column of each number of a row: a column is there as often as it is wide.
    pub fn numbers(&self) -> Vec<&Column> {
        numbers(&self.columns).collect()
    }

    /// The column of each number of a row's context.
    pub fn context_numbers(&self) -> Vec<&Column> {
        numbers(&self.context).collect()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        numbers(&self.columns).count()
    }

    /// Numbers in a row's context.
    pub fn context_width(&self) -> usize {
        numbers(&self.context).count()
    }

    /// The same columns with whole numbers as real ones: nothing is rounded, and a density stays a density.
    pub(crate) fn continuous(&self) -> Self {
        let mut schema = self.clone();
        let whole = schema.columns.iter_mut().filter(|c| c.kind.is_whole());
        whole.for_each(|c| c.kind = ColumnKind::Real);
        schema
    }

    /// Whether rows that are equal in all columns are copies, not values that happen to be the same: two columns of real numbers say so.
    pub(crate) fn is_continuous(&self) -> bool {
        self.columns.iter().filter(|column| !column.kind.is_whole()).count() >= 2
    }

    /// Whether a row has a number at the edge of its interval, where floats are too coarse for its logit.
    pub(crate) fn is_at_edge(&self, row: &[f64]) -> bool {
        numbers(&self.columns).zip(row).any(|(column, x)| column.kind.is_at_edge(*x))
    }

    /// Checks that every name is non-empty and used once and that bounds are ordered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] naming the first column at fault.
    pub fn validate(&self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        for column in self.columns.iter().chain(&self.context) {
            if column.name.is_empty() {
                return Err(Error::config("every column needs a name; one is empty"));
            }
            if !seen.insert(column.name.as_str()) {
                return Err(Error::config(format!(
                    "column {} is named twice",
                    quoted(&column.name)
                )));
            }
            column.kind.validate().map_err(|e| {
                Error::config(format!("column {}: {}", quoted(&column.name), e.message()))
            })?;
        }
        Ok(())
    }
}

fn numbers(columns: &[Column]) -> impl Iterator<Item = &Column> {
    columns.iter().flat_map(|c| std::iter::repeat_n(c, c.kind.width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_refuses_doubled_names() {
        let column = Column { name: "a".into(), kind: ColumnKind::Real };
        let schema = Schema { columns: vec![column.clone(), column], context: vec![] };
        assert!(schema.validate().is_err());
    }
}
