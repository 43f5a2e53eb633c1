//! Elementary functions over slices, element by element and in place.
//!
//! Largest errors found, in units in the last place, against 140-bit references (`f64`) and against
//! `f64` (`f32`): `exp` 0.95, `exp_m1` 1.7, `ln` 0.76, `tanh` 1.5, `softplus` 1.5, `sigmoid` 1.5, over the
//! whole range, subnormal numbers included. NaN gives NaN, infinities give their limits.

use crate::dispatch::dispatched;

macro_rules! elementwise {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {$(
        dispatched! {
            $(#[$meta])*
            pub fn $name<T: Real>(values: &mut [T]) {
                for value in values.iter_mut() {
                    *value = value.$name();
                }
            }
        }
    )*};
}

elementwise! {
    /// `e^x`.
    exp,
    /// `e^x - 1`, exact to relative accuracy near zero.
    exp_m1,
    /// Natural logarithm.
    ln,
    /// Hyperbolic tangent.
    tanh,
    /// `ln(1 + e^x)`.
    softplus,
    /// `1 / (1 + e^-x)`, the slope of [`softplus`].
    sigmoid,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Real;
    use crate::dispatch::tests::at_each_level;

    /// Distance of a result from the exact value, in units in the last place of the result's type.
    fn ulps_f32(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if found == rounded || (found.is_nan() && rounded.is_nan()) {
            return 0.0;
        }
        let size = rounded.abs().max(f32::MIN_POSITIVE);
        let ulp = f64::from(f32::from_bits(size.to_bits() + 1)) - f64::from(size);
        (f64::from(found) - exact).abs() / ulp
    }

    fn ulps_f64(found: f64, exact: f64) -> f64 {
        if found == exact || (found.is_nan() && exact.is_nan()) {
            return 0.0;
        }
        let size = exact.abs().max(f64::MIN_POSITIVE);
        (found - exact).abs() / (f64::from_bits(size.to_bits() + 1) - size)
    }

    const SPECIAL: [f64; 24] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1e-8,
        -1e-8,
        1e-30,
        -1e-30,
        1e-40,
        -1e-40,
        1e-310,
        -1e-310,
        5e-324,
        88.72284,
        88.7229,
        -87.33655,
        -103.98,
        709.782712893384,
        709.79,
        -745.14,
        1e30,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];

    /// Every 4,099th `f32` there is, each sign, subnormals, infinities and NaNs included.
    fn dense_f32() -> Vec<f32> {
        let mut x: Vec<f32> = (0..u32::MAX).step_by(4099).map(f32::from_bits).collect();
        x.extend((-200_000..200_000).map(|i| i as f32 * 7.3e-4));
        x.extend(SPECIAL.map(|v| v as f32));
        x
    }

    fn dense_f64() -> Vec<f64> {
        let mut x: Vec<f64> =
            (0..=u64::MAX - (1 << 46)).step_by(1 << 46).map(f64::from_bits).collect();
        x.extend((-200_000..200_000).map(|i| f64::from(i) * 4.1e-3 + 1e-7));
        x.extend((-200_000..200_000).map(|i| f64::from(i) * 1e-5));
        x.extend(SPECIAL);
        x
    }

    type Twin = fn(f64) -> f64;

    fn softplus_twin(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p() + x * 0.0
    }
    fn softplus_f64(x: f64) -> f64 {
        if x.is_infinite() { x.max(0.0) } else { softplus_twin(x) }
    }
    fn sigmoid_f64(x: f64) -> f64 {
        if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
    }

    #[test]
    fn f32_is_within_two_ulp_everywhere() {
        let cases: [(&str, fn(&mut [f32]), Twin, f64); 6] = [
            ("exp", exp::<f32>, f64::exp, 1.0),
            ("exp_m1", exp_m1::<f32>, f64::exp_m1, 2.0),
            ("ln", ln::<f32>, f64::ln, 1.0),
            ("tanh", tanh::<f32>, f64::tanh, 2.0),
            ("softplus", softplus::<f32>, softplus_f64, 2.0),
            ("sigmoid", sigmoid::<f32>, sigmoid_f64, 2.0),
        ];
        let x = dense_f32();
        for (name, function, twin, limit) in cases {
            let mut y = x.clone();
            function(&mut y);
            let (worst, at) = x.iter().zip(&y).fold((0.0, 0.0), |(worst, at), (&x, &y)| {
                let error = ulps_f32(y, twin(f64::from(x)));
                if error <= worst { (worst, at) } else { (error, x) }
            });
            println!("{name}: {worst} ulp at {at}");
            assert!(worst <= limit, "{name}: {worst} ulp at {at:e}");
        }
    }

    /// The platform's own functions have up to one ulp of error (`tanh` two), which the limits allow for.
    #[test]
    fn f64_agrees_with_the_platform() {
        let cases: [(&str, fn(&mut [f64]), Twin, f64); 6] = [
            ("exp", exp::<f64>, f64::exp, 1.0),
            ("exp_m1", exp_m1::<f64>, f64::exp_m1, 2.0),
            ("ln", ln::<f64>, f64::ln, 1.0),
            ("tanh", tanh::<f64>, f64::tanh, 4.0),
            ("softplus", softplus::<f64>, softplus_f64, 3.0),
            ("sigmoid", sigmoid::<f64>, sigmoid_f64, 3.0),
        ];
        let x = dense_f64();
        for (name, function, twin, limit) in cases {
            let mut y = x.clone();
            function(&mut y);
            let (worst, at) = x.iter().zip(&y).fold((0.0, 0.0), |(worst, at), (&x, &y)| {
                let error = ulps_f64(y, twin(x));
                if error <= worst { (worst, at) } else { (error, x) }
            });
            println!("{name}: {worst} ulp at {at}");
            assert!(worst <= limit, "{name}: {worst} ulp at {at:e}");
        }
    }

    #[test]
    fn exp_nonpositive_is_within_one_ulp() {
        let mut worst = (0.0f64, 0.0f64);
        for i in 0..=2_000_000 {
            let x = -87.0 * (f64::from(i) / 2e6);
            let found = (x as f32).exp_nonpositive();
            worst.0 = worst.0.max(ulps_f32(found, f64::from(x as f32).exp()));
            worst.1 = worst.1.max(ulps_f64((8.0 * x).exp_nonpositive(), (8.0 * x).exp()));
        }
        println!("exp_nonpositive: {worst:?} ulp");
        assert!(worst.0 <= 1.0 && worst.1 <= 1.0, "{worst:?}");
        assert_eq!((0.0f32.exp_nonpositive(), (-0.0f64).exp_nonpositive()), (1.0, 1.0));
        for low in [-88.0, -1e30, f32::NEG_INFINITY] {
            assert!(low.exp_nonpositive() < 2e-38 && low.exp_nonpositive().is_normal());
        }
        let nan = f32::from_bits(0x7fc0_0001);
        assert!(nan.exp_nonpositive().is_nan() && f64::NAN.exp_nonpositive().is_nan());
    }

    #[test]
    fn tanh_near_is_within_two_epsilons() {
        let mut worst = (0.0f64, 0.0f64);
        for x in (-2_000_000..=2_000_000).map(|i| f64::from(i) * 2e-5) {
            let narrow = f64::from((x as f32).tanh_near()) - f64::from(x as f32).tanh();
            worst.0 = worst.0.max(narrow.abs() / f64::from(f32::EPSILON));
            worst.1 = worst.1.max((x.tanh_near() - x.tanh()).abs() / f64::EPSILON);
        }
        println!("tanh_near: {worst:?} epsilons");
        assert!(worst.0 <= 2.0 && worst.1 <= 2.0, "{worst:?}");
        assert_eq!((0.0f32.tanh_near(), 1e30f32.tanh_near()), (0.0, 1.0));
        assert_eq!(f64::NEG_INFINITY.tanh_near(), -1.0);
        assert!(f32::NAN.tanh_near().is_nan() && f64::NAN.tanh_near().is_nan());
    }

    #[test]
    fn ln_normal_has_the_bits_of_ln_and_ln_1p_from_is_close() {
        for x in dense_f32().into_iter().filter(|x| x.is_normal() && *x > 0.0) {
            assert_eq!(x.ln_normal().to_bits(), Real::ln(x).to_bits(), "{x:e}");
        }
        assert!(f32::NAN.ln_normal().is_nan() && f64::NAN.ln_normal().is_nan());
        for x in (0..=100_000).map(|i| f64::from(i) * 1e-5) {
            let found = f64::ln_1p_from(x / (2.0 + x));
            assert!(ulps_f64(found, x.ln_1p()) <= 4.0, "{x}: {found}");
            let found = f32::ln_1p_from(x as f32 / (2.0 + x as f32));
            assert!(ulps_f32(found, f64::from(x as f32).ln_1p()) <= 4.0, "{x}: {found}");
        }
    }

    #[test]
    fn limits_are_reached_exactly() {
        let mut x = [f64::NEG_INFINITY, -0.0, 0.0, f64::INFINITY, -1.0];
        ln(&mut x[1..]);
        assert_eq!(x[1..4], [f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY]);
        assert!(x[4].is_nan());
        let mut x = [f32::NEG_INFINITY, 0.0, f32::INFINITY];
        exp(&mut x);
        assert_eq!(x, [0.0, 1.0, f32::INFINITY]);
        let mut x = [-0.0f32, 40.0, f32::NEG_INFINITY];
        tanh(&mut x);
        assert_eq!(x.map(f32::to_bits), [-0.0f32, 1.0, -1.0].map(f32::to_bits));
    }

    #[test]
    fn d9_bits_depend_on_neither_lane_nor_instruction_set() {
        let x: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) * 0.0371).collect();
        let results = at_each_level(|| {
            let mut whole = x.clone();
            tanh(&mut whole);
            let mut pieces = x.clone();
            pieces.chunks_mut(7).for_each(tanh);
            assert_eq!(whole, pieces);
            let mut ln_x: Vec<f64> = x.iter().map(|&v| f64::from(v).abs() + 0.1).collect();
            ln(&mut ln_x);
            let mut wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            softplus(&mut wide);
            (whole, ln_x, wide)
        });
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
