//! A trainable tensor and how to walk over all of a model's.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::host::random::{Purpose, Streams, uniform};

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

    /// Zeros of which those at the (row, column) that `keep` names can be trained.
    pub fn masked_zeros(init: &Init, shape: [usize; 2], keep: fn(usize, usize) -> bool) -> Self {
        let at = |i: usize| f64::from(u8::from(keep(i / shape[1], i % shape[1])));
        let mask = init.values(shape, (0..shape[0] * shape[1]).map(at).collect());
        Self { value: init.full(shape, 0.0), mask: Some(mask), decay: false }
    }

    /// The value, with a gradient only where the mask has ones.
    pub fn masked(&self) -> Tensor<2> {
        match &self.mask {
            Some(mask) => self.value.clone() * mask.clone(),
            None => self.value.clone(),
        }
    }

    /// `limit tanh(value / limit)`: about the value itself when small, never beyond the limit.
    pub fn bounded(&self, limit: f64) -> Tensor<2> {
        diffeo_kernels::ops::bounded(self.value.clone(), limit)
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
    streams: Streams,
    /// Tensors drawn so far: the row of the next one in [`Purpose::Init`].
    drawn: u64,
}

impl Init {
    /// Starts a stream of initial values.
    pub fn new(seed: u64, dtype: DType, device: Device) -> Self {
        Self { device, dtype, streams: Streams::new(seed), drawn: 0 }
    }

    /// All elements equal.
    pub fn full(&self, shape: [usize; 2], value: f64) -> Tensor<2> {
        Tensor::full(shape, value, (&self.device, self.dtype))
    }

    /// Given elements, row after row.
    pub fn values(&self, shape: [usize; 2], values: Vec<f64>) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
    }

    /// Uniform on `[-bound, bound)`.
    pub fn uniform(&mut self, shape: [usize; 2], bound: f64) -> Tensor<2> {
        let mut rng = self.streams.rng(Purpose::Init, 0, self.drawn);
        self.drawn += 1;
        let draw = |_| bound * (2.0 * uniform(&mut rng) - 1.0);
        self.values(shape, (0..shape[0] * shape[1]).map(draw).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::linalg::host_values;

    #[test]
    fn initial_values_come_from_the_streams_of_the_seed_a_tensor_each() {
        let mut init = Init::new(7, DType::F64, Device::flex());
        let mut drawn = |shape| host_values(init.uniform(shape, 2.0)).unwrap();
        let (first, second) = (drawn([2, 3]), drawn([1, 4]));
        for (row, found) in [&first, &second].into_iter().enumerate() {
            let mut rng = Streams::new(7).rng(Purpose::Init, 0, row as u64);
            let expected: Vec<f64> =
                found.iter().map(|_| 2.0 * (2.0 * uniform(&mut rng) - 1.0)).collect();
            assert_eq!(*found, expected);
        }
        // Seeds are promised to be stable.
        assert_eq!([first[0], second[0]], [1.325449706746583, 1.0961839082321267]);
    }
}
