//! A tensor as it lies in a file: a name, a type, a shape and little-endian bytes.

use super::{MAX_RANK, byte_count};
use crate::error::{Error, ErrorKind, Result, quoted};

/// The element types that files may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 64-bit signed integer.
    I64,
    /// 32-bit float.
    F32,
    /// Byte.
    U8,
}

impl Dtype {
    /// All of them, widest first.
    pub const ALL: [Self; 4] = [Self::F64, Self::I64, Self::F32, Self::U8];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 => 4,
            Self::U8 => 1,
        }
    }

    /// The name that safetensors gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::F32 => "F32",
            Self::U8 => "U8",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// Its name, unique in the file.
    pub name: String,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Lengths of the axes, slowest first.
    pub shape: Vec<usize>,
    /// The elements, little-endian, row-major.
    pub data: Vec<u8>,
}

impl NamedTensor {
    /// A tensor of 64-bit floats.
    pub fn from_f64(name: impl Into<String>, shape: impl Into<Vec<usize>>, values: &[f64]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F64, shape: shape.into(), data }
    }

    /// A tensor of 32-bit floats.
    pub fn from_f32(name: impl Into<String>, shape: impl Into<Vec<usize>>, values: &[f32]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.into(), data }
    }

    /// A tensor of 64-bit integers.
    pub fn from_i64(name: impl Into<String>, shape: impl Into<Vec<usize>>, values: &[i64]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::I64, shape: shape.into(), data }
    }

    /// A row of bytes.
    pub fn from_u8(name: impl Into<String>, values: Vec<u8>) -> Self {
        Self { name: name.into(), dtype: Dtype::U8, shape: vec![values.len()], data: values }
    }

    /// The elements, bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if the tensor holds another type.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.elements(Dtype::F64).map(|chunks| chunks.map(f64::from_le_bytes).collect())
    }

    /// The elements, bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if the tensor holds another type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.elements(Dtype::F32).map(|chunks| chunks.map(f32::from_le_bytes).collect())
    }

    /// The elements.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if the tensor holds another type.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        self.elements(Dtype::I64).map(|chunks| chunks.map(i64::from_le_bytes).collect())
    }

    /// Number of elements that are NaN or infinite; 0 for integers.
    pub fn non_finite(&self) -> usize {
        match self.dtype {
            Dtype::F64 => count(&self.data, |b| f64::from_le_bytes(b).is_finite()),
            Dtype::F32 => count(&self.data, |b| f32::from_le_bytes(b).is_finite()),
            Dtype::I64 | Dtype::U8 => 0,
        }
    }

    /// Checks that the data fit the shape, and the shape the format.
    pub(super) fn check(&self) -> Result<()> {
        if self.shape.len() <= MAX_RANK
            && byte_count(self.dtype, &self.shape) == Some(self.data.len())
        {
            return Ok(());
        }
        let (name, dtype) = (quoted(&self.name), self.dtype.name());
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "tensor {name}: {} bytes of {dtype} do not fill the shape {:?} (of at most {MAX_RANK} axes)",
                self.data.len(),
                self.shape
            ),
        ))
    }

    fn elements<const N: usize>(&self, dtype: Dtype) -> Result<impl Iterator<Item = [u8; N]> + '_> {
        if self.dtype == dtype {
            return Ok(self.data.as_chunks::<N>().0.iter().copied());
        }
        Err(Error::model_file(format!(
            "tensor {} should hold {}, found {}",
            quoted(&self.name),
            dtype.name(),
            self.dtype.name()
        )))
    }
}

fn count<const N: usize>(data: &[u8], is_finite: impl Fn([u8; N]) -> bool) -> usize {
    data.as_chunks::<N>().0.iter().filter(|b| !is_finite(**b)).count()
}
