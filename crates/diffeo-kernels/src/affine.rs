//! Affine map with a bounded log-scale.

mod composed;

use crate::dispatch::dispatched;
use crate::monotone::{
    ArgumentGradients, ColumnInverter, MapGradients, MapKernel, ScalarMap, check, check_tile,
};
use crate::{Real, TILE_ROWS};

/// `z = x e^s + t`, with `s = S tanh(raw / S)`.
///
/// * forward: data to base, `x -> z`, log-slope `s`; inverse: `x = (z - t) e^-s`, log-slope `-s`.
/// * `params: [n, d, 2]`, unconstrained: `t`, then `raw`. All zero is the identity.
/// * The scale stays within `e^-S..e^S`, so no parameter makes it vanish or overflow.
///
/// # Reference
/// Papamakarios, Pavlakou, Murray. *Masked Autoregressive Flow for Density Estimation*. NeurIPS 2017.
/// arXiv:1705.07057 (the bound is ours).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// `S`, positive.
    pub log_scale_max: f64,
}

impl ScalarMap for Affine {
    fn params_per_dim(&self) -> usize {
        2
    }
}

impl<T: Real> MapKernel<T> for Affine {
    fn forward(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        check(x, params, 2, [value.len(), log_slope.len()]);
        forward(x, params, self.log_scale_max, value, log_slope);
    }

    fn forward_tile(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        check_tile(x, params, 2, [value.len(), log_slope.len()]);
        forward_tile(x, params, self.log_scale_max, value, log_slope);
    }

    fn inverse(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        check(z, params, 2, [value.len(), log_slope.len()]);
        inverse(z, params, self.log_scale_max, value, log_slope);
    }

    fn forward_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        check(x, params, 2, [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, 2, [x.len(), x.len()]);
        forward_backward(x, params, self.log_scale_max, from, to);
    }

    fn forward_backward_tile(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        check_tile(x, params, 2, [from.value.len(), from.log_slope.len()]);
        check_tile(to.input, to.params, 2, [x.len(), x.len()]);
        forward_backward_tile(x, params, self.log_scale_max, from, to);
    }

    fn inverse_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        check(x, params, 2, [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, 2, [x.len(), x.len()]);
        inverse_backward(x, params, self.log_scale_max, from, to);
    }

    fn inverter(&self) -> Box<dyn ColumnInverter<T> + '_> {
        Box::new(self)
    }
}

impl<T: Real> ColumnInverter<T> for &Affine {
    fn invert(
        &mut self,
        z: &[T],
        params: &[T],
        stride: usize,
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        assert_eq!([value.len(), log_slope.len()], [z.len(); 2], "value or log-slope does not fit");
        invert_columns(z, params, stride, self.log_scale_max, value, log_slope);
    }
}

/// `S tanh(raw / S)` and its slope.
#[inline(always)]
pub(crate) fn bounded<T: Real>(raw: T, limit: T, limit_inverse: T) -> (T, T) {
    let t = (raw * limit_inverse).tanh();
    (limit * t, t.fma(-t, T::ONE))
}

/// One element of the forward map: `(z, log_slope)`.
#[inline(always)]
fn forward_element<T: Real>(x: T, shift: T, raw: T, limit: T, inverse: T) -> (T, T) {
    let s = bounded(raw, limit, inverse).0;
    (x.fma(s.exp(), shift), s)
}

/// One element of the forward map's backward pass: gradients by `x`, `shift` and `raw`.
#[inline(always)]
fn backward_element<T: Real>(x: T, raw: T, (gv, gl): (T, T), limit: T, inverse: T) -> (T, T, T) {
    let (s, slope) = bounded(raw, limit, inverse);
    let through = gv * s.exp();
    (through, gv, through.fma(x, gl) * slope)
}

/// One element of the inverse map: `(x, log_slope)`.
#[inline(always)]
fn inverse_element<T: Real>(z: T, shift: T, raw: T, limit: T, inverse: T) -> (T, T) {
    let log_slope = -bounded(raw, limit, inverse).0;
    ((z - shift) * log_slope.exp(), log_slope)
}

