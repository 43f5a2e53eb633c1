//! Tables: whatever Python has into record batches, and record batches into whatever Python wants.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, RecordBatch,
    RecordBatchIterator, RecordBatchReader, StringArray, TimestampMicrosecondArray, UInt8Array,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use arrow_select::concat::concat_batches;
use diffeo::{Column, Error, ImageShape, Rows, quoted};
use diffeo_table::{Batches, Chunk, Input, ReadOptions, Reader};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyDict, PyList};

use crate::arrays;
use crate::errors::raise;

const STREAM: &std::ffi::CStr = c"arrow_array_stream";

/// Rows under named columns. `numpy.asarray(t)`, `pandas.DataFrame(dict(t))`, `polars.DataFrame(t)`, `pyarrow.table(t)`: it speaks Arrow's C stream interface,
/// and gives its columns as arrays by name.
#[pyclass(frozen, module = "diffeo")]
pub(crate) struct Table {
    batches: Batches,
    /// What the columns are the numbers of, if they are such.
    image: Option<ImageShape>,
}

impl Table {
    /// The cells that rows of a model stand for, and further columns of numbers.
    pub(crate) fn of_rows(
        columns: &[Column],
        rows: &Rows,
        more: &[(&str, Vec<f64>)],
    ) -> PyResult<Self> {
        let chunk = Chunk::from_columns(columns, rows, more).map_err(raise)?;
        let batch = chunk.typed_batch().map_err(raise)?;
        let batches = Batches::new(batch.schema(), [batch]).map_err(raise)?;
        Ok(Self { batches, image: None })
    }

    /// The same rows, which are images of a shape.
    pub(crate) fn of_images(self, image: Option<ImageShape>) -> Self {
        Self { image, ..self }
    }

    /// All rows in one batch.
    fn whole(&self) -> Result<RecordBatch, Error> {
        concat_batches(self.batches.schema(), self.batches.batches()).map_err(arrow)
    }

    fn arrays(&self, name: &str) -> Option<Vec<ArrayRef>> {
        let at = self.batches.schema().index_of(name).ok()?;
        Some(self.batches.batches().iter().map(|batch| Arc::clone(batch.column(at))).collect())
    }
}

#[pymethods]
impl Table {
    /// A table of anything that has columns: see `diffeo.Model.log_prob`. `names` are those of an array.
    #[new]
    #[pyo3(signature = (data, names=None))]
    fn new(data: &Bound<'_, PyAny>, names: Option<Vec<String>>) -> PyResult<Self> {
        let batches = match input_of(data, names.as_deref().unwrap_or_default())? {
            Input::Batches(batches) => batches,
            file => data.py().detach(|| of_file(&file)).map_err(raise)?,
        };
        Ok(Self { batches, image: None })
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PyList::new(py, self.columns())?.call_method0("__iter__")
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<String>().is_ok_and(|name| self.columns().contains(&name))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let columns = PyDict::new(slf.py());
        for name in slf.get().columns() {
            let column = slf.get().__getitem__(slf.py(), &name)?;
            columns.set_item(name, column)?;
        }
        Ok((slf.get_type().into_any(), (columns.into_any(),)))
    }

    /// The columns of this table and those of another of as many rows.
    fn beside(&self, other: &Self) -> PyResult<Self> {
        if self.batches.rows() != other.batches.rows() {
            return Err(raise(Error::shape(format!(
                "expected as many rows beside {}, found {}",
                self.batches.rows(),
                other.batches.rows()
            ))));
        }
        let (own, others) = (self.whole().map_err(raise)?, other.whole().map_err(raise)?);
        let (left, right) = (own.schema(), others.schema());
        let fields: Vec<_> = left.fields().iter().chain(right.fields()).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = own.columns().iter().chain(others.columns()).cloned().collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| raise(arrow(e)))?;
        Ok(Self { batches: Batches::new(schema, [batch]).map_err(raise)?, image: self.image })
    }

    /// The images that the rows are, as an array `[n, height, width]` or `[n, height, width, channels]` of bytes, or of 16 bits where there are more than 256 levels; None for other tables.
    #[getter]
    fn images<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(image) = self.image else { return Ok(None) };
        let (n, width) = (self.batches.rows(), image.numbers());
        let mut values = vec![0u16; n * width];
        for (j, column) in image.columns().iter().enumerate() {
            let arrays = self.arrays(&column.name).unwrap_or_default();
            let numbers = numbers(&column.name, &arrays).map_err(raise)?;
            let cells = values.iter_mut().skip(j).step_by(width);
            cells.zip(numbers).for_each(|(cell, x)| *cell = x as u16);
        }
        arrays::images(py, &values, n, image).map(Some)
    }

    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.batches.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.columns()
    }

    fn __len__(&self) -> usize {
        self.batches.rows()
    }

    fn __repr__(&self) -> String {
        let names: Vec<String> = self.columns().iter().map(|name| quoted(name)).collect();
        format!("<diffeo.Table of {} rows: {}>", self.batches.rows(), names.join(", "))
    }

    /// A column as an array: of numbers, truth values, dates, or objects where it is text. Numbers without a value are NaN.
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.arrays(name) {
            Some(arrays) => column(py, name, &arrays),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    /// The columns side by side as an array of floating-point numbers, without a value where there is none; all have to be numbers or truth values.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (rows, names) = (self.batches.rows(), self.columns());
        let mut values = vec![0.0; rows * names.len()];
        for (j, name) in names.iter().enumerate() {
            let arrays = self.arrays(name).unwrap_or_default();
            let column = numbers(name, &arrays).map_err(raise)?;
            let cells = values.iter_mut().skip(j).step_by(names.len());
            cells.zip(column).for_each(|(cell, x)| *cell = x);
        }
        arrays::matrix(py, &Rows::new(values, names.len()).map_err(raise)?)
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = copy; // it always is one
        let array = self.numpy(py)?;
        dtype.map_or(Ok(array.clone()), |dtype| array.call_method1("astype", (dtype,)))
    }

    /// The rows as a stream of Arrow's C interface, which shares their memory.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // a wish, which a producer may leave
        let batches = self.batches.batches().to_vec();
        let schema = self.batches.schema().clone();
        let reader = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    /// As a data frame of pandas.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("diffeo._tables")?.call_method1("to_pandas", (slf,))
    }

    /// As a data frame of polars.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("polars")?.call_method1("DataFrame", (slf,))
    }

    /// As a table of pyarrow.
    fn to_pyarrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyarrow")?.call_method1("table", (slf,))
    }
}

