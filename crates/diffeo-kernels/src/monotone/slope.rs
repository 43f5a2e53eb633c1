//! Slopes that no parameter makes vanish or overflow.

use crate::Real;

/// `ln(e - 1)`: softplus of it is one.
pub const SLOPE_SHIFT: f64 = 0.541_324_854_612_918_1;
/// Beyond this a raw slope is held, so that squares of slopes stay finite in `f32`.
pub(crate) const RAW_SLOPE_MAX: f64 = 1e6;

/// `min + (1 - min) softplus(raw + ln(e - 1))`: 1 at zero.
#[inline(always)]
pub(crate) fn slope<T: Real>(raw: T, min: T) -> T {
    let held = raw.held(-T::from_f64(RAW_SLOPE_MAX), T::from_f64(RAW_SLOPE_MAX));
    (held + T::from_f64(SLOPE_SHIFT)).softplus().fma(T::ONE - min, min)
}

/// Its derivative by the raw slope.
#[inline(always)]
pub(crate) fn slope_slope<T: Real>(raw: T, min: T) -> T {
    let sigmoid = (raw + T::from_f64(SLOPE_SHIFT)).sigmoid();
    if raw.abs() > T::from_f64(RAW_SLOPE_MAX) { T::ZERO } else { sigmoid * (T::ONE - min) }
}
