//! Matrix products over checked slices: the one door to the `gemm` crate.

use crate::Real;
use crate::dispatch::dispatched;

/// A strided view of a matrix inside a slice.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// `rows x columns` of a row-major matrix of width `width` that starts at `data[0]`.
    pub fn row_major(data: &'a [T], rows: usize, columns: usize, width: usize) -> Self {
        Self { data, rows, columns, row_stride: width, column_stride: 1 }
    }

    /// The same entries with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn fits(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride
                < self.data.len()
    }
}

/// `out[.., ..columns] = a b`, or `+= a b`, where `out` is row-major with row stride `width`.
///
/// # Panics
/// If a view reaches outside its slice or the shapes do not match.
pub fn multiply<T: Real>(
    out: &mut [T],
    width: usize,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    accumulate: bool,
) {
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    assert_eq!(inner, b.rows, "inner dimensions of a product differ");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(a.fits() && b.fits(), "an operand of a product reaches outside its slice");
    assert!(
        columns <= width && (rows - 1) * width + columns <= out.len(),
        "product target too small"
    );
    // SAFETY: every entry that the three views name lies inside its slice (asserted above); `out` is
    // borrowed mutably, so it overlaps neither operand; its entries are distinct since columns <= width.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            width as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Longest inner dimension of one product of [`multiply_rowwise`]: `gemm` never cuts a shorter one.
const INNER_MAX: usize = 512;

/// `out = x w`, with row `i` of the result the same bits for any number of rows around it.
///
/// `gemm` chooses its blocking by the shape of the product: it cuts the inner dimension in different
/// places for small and large outputs, and takes another path for a single row or column. So the inner
/// dimension is cut here, a single row is computed twice, and a single column is a plain sum.
///
/// # Panics
/// As [`multiply`].
pub fn multiply_rowwise<T: Real>(out: &mut [T], width: usize, x: Matrix<'_, T>, w: Matrix<'_, T>) {
    let (rows, columns, inner) = (x.rows, w.columns, x.columns);
    if columns == 1 {
        let column: Vec<T> = (0..inner).map(|k| w.data[k * w.row_stride]).collect();
        multiply_by_column(out, width, x, &column);
        return;
    }
    if rows == 1 {
        let twice: Vec<T> = (0..2 * inner).map(|k| x.data[(k % inner) * x.column_stride]).collect();
        let mut result = vec![T::ZERO; 2 * columns];
        multiply_rowwise(&mut result, columns, Matrix::row_major(&twice, 2, inner, inner), w);
        out[..columns].copy_from_slice(&result[..columns]);
        return;
    }
    let mut start = 0;
    loop {
        let length = (inner - start).min(INNER_MAX);
        let x_part = Matrix { data: &x.data[start * x.column_stride..], columns: length, ..x };
        let w_part = Matrix { data: &w.data[start * w.row_stride..], rows: length, ..w };
        multiply(out, width, x_part, w_part, start > 0);
        start += length;
        if start >= inner {
            return;
        }
    }
}

dispatched! {
    /// `out[i width] = sum over k of x[i, k] column[k]`, in sums over every eighth `k` that are added at the end.
    fn multiply_by_column<T: Real>(out: &mut [T], width: usize, x: Matrix<'_, T>, column: &[T]) {
        const LANES: usize = 8;
        for (i, row) in out.chunks_mut(width).take(x.rows).enumerate() {
            let data = &x.data[i * x.row_stride..];
            let mut sums = [T::ZERO; LANES];
            if x.column_stride == 1 {
                let (x, rest) = data[..column.len()].as_chunks::<LANES>();
                let (w, rest_of_w) = column.as_chunks::<LANES>();
                for (x, w) in x.iter().zip(w) {
                    for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                        *sum = x.fma(*w, *sum);
                    }
                }
                for ((sum, x), w) in sums.iter_mut().zip(rest).zip(rest_of_w) {
                    *sum = x.fma(*w, *sum);
                }
            } else {
                for (k, w) in column.iter().enumerate() {
                    let sum = &mut sums[k % LANES];
                    *sum = data[k * x.column_stride].fma(*w, *sum);
                }
            }
            row[0] = sums.into_iter().fold(T::ZERO, |total, sum| total + sum);
        }
    }
}