dispatched! {
    fn forward<T: Real>(x: &[T], params: &[T], limit: f64, value: &mut [T], log_slope: &mut [T]) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let out = value.iter_mut().zip(log_slope);
        for ((&x, p), (value, log_slope)) in x.iter().zip(params.chunks_exact(2)).zip(out) {
            (*value, *log_slope) = forward_element(x, p[0], p[1], limit, inverse);
        }
    }
}

dispatched! {
    fn inverse<T: Real>(z: &[T], params: &[T], limit: f64, value: &mut [T], log_slope: &mut [T]) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let out = value.iter_mut().zip(log_slope);
        for ((&z, p), (value, log_slope)) in z.iter().zip(params.chunks_exact(2)).zip(out) {
            (*value, *log_slope) = inverse_element(z, p[0], p[1], limit, inverse);
        }
    }
}

dispatched! {
    /// See [`ColumnInverter::invert`].
    fn invert_columns<T: Real>(
        z: &[T],
        params: &[T],
        stride: usize,
        limit: f64,
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let (shift, raw) = (&params[..z.len()], &params[stride..][..z.len()]);
        let out = columns_mut(value).zip(columns_mut(log_slope));
        let at = columns(z).zip(columns(shift).zip(columns(raw)));
        for ((z, (shift, raw)), (value, log_slope)) in at.zip(out) {
            for l in 0..TILE_ROWS {
                (value[l], log_slope[l]) = inverse_element(z[l], shift[l], raw[l], limit, inverse);
            }
        }
    }
}

dispatched! {
    fn forward_backward<T: Real>(
        x: &[T],
        params: &[T],
        limit: f64,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let out = to.input.iter_mut().zip(to.params.chunks_exact_mut(2));
        let grads = from.value.iter().zip(from.log_slope);
        let at = x.iter().zip(params.chunks_exact(2));
        for (((&x, p), (&gv, &gl)), (gx, gp)) in at.zip(grads).zip(out) {
            (*gx, gp[0], gp[1]) = backward_element(x, p[1], (gv, gl), limit, inverse);
        }
    }
}

dispatched! {
    fn inverse_backward<T: Real>(
        x: &[T],
        params: &[T],
        limit: f64,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let out = to.input.iter_mut().zip(to.params.chunks_exact_mut(2));
        let grads = from.value.iter().zip(from.log_slope);
        let at = x.iter().zip(params.chunks_exact(2));
        for (((&x, p), (&gv, &gl)), (gz, gp)) in at.zip(grads).zip(out) {
            let (s, slope) = bounded(p[1], limit, inverse);
            let through = gv * (-s).exp();
            *gz = through;
            gp[0] = -through;
            gp[1] = -gv.fma(x, gl) * slope;
        }
    }
}

#[inline(always)]
fn columns<T>(tile: &[T]) -> impl Iterator<Item = &[T; TILE_ROWS]> {
    tile.as_chunks().0.iter()
}

#[inline(always)]
fn columns_mut<T>(tile: &mut [T]) -> impl Iterator<Item = &mut [T; TILE_ROWS]> {
    tile.as_chunks_mut().0.iter_mut()
}

dispatched! {
    fn forward_tile<T: Real>(
        x: &[T],
        params: &[T],
        limit: f64,
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let out = columns_mut(value).zip(columns_mut(log_slope));
        let at = columns(x).zip(params.as_chunks::<TILE_ROWS>().0.as_chunks::<2>().0);
        for ((x, [shift, raw]), (value, log_slope)) in at.zip(out) {
            for l in 0..TILE_ROWS {
                (value[l], log_slope[l]) = forward_element(x[l], shift[l], raw[l], limit, inverse);
            }
        }
    }
}