/// Where the rows of `data` come from; arrays without names have these.
pub(crate) fn input_of(data: &Bound<'_, PyAny>, names: &[String]) -> PyResult<Input> {
    if let Ok(path) = data.extract::<std::path::PathBuf>() {
        return Ok(Input::Path(path));
    }
    batches_of(data, names).map(Input::Batches)
}

/// Where clips come from: an array of them, or the path of a file or folder.
pub(crate) fn input_of_clips(data: &Bound<'_, PyAny>) -> PyResult<Input> {
    if let Ok(path) = data.extract::<std::path::PathBuf>() {
        return Ok(Input::Path(path));
    }
    let columns = data.py().import("diffeo._tables")?.call_method1("clip_columns", (data,))?;
    batch_of(columns.extract()?).map(Input::Batches)
}

fn batches_of(data: &Bound<'_, PyAny>, names: &[String]) -> PyResult<Batches> {
    if let Ok(table) = data.cast::<Table>() {
        return Ok(table.get().batches.clone());
    }
    let py = data.py();
    let found = py.import("diffeo._tables")?.call_method1("columns", (data, names))?;
    if found.hasattr("__arrow_c_stream__")? {
        return of_stream(&found);
    }
    batch_of(found.extract()?)
}

/// Columns by name, cells and how these are given.
fn batch_of(columns: Vec<(String, Bound<'_, PyAny>, String)>) -> PyResult<Batches> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, cells, dtype) in columns {
        let array = cells_of(&cells, &dtype)?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|e| raise(arrow(e)))?;
    Batches::new(schema, [batch]).map_err(raise)
}

/// The batches of a stream of Arrow's C interface, whose memory they share.
fn of_stream(data: &Bound<'_, PyAny>) -> PyResult<Batches> {
    let capsule = data.call_method0("__arrow_c_stream__").map_err(|e| {
        let text = format!("the table cannot be taken as Arrow data: {}", e.value(data.py()));
        raise(Error::data(text))
    })?;
    let capsule = capsule.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: the name of the capsule, which was checked, says that it holds a stream of Arrow's C interface. The stream is moved out of it, as the interface
    // has it: what stays behind is marked as released, so nobody releases it again.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
    let reader = ArrowArrayStreamReader::try_new(stream).map_err(|e| raise(arrow(e)))?;
    let schema = reader.schema();
    let batches: Result<Vec<RecordBatch>, ArrowError> = reader.collect();
    Batches::new(schema, batches.map_err(|e| raise(arrow(e)))?).map_err(raise)
}

/// All rows of a file, as it types them.
fn of_file(input: &Input) -> Result<Batches, Error> {
    let mut reader = Reader::open(input, &ReadOptions::default())?;
    let mut batches = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        batches.push(chunk.typed_batch()?);
    }
    let schema = batches.first().map_or(Arc::new(Schema::empty()), RecordBatch::schema);
    Batches::new(schema, batches)
}

fn arrow(error: ArrowError) -> Error {
    Error::data(format!("the Arrow data cannot be read: {error}")).caused_by(error)
}

