//! Which columns are mapped and which ones their parameters may follow from.

use crate::error::{Error, Result};

/// The columns of a conditional layer: those that the conditioner sees, those that are mapped, and the levels of the latter.
///
/// The mapped columns are listed in an order in which they can be solved, cut into levels: the parameters of a level depend on columns
/// that are not mapped and on levels before it. A coupling has one level, an autoregressive layer one a column, a graph as many as it is deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    dims: usize,
    /// `None` is all, in their order.
    pub(crate) seen: Option<Vec<usize>>,
    /// `None` is all, in their order.
    pub(crate) moved: Option<Vec<usize>>,
    /// Columns in each level.
    levels: Vec<usize>,
}

impl Structure {
    /// Some of `dims` columns are seen, some are mapped, level after level; `None` is all columns in their order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if a column is out of range or repeated, or the levels do not hold the columns that are mapped.
    pub fn new(
        dims: usize,
        seen: Option<Vec<usize>>,
        moved: Option<Vec<usize>>,
        levels: Vec<usize>,
    ) -> Result<Self> {
        for columns in [&seen, &moved].into_iter().flatten() {
            let mut found = vec![false; dims];
            for &column in columns {
                match found.get_mut(column) {
                    Some(slot) if !*slot => *slot = true,
                    _ => {
                        return Err(Error::config(format!(
                            "an order must hold each of 0..{dims} once, found {column} repeated or out of range"
                        )));
                    }
                }
            }
        }
        let count = moved.as_ref().map_or(dims, Vec::len);
        if levels.iter().sum::<usize>() != count || levels.contains(&0) {
            return Err(Error::config(format!(
                "expected levels of one column at least and {count} in all, found {levels:?}"
            )));
        }
        Ok(Self { dims, seen, moved, levels })
    }

    /// Numbers in a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Number of columns that are seen.
    pub fn seen(&self) -> usize {
        self.seen.as_ref().map_or(self.dims, Vec::len)
    }

    /// Number of columns that are mapped.
    pub fn moved(&self) -> usize {
        self.moved.as_ref().map_or(self.dims, Vec::len)
    }

    /// The columns that stay as they are, ascending.
    pub fn kept(&self) -> Vec<usize> {
        let Some(moved) = &self.moved else { return Vec::new() };
        (0..self.dims).filter(|column| !moved.contains(column)).collect()
    }

    /// Number of mapped columns in each level.
    pub fn levels(&self) -> &[usize] {
        &self.levels
    }

    /// Whether all columns are mapped, each from some of those before it in the order in which they are seen.
    pub fn is_sequential(&self) -> bool {
        self.seen == self.moved && self.moved() == self.dims
    }
}
