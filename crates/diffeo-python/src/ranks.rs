//! Training in several processes: what `mpi4py` calls a communicator, as the library sees it.

use diffeo::train::Ranks;
use diffeo::{Error, ErrorKind, Result};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::settings::Settings;

/// A communicator, and arrays that numbers travel in.
pub(crate) struct PyRanks {
    communicator: Py<PyAny>,
    rank: usize,
    count: usize,
    single: Option<Py<PyAny>>,
    double: Option<Py<PyAny>>,
}

impl PyRanks {
    /// One process of those that a communicator has.
    pub(crate) fn of(communicator: &Bound<'_, PyAny>, settings: &Settings) -> PyResult<Self> {
        settings.expect_alike().map_err(raise)?;
        let number = |name| communicator.call_method0(name)?.extract::<usize>();
        let (Ok(rank), Ok(count)) = (number("Get_rank"), number("Get_size")) else {
            let text = "communicator: expected an object with Get_rank(), Get_size(), Send and Recv, such as mpi4py.MPI.COMM_WORLD";
            return Err(raise(Error::config(text)));
        };
        if rank >= count {
            let text =
                format!("communicator: expected a rank below its size, found {rank} of {count}");
            return Err(raise(Error::config(text)));
        }
        let communicator = communicator.clone().unbind();
        Ok(Self { communicator, rank, count, single: None, double: None })
    }

    /// Whether it is the process that speaks for all.
    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }
}

/// Sums numbers over all processes, by way of an array that is made where there is none of their number.
fn sum<T: Element>(
    communicator: &Py<PyAny>,
    array: &mut Option<Py<PyAny>>,
    dtype: &str,
    values: &mut [T],
) -> Result<()> {
    Python::attach(|py| -> PyResult<()> {
        let fits = match array {
            Some(array) => array.bind(py).len()? == values.len(),
            None => false,
        };
        if !fits {
            let made = py.import("numpy")?.call_method1("empty", (values.len(), dtype))?;
            *array = Some(made.unbind());
        }
        let Some(array) = array else { return Ok(()) };
        let buffer = PyBuffer::<T>::get(array.bind(py))?;
        buffer.copy_from_slice(py, values)?;
        py.import("diffeo._ranks")?.call_method1("add_up", (communicator, &*array))?;
        buffer.copy_to_slice(py, values)
    })
    .map_err(|error| {
        let text = format!("communicator: {error}");
        Error::new(ErrorKind::Io, text)
    })
}

impl Ranks for PyRanks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        sum(&self.communicator, &mut self.single, "float32", values)
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        sum(&self.communicator, &mut self.double, "float64", values)
    }
}
