//! Fused CPU kernels of diffeo, on plain slices, and the tensor-engine operations that call them.
//!
//! Matrices are row-major, or in tiles of rows side by side (`tiles.rs`), which products are fastest
//! on. A kernel treats each row (or element) by itself, with a fixed order of operations: the bits of a
//! row's result depend on no other row, on no lane, on no chunk size. Each kernel has a plain loop in
//! `f64` as its twin in the tests, or a kernel that has one. Wrong slice lengths are bugs of the caller
//! and panic; no value of an element does.
//!
//! This is the only crate of the workspace with `unsafe`: calls of functions compiled for an
//! instruction set that was detected ([`dispatch`]), sums, transposes and matrix products over checked slices, and aligned arrays.

mod accumulate;
mod activation;
mod affine;
mod aligned;
mod base;
mod bernstein;
mod continuous;
mod convolution;
pub mod dispatch;
mod dual;
mod elimination;
mod graph;
mod idle;
mod logistic_mixture;
mod made_inverse;
mod masked_linear;
mod mixture;
mod monotone;
mod monotonic_network;
mod optimizer;
mod polynomial_spline;
pub mod product;
mod quadrature;
mod rational_quadratic;
mod real;
mod sequence;
mod staircase;
mod sum_of_squares;
mod tiled_linear;
mod tiled_network;
mod tiles;
mod transpose;
pub mod vecmath;
mod wavenet;

pub use activation::{Activation, activate, activate_backward};
pub use affine::Affine;
pub use aligned::Aligned;
pub use base::{normal_log_prob, normal_log_prob_backward, sum_rows};
pub use bernstein::Bernstein;
pub use continuous::{
    Directions, Field, FieldGradients, FieldWork, Penalty, Regression, RowsGiven, Solver, Stalled,
    Taken, Tape, Tile, unit_probes,
};
pub use convolution::{ConvolutionShape, Convolutional, ConvolutionalWork, GivenImage};
pub use dual::{Dual, DualPlaces, DualSums, DualWeights, DualWork, Slot, Smooth};
pub use elimination::{invert_lanes, log_det_lanes};
pub use graph::{Graph, Node};
pub use idle::Idle;
pub use logistic_mixture::LogisticMixture;
pub use made_inverse::{MadeGradients, MadeInverse, MadeInverseBackward};
pub use masked_linear::{LinearGradients, MaskedLinear};
pub use mixture::{LOGIT_MAX, MixtureTile, mixture_tile, mixture_tile_backward};
pub use monotone::slope::SLOPE_SHIFT;
pub use monotone::{ArgumentGradients, ColumnInverter, MapGradients, MapKernel, ScalarMap, roots};
pub use monotonic_network::MonotonicNetwork;
pub use optimizer::{AdamW, AdamWStep, Moments, add_gradient, average_weights, l2_norm};
pub use polynomial_spline::PolynomialSpline;
pub use rational_quadratic::RationalQuadratic;
pub use real::Real;
pub use sequence::{
    Recurrent, RecurrentWork, SequenceNetwork, SequenceShape, Transformer, TransformerWork,
};
pub use staircase::Staircase;
pub use sum_of_squares::SumOfSquares;
pub use tiled_linear::{LinearScratch, TiledLinear, pack_weight};
pub use tiled_network::{
    Buffered, Buffers, NetworkGradients, NetworkWeights, NetworkWidths, Part, READ_REACH,
    READ_SCALE, RowTile, TiledNetwork,
};
pub use tiles::{
    TILE_ROWS, add_tiled_columns, add_tiled_normal, tile_count, tiled_normal_backward, to_tiles,
};
pub use wavenet::{
    Frames, Order, SAMPLE_MAX, WaveNet, WaveNetLines, WaveNetShape, WaveNetStream, WaveNetWork,
};

pub mod ops;
