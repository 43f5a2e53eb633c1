//! Arrays of NumPy: numbers in by the buffer protocol, and out into arrays that NumPy makes.

use diffeo::{ImageShape, Rows};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A new array of this shape and type, which holds these numbers.
fn filled<'py, T: Element>(
    py: Python<'py>,
    shape: Bound<'py, PyAny>,
    dtype: &str,
    values: &[T],
) -> PyResult<Bound<'py, PyAny>> {
    let settings = PyDict::new(py);
    settings.set_item("dtype", dtype)?;
    let array = py.import("numpy")?.call_method("empty", (shape,), Some(&settings))?;
    PyBuffer::<T>::get(&array)?.copy_from_slice(py, values)?;
    Ok(array)
}

/// Numbers as an array of one dimension.
pub(crate) fn vector<'py>(py: Python<'py>, values: &[f64]) -> PyResult<Bound<'py, PyAny>> {
    filled(py, values.len().into_pyobject(py)?.into_any(), "float64", values)
}

/// Whole numbers as an array of one dimension; `view` is the type that they are seen as.
pub(crate) fn whole<'py>(
    py: Python<'py>,
    values: &[i64],
    view: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let array = filled(py, values.len().into_pyobject(py)?.into_any(), "int64", values)?;
    view.map_or(Ok(array.clone()), |view| array.call_method1("view", (view,)))
}

/// Truth values as an array of one dimension.
pub(crate) fn truths<'py>(py: Python<'py>, values: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let array = filled(py, values.len().into_pyobject(py)?.into_any(), "uint8", values)?;
    array.call_method1("view", ("bool",))
}

/// Rows as an array of two dimensions.
pub(crate) fn matrix<'py>(py: Python<'py>, rows: &Rows) -> PyResult<Bound<'py, PyAny>> {
    let shape = (rows.len(), rows.width()).into_pyobject(py)?.into_any();
    filled(py, shape, "float64", rows.values())
}

/// Levels of so many images as an array of the fewest bytes that hold them.
pub(crate) fn images<'py>(
    py: Python<'py>,
    levels: &[u16],
    n: usize,
    image: ImageShape,
) -> PyResult<Bound<'py, PyAny>> {
    let ImageShape { height, width, channels, .. } = image;
    let shape = match channels {
        1 => (n, height, width).into_pyobject(py)?.into_any(),
        _ => (n, height, width, channels).into_pyobject(py)?.into_any(),
    };
    if image.levels > 256 {
        return filled(py, shape, "uint16", levels);
    }
    let bytes: Vec<u8> = levels.iter().map(|level| *level as u8).collect();
    filled(py, shape, "uint8", &bytes)
}

/// The numbers of an array of one dimension, or of the rows of one of two.
pub(crate) fn numbers(array: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    PyBuffer::<f64>::get(array)?.to_vec(array.py())
}

/// Numbers, one for each row, of whatever NumPy makes an array of.
pub(crate) fn column(array: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    numbers(&array.py().import("diffeo._tables")?.call_method1("vector", (array,))?)
}

/// An array of two dimensions as rows.
pub(crate) fn rows(array: &Bound<'_, PyAny>) -> PyResult<Rows> {
    let array = array.py().import("diffeo._tables")?.call_method1("matrix", (array,))?;
    let buffer = PyBuffer::<f64>::get(&array)?;
    let width = buffer.shape().get(1).copied().unwrap_or(1);
    Rows::new(buffer.to_vec(array.py())?, width).map_err(crate::errors::raise)
}
