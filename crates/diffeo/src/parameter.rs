//! A trainable tensor and how to walk over all of a model's.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Called with the name of a parameter (path segments joined by dots) and the parameter.
pub type Visitor<'a> = dyn FnMut(&str, &mut Parameter) + 'a;

/// A trainable tensor. All have rank two; a vector is `[1, k]`, a number `[1, 1]`.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Current value.
    pub value: Tensor<2>,
    /// Zeros and ones: where it is zero, so is the value, always.
    pub mask: Option<Tensor<2>>,
    /// Whether weight decay applies (to matrices of networks, not to biases, scales and knots).
    pub decay: bool,
}

impl Parameter {
    /// A parameter without mask or weight decay.
    pub fn new(value: Tensor<2>) -> Self {
        Self { value, mask: None, decay: false }
    }
}

/// Something with trainable parameters: a flow, or a module of a program's own.
pub trait Trainable: Clone {
    /// Shows every trainable parameter with its name, always in the same order.
    fn visit(&mut self, visitor: &mut Visitor<'_>);
}

/// Shows the parameters of a part under the part's name.
pub fn visit_part(name: &str, visitor: &mut Visitor<'_>, part: impl FnOnce(&mut Visitor<'_>)) {
    part(&mut |inner, parameter| visitor(&format!("{name}.{inner}"), parameter));
}

/// Where, in which precision and from which random numbers parameters start.
#[derive(Debug)]
pub struct Init {
    /// Device of the tensors.
    pub device: Device,
    /// Precision of the tensors.
    pub dtype: DType,
    rng: ChaCha8Rng,
}

impl Init {
    /// Starts a stream of initial values.
    pub fn new(seed: u64, dtype: DType, device: Device) -> Self {
        Self { device, dtype, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// All elements equal.
    pub fn full(&self, shape: [usize; 2], value: f64) -> Tensor<2> {
        Tensor::full(shape, value, (&self.device, self.dtype))
    }

    /// Given elements, row after row.
    pub fn values(&self, shape: [usize; 2], values: Vec<f64>) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
    }

    /// Uniform on `(-bound, bound)`.
    pub fn uniform(&mut self, shape: [usize; 2], bound: f64) -> Tensor<2> {
        let values = (0..shape[0] * shape[1]).map(|_| bound * (2.0 * self.unit() - 1.0)).collect();
        self.values(shape, values)
    }

    /// A random order of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = (self.unit() * (i + 1) as f64) as usize;
            order.swap(i, j.min(i));
        }
        order
    }

    /// Uniform on `[0, 1)` with 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