/// The cells of a column that `diffeo._tables.columns` has made ready.
fn cells_of(cells: &Bound<'_, PyAny>, dtype: &str) -> PyResult<ArrayRef> {
    let py = cells.py();
    Ok(match dtype {
        "float64" => Arc::new(Float64Array::from(PyBuffer::<f64>::get(cells)?.to_vec(py)?)),
        "int64" => Arc::new(Int64Array::from(PyBuffer::<i64>::get(cells)?.to_vec(py)?)),
        "uint8" => {
            let truths = PyBuffer::<u8>::get(cells)?.to_vec(py)?;
            Arc::new(truths.into_iter().map(|x| Some(x != 0)).collect::<BooleanArray>())
        }
        "image" => images_of(cells)?,
        "time" => {
            let micros = PyBuffer::<i64>::get(cells)?.to_vec(py)?;
            let not_a_time = |x: &i64| *x == i64::MIN;
            let cells = micros.into_iter().map(|x| (!not_a_time(&x)).then_some(x));
            Arc::new(cells.collect::<TimestampMicrosecondArray>())
        }
        _ => Arc::new(StringArray::from(cells.extract::<Vec<Option<String>>>()?)),
    })
}

/// Images, which are lists of lines of pixels, or of their channels.
fn images_of(cells: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let buffer = PyBuffer::<u8>::get(cells)?;
    let mut array: ArrayRef = Arc::new(UInt8Array::from(buffer.to_vec(cells.py())?));
    for size in buffer.shape().iter().skip(1).rev() {
        let wrong = |_| raise(Error::data(format!("images of {size} pixels are too large")));
        let size = i32::try_from(*size).map_err(wrong)?;
        let item = Arc::new(Field::new_list_field(array.data_type().clone(), false));
        let lists = FixedSizeListArray::try_new(item, size, array, None);
        array = Arc::new(lists.map_err(|e| raise(arrow(e)))?);
    }
    Ok(array)
}

/// The cells of a column as numbers, NaN where there is none.
fn numbers(name: &str, arrays: &[ArrayRef]) -> Result<Vec<f64>, Error> {
    let mut values = Vec::new();
    for array in arrays {
        let found = array.data_type();
        let is_number = found.is_numeric() || matches!(found, DataType::Boolean | DataType::Null);
        if !is_number {
            return Err(Error::data(format!(
                "column {}: expected numbers, found {found}; take it by its name",
                quoted(name)
            )));
        }
        let cells = cast(array, &DataType::Float64).map_err(arrow)?;
        let cells = cells.as_primitive::<Float64Type>();
        values.extend(cells.iter().map(|x| x.unwrap_or(f64::NAN)));
    }
    Ok(values)
}

/// The cells of a column as an array of NumPy.
fn column<'py>(py: Python<'py>, name: &str, arrays: &[ArrayRef]) -> PyResult<Bound<'py, PyAny>> {
    const NOT_A_TIME: i64 = i64::MIN;
    let dtype = arrays.first().map_or(&DataType::Float64, |array| array.data_type());
    let has_holes = arrays.iter().any(|array| array.null_count() > 0);
    let as_type = |to: DataType| -> PyResult<Vec<ArrayRef>> {
        arrays.iter().map(|array| cast(array, &to).map_err(|e| raise(arrow(e)))).collect()
    };
    let is_text = match dtype {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    };
    match dtype {
        DataType::UInt64 => arrays::vector(py, &numbers(name, arrays).map_err(raise)?),
        found if found.is_integer() && !has_holes => {
            let cells = as_type(DataType::Int64)?;
            let values = cells.iter().flat_map(|a| a.as_primitive::<Int64Type>().values());
            arrays::whole(py, &values.copied().collect::<Vec<_>>(), None)
        }
        DataType::Boolean if !has_holes => {
            let values = arrays.iter().flat_map(|array| array.as_boolean().values().iter());
            arrays::truths(py, &values.map(u8::from).collect::<Vec<_>>())
        }
        DataType::Date32 | DataType::Date64 => {
            let cells = as_type(DataType::Date32)?;
            let days = cells.iter().flat_map(|a| a.as_primitive::<Date32Type>().iter());
            let days = days.map(|x| x.map_or(NOT_A_TIME, i64::from));
            let days = arrays::whole(py, &days.collect::<Vec<_>>(), Some("datetime64[D]"))?;
            days.call_method1("astype", ("datetime64[s]",))
        }
        DataType::Timestamp(..) => {
            let cells = as_type(DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let micros =
                cells.iter().flat_map(|a| a.as_primitive::<TimestampMicrosecondType>().iter());
            let micros = micros.map(|x| x.unwrap_or(NOT_A_TIME)).collect::<Vec<_>>();
            arrays::whole(py, &micros, Some("datetime64[us]"))
        }
        _ if is_text => {
            let cells = as_type(DataType::Utf8)?;
            let cells = cells.iter().flat_map(|array| array.as_string::<i32>().iter());
            let list = PyList::new(py, cells)?;
            py.import("numpy")?.call_method1("array", (list, "object"))
        }
        _ => arrays::vector(py, &numbers(name, arrays).map_err(raise)?),
    }
}
