//! The contract of a base distribution.

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::parameter::Visitor;

/// A simple density that can be evaluated and drawn from.
pub trait Distribution: Send + Sync {
    /// Numbers in a row.
    fn dims(&self) -> usize;

    /// Log-density of each row of `z: [n, d]`, in `f64` where the device has it; `-inf` outside the support.
    fn log_prob(&self, z: Tensor<2>) -> Tensor<1>;

    /// Reads the parameters once and returns a function that draws one row from a stream of random numbers.
    ///
    /// # Errors
    /// When a parameter is damaged, for example a singular covariance.
    fn sampler(&self) -> Result<Sampler>;

    /// Shows every trainable parameter.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let _ = visitor;
    }
}

/// Fills a row with one draw; the number is the temperature, which scales the spread about the centre.
pub type Sampler = Box<dyn Fn(&mut ChaCha8Rng, f64, &mut [f64]) + Send + Sync>;
