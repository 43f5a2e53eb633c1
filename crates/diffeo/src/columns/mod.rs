//! What the numbers of a table mean: names, kinds, units, and the cells that whole numbers stand for.
//!
//! A kind is matched in `kind.rs` and nowhere else.

mod cells;
mod encoding;
mod infer;
mod kind;
mod schema;
mod support;
mod units;

pub(crate) use cells::Cells;
pub(crate) use encoding::{Encoded, Encoding};
pub use infer::{ColumnFacts, choose_kind};
pub use kind::ColumnKind;
pub use schema::{Column, Schema};
pub use support::Support;
pub use units::{Unit, Units};
