//! The contract of a base distribution, and what a file says of one.

use std::fmt::Debug;

use burn::tensor::Tensor;
use dyn_clone::DynClone;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::host::rows::Rows;
use crate::parameter::{Init, Visitor};

/// A base distribution as plain data.
pub trait DescribeBase: Debug + Send + Sync {
    /// Checks the ranges of its settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the range that was expected.
    fn validate(&self) -> Result<()>;

    /// Number of trainable numbers in `dims` dimensions; `None` if it overflows.
    fn count(&self, dims: u64) -> Option<u64>;

    /// The distribution in `dims` dimensions with initial weights.
    ///
    /// # Errors
    /// As [`DescribeBase::validate`].
    fn build(&self, dims: usize, init: &mut Init) -> Result<Box<dyn Distribution>>;
}

/// A base as it is written on a command line: a name and, for some, a number.
pub trait Written: Sized {
    /// `name`, or `name[:NUMBER]` with what the number is.
    const USAGE: &'static str;

    /// The base of that number, or of the usual one; `None` if it takes none.
    fn written(number: Option<f64>) -> Option<Self>;
}

/// A simple density that can be evaluated and drawn from.
pub trait Distribution: DynClone + Debug + Send + Sync {
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

    /// Sets the parameters to the maximum of the likelihood of (weighted) rows, where that has a closed form, and says whether.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Domain`] if the likelihood has no maximum.
    fn fit(&mut self, z: &Rows, weights: Option<&[f64]>) -> Result<bool> {
        let _ = (z, weights);
        Ok(false)
    }

    /// Whether this is the standard normal, which kernels evaluate without tensors.
    #[doc(hidden)]
    fn is_standard_normal(&self) -> bool {
        false
    }
}

dyn_clone::clone_trait_object!(Distribution);

/// Fills a row with one draw; the number is the temperature, which scales the spread about the centre.
pub type Sampler = Box<dyn Fn(&mut ChaCha8Rng, f64, &mut [f64]) + Send + Sync>;