dispatched! {
    fn forward_backward_tile<T: Real>(
        x: &[T],
        params: &[T],
        limit: f64,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let (limit, inverse) = (T::from_f64(limit), T::from_f64(limit.recip()));
        let to_params = to.params.as_chunks_mut::<TILE_ROWS>().0.as_chunks_mut::<2>().0;
        let out = columns_mut(to.input).zip(to_params);
        let grads = columns(from.value).zip(columns(from.log_slope));
        let at = columns(x).zip(params.as_chunks::<TILE_ROWS>().0.as_chunks::<2>().0);
        for (((x, [_, raw]), (gv, gl)), (gx, [to_shift, to_raw])) in at.zip(grads).zip(out) {
            for l in 0..TILE_ROWS {
                (gx[l], to_shift[l], to_raw[l]) =
                    backward_element(x[l], raw[l], (gv[l], gl[l]), limit, inverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;
    use proptest::prelude::*;

    const MAP: Affine = Affine { log_scale_max: 7.0 };

    fn run(x: f64, p: [f64; 2], inverse: bool) -> (f64, f64) {
        let (mut value, mut log_slope) = ([0.0], [0.0]);
        if inverse {
            MAP.inverse(&[x], &p, &mut value, &mut log_slope);
        } else {
            MAP.forward(&[x], &p, &mut value, &mut log_slope);
        }
        (value[0], log_slope[0])
    }

    #[test]
    fn zero_parameters_are_the_identity() {
        for x in [0.0, -3.5, 1e30, f64::INFINITY] {
            assert_eq!(run(x, [0.0, 0.0], false), (x, 0.0));
        }
    }

    proptest! {
        #[test]
        fn round_trip_and_gradients(x in -20.0f64..20.0, shift in -5.0f64..5.0, raw in -15.0f64..15.0, gv in -2.0f64..2.0, gl in -2.0f64..2.0) {
            let p = [shift, raw];
            let (z, s) = run(x, p, false);
            prop_assert!((s - 7.0 * (raw / 7.0).tanh()).abs() < 1e-14 * 7.0);
            prop_assert!((z - (x * s.exp() + shift)).abs() <= 1e-13 * (1.0 + z.abs()));
            let (back, s_back) = run(z, p, true);
            prop_assert!((back - x).abs() < 1e-11 * (1.0 + (shift * (-s).exp()).abs()) && s_back == -s);
            for inverse in [false, true] {
                let at = if inverse { z } else { x };
                let loss = |x: f64, p: [f64; 2]| {
                    let (v, l) = run(x, p, inverse);
                    gv * v + gl * l
                };
                let (mut gx, mut gp) = ([0.0], [0.0; 2]);
                let from = MapGradients { value: &[gv], log_slope: &[gl] };
                let to = ArgumentGradients { input: &mut gx, params: &mut gp };
                if inverse { MAP.inverse_backward(&[x], &p, from, to) } else { MAP.forward_backward(&[x], &p, from, to) }
                let h = 1e-5;
                let numeric = [
                    (loss(at + h, p) - loss(at - h, p)) / (2.0 * h),
                    (loss(at, [shift + h, raw]) - loss(at, [shift - h, raw])) / (2.0 * h),
                    (loss(at, [shift, raw + h]) - loss(at, [shift, raw - h])) / (2.0 * h),
                ];
                let scale = 1.0 + loss(at, p).abs() + s.abs().exp();
                for (found, numeric) in [gx[0], gp[0], gp[1]].into_iter().zip(numeric) {
                    prop_assert!((found - numeric).abs() < 1e-7 * scale, "{found} {numeric}");
                }
            }
        }

        #[test]
        fn finite_for_any_finite_parameter(x in -1e6f32..1e6, shift in any::<f32>(), raw in any::<f32>()) {
            prop_assume!(shift.is_finite() && shift.abs() < 1e30 && raw.is_finite());
            let (mut z, mut s) = ([0.0f32], [0.0f32]);
            MAP.forward(&[x], &[shift, raw], &mut z, &mut s);
            prop_assert!(z[0].is_finite() && s[0].abs() <= 7.0);
            MAP.inverse(&[x], &[shift, raw], &mut z, &mut s);
            prop_assert!(z[0].is_finite() && s[0].abs() <= 7.0);
        }
    }

    #[test]
    fn d9_bits_do_not_depend_on_the_instruction_set() {
        let x: Vec<f32> = (0..101).map(|i| i as f32 * 0.1 - 5.0).collect();
        let p: Vec<f32> = (0..202).map(|i| (i as f32 * 1.7).sin() * 4.0).collect();
        let all = at_each_level(|| {
            let (mut z, mut s) = (vec![0.0; 101], vec![0.0; 101]);
            MAP.forward(&x, &p, &mut z, &mut s);
            (z, s)
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
