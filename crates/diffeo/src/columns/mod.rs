//! What the numbers of a table mean: names, kinds, units, and the cells that whole numbers stand for.
//!
//! A kind is matched in `kind.rs` and nowhere else.

mod cells;
mod context;
mod encoding;
mod infer;
mod kind;
mod outcomes;
mod schema;
mod support;
mod units;
mod wish;

pub(crate) use encoding::{Encoded, Encoding, Within};
pub use infer::{ColumnFacts, choose_kind};
pub use kind::{ColumnKind, End};
pub use schema::{Column, Schema, Shape};
pub use support::Support;
pub use units::{Unit, Units};
pub use wish::KindWish;
