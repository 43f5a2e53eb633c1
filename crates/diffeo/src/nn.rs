//! The layers that conditioners are made of.

mod linear;
mod network;

pub use linear::Linear;
pub use network::{Activation, Degrees, Network, NetworkSpec};
