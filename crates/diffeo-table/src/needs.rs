//! What a reader has to know of a column to give its numbers.

use arrow_array::ArrayRef;
use diffeo::{Column, ColumnKind};

use crate::coding::Coder;
use crate::content::{Content, Finder};
use crate::number::Words;
use crate::numbers::{Allowed, Fault, Parsed};

/// A column to read whole, and what it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is to hold, if that has been said; else its cells tell.
    pub kind: Option<ColumnKind>,
    /// Whether rows without a value stay, with NaN in its place.
    pub holes: bool,
}

impl Wanted {
    /// A column that holds what its cells are, in every row.
    pub fn any(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: None, holes: false }
    }
}

/// A column that is needed, and how far its cells were understood.
pub(crate) struct Need {
    pub(crate) name: String,
    pub(crate) holes: bool,
    coding: Coding,
    /// The words for true and false in its numbers, once there was a value.
    pub(crate) words: Option<Option<Words>>,
}

enum Coding {
    Known(Coder),
    Found(Finder),
}

impl Need {
    pub(crate) fn of_column(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            holes: column.may_be_missing(),
            coding: Coding::Known(Coder::new(column)),
            words: None,
        }
    }

    pub(crate) fn of_wanted(wanted: &Wanted) -> Self {
        let coding = match wanted.kind {
            None | Some(ColumnKind::Boolean) => Coding::Found(Finder::default()),
            Some(ColumnKind::Category) => Coding::Found(Finder::of_text()),
            Some(kind) => Coding::Known(Coder::new(&Column::new(&wanted.name, kind))),
        };
        Self { name: wanted.name.clone(), holes: wanted.holes, coding, words: None }
    }

    /// The numbers of some cells.
    pub(crate) fn code(&mut self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        match &mut self.coding {
            Coding::Known(coder) => coder.code(array, allowed),
            Coding::Found(finder) => finder.code(array, allowed),
        }
    }

    /// Whether its numbers are those of its cells, not what they stand for.
    pub(crate) fn is_plain(&self) -> bool {
        match &self.coding {
            Coding::Known(coder) => is_plain(coder.column()),
            Coding::Found(finder) => finder.is_plain(),
        }
    }

    /// What the column is, and the final form of its numbers.
    pub(crate) fn finish(self, values: &mut [f64], stored_whole: bool) -> Content {
        match self.coding {
            Coding::Found(finder) => finder.finish(values),
            Coding::Known(coder) => match coder.column().kind {
                ColumnKind::Date => Content::Dates,
                ColumnKind::Time => Content::Times,
                _ => Content::Numbers { stored_whole },
            },
        }
    }
}

/// Whether the numbers of a column are those of its cells.
pub(crate) fn is_plain(column: &Column) -> bool {
    match column.kind {
        ColumnKind::Category | ColumnKind::Date | ColumnKind::Time => false,
        ColumnKind::Boolean => column.levels.is_empty(),
        _ => true,
    }
}
