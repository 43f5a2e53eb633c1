//! What the numbers of a table mean: names, kinds, outcomes, units, and the cells that whole numbers stand for; how a row reaches a flow.
//!
//! A kind is matched in this folder and nowhere else: its values and its way to the real line in `kind.rs`, its outcomes in `outcomes.rs`, what it
//! is as a context in `context.rs`, how it is written in `wish.rs`.

mod cells;
mod context;
mod encoding;
mod image;
mod infer;
mod kind;
mod outcomes;
mod runs;
mod schema;
mod step;
mod subsets;
mod support;
mod units;
mod wish;

pub(crate) use context::Known;
pub(crate) use encoding::{Encoded, Encoding, Within};
pub use image::ImageShape;
pub use infer::{ColumnFacts, choose_kind};
pub use kind::{ColumnKind, End};
pub use schema::{Column, Schema, Shape};
pub use step::Step;
pub use support::Support;
pub use units::{Unit, Units};
pub use wish::KindWish;
