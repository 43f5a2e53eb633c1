//! The two floating-point types that the kernels run on, and their elementary functions.
//!
//! Every function here is branch-free straight-line arithmetic made of operations that IEEE 754
//! rounds exactly (`+ - * /`, fused multiply-add, square root, integer shifts). A compiler may
//! therefore run it in lanes of any width without changing one bit of the result: element `i` of a
//! slice gives the same bits in a 16-lane loop, in its scalar tail, and on another kind of machine.
//!
//! Polynomial coefficients are minimax fits (Remez exchange in 200-bit arithmetic) made for this
//! crate; the argument reductions are the classical ones of Cody and Waite, *Software Manual for
//! the Elementary Functions*, Prentice-Hall 1980, and of Tang, *Table-driven implementation of the
//! logarithm function*, ACM TOMS 16 (1990).

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: what a kernel needs of a number. Sealed.
pub trait Real:
    private::Sealed
    + Copy
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Display
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Distance from 1 to the next larger number.
    const EPSILON: Self;

    /// Rounds a constant to this type.
    fn from_f64(value: f64) -> Self;
    /// The same value as `f64` (exact).
    fn to_f64(self) -> f64;
    /// `self * factor + term` with one rounding.
    fn fma(self, factor: Self, term: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// The larger of two, the other one if one is NaN. (A choice by `if` whose one side is what memory holds
    /// already gets compiled to a masked store, which is slow; this does not.)
    fn upper(self, other: Self) -> Self;
    /// The smaller of two, the other one if one is NaN.
    fn lower(self, other: Self) -> Self;
    /// This number as an index; meaningful for whole numbers from 0 to 2^22 only.
    fn to_index(self) -> usize;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// `e^x`, within 1 ulp, subnormal results included.
    fn exp(self) -> Self;
    /// `e^x` for `x <= 0` only, within 1 ulp as long as it is a normal number, at half the price of
    /// [`Self::exp`]; about the smallest normal number for any lower `x`.
    fn exp_nonpositive(self) -> Self;
    /// `e^x - 1`, within 2 ulp.
    fn exp_m1(self) -> Self;
    /// Natural logarithm, within 1 ulp; -inf at zero, NaN below it.
    fn ln(self) -> Self;
    /// Natural logarithm of a positive, finite, normal number, within 1 ulp, at two thirds of the price of
    /// [`Self::ln`]; NaN stays NaN.
    fn ln_normal(self) -> Self;
    /// `ln(1 + x) = 2 atanh(s)` for `0 <= x <= 1` only, given `s = x / (2 + x)` to within a few
    /// rounding errors; the result is about as exact.
    fn ln_1p_from(s: Self) -> Self;
    /// `ln(1 + x)` for `0 <= x <= 1` only, within 2 ulp.
    fn ln_1p_unit(self) -> Self;
    /// Hyperbolic tangent, within 2 ulp.
    fn tanh(self) -> Self;

    /// Hyperbolic tangent to within two [`Self::EPSILON`] (of 1, not of itself), at a third of the price of [`Self::tanh`].
    #[inline(always)]
    fn tanh_near(self) -> Self {
        let size = self.abs();
        let e = (-(size + size)).exp_nonpositive();
        let value = (Self::ONE - e) / (Self::ONE + e);
        if self < Self::ZERO { -value } else { value }
    }

    /// `self` held to `[low, high]`; NaN stays NaN (which `clamp` of a vector unit does not promise).
    #[inline(always)]
    fn held(self, low: Self, high: Self) -> Self {
        let x = if self > high { high } else { self };
        if x < low { low } else { x }
    }

    /// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`, within 2 ulp.
    #[inline(always)]
    fn softplus(self) -> Self {
        let tail = (-self.abs()).exp().ln_1p_unit();
        // `x < 0` and not `x > 0`, so that NaN goes through.
        (if self < Self::ZERO { Self::ZERO } else { self }) + tail
    }

    /// `1 / (1 + e^-x)`, within 2 ulp; the small side is computed as `e^x / (1 + e^x)`, which
    /// keeps its relative accuracy down to the subnormals.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        let top = if self < Self::ZERO { e } else { Self::ONE };
        let sum = Self::ONE + e;
        let inverse = Self::ONE / sum;
        let value = top * inverse;
        // Sum and quotient lose up to a half ulp each; carry both back in.
        let rest = value.fma(-sum, top) - value * ((Self::ONE - sum) + e);
        rest.fma(inverse, value)
    }
}

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule, fused.
macro_rules! horner {
    ($t:ident, $x:expr, [$($c:expr),+ $(,)?]) => {{
        let x: $t = $x;
        let coefficients: [$t; [$($c),+].len()] = [$($c),+];
        let mut i = coefficients.len() - 1;
        let mut sum = coefficients[i];
        while i > 0 {
            i -= 1;
            sum = sum.mul_add(x, coefficients[i]);
        }
        sum
    }};
}

/// The implementation for one format; the arguments are all that differs between the two.
macro_rules! real {
    (
        $t:ident, $bits:ident, mantissa: $mantissa:literal, bias: $bias:literal,
        offset: $offset:literal, exp_range: [$exp_low:literal, $exp_high:literal],
        exp_normal: $exp_normal:literal, magic: $magic:literal,
        log2_e_rest: $log2_e_rest:literal,
        tanh_end: $tanh_end:literal, tiny: $tiny:literal,
        exp: $exp:tt, exp2: $exp2:tt, ln_1p: $ln_1p:tt
    ) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const EPSILON: Self = $t::EPSILON;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn fma(self, factor: Self, term: Self) -> Self {
                self.mul_add(factor, term)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn upper(self, other: Self) -> Self {
                self.max(other)
            }
            #[inline(always)]
            fn lower(self, other: Self) -> Self {
                self.min(other)
            }
            #[inline(always)]
            fn to_index(self) -> usize {
                // Added to 2^(mantissa bits), a whole number lies in the low bits; no branch, unlike `as`.
                const BIG: $t = (1u64 << $mantissa) as $t;
                ((self + BIG).to_bits() & ((1 << $mantissa) - 1)) as usize
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }

            #[inline(always)]
            fn exp(self) -> Self {
                let (whole, r) = reduce::$t(self.held($exp_low, $exp_high));
                let p = 1.0 + (r * r).mul_add(horner!($t, r, $exp), r);
                // 2^n in two factors: n alone can lie outside the exponent range (e^x subnormal,
                // or finite just under overflow), and only the last product may round.
                let first = whole >> 1;
                let second = whole.wrapping_sub(first);
                let scale = |half: $bits| {
                    $t::from_bits(half.wrapping_add($bias).wrapping_sub($offset / 2) << $mantissa)
                };
                p * scale(first) * scale(second)
            }

            #[inline(always)]
            fn exp_nonpositive(self) -> Self {
                let x = if self < $exp_normal { $exp_normal } else { self };
                // x log2(e) = n + r with |r| <= 1/2. The sum holds n + bias in its low bits, from
                // where a shift moves it to the exponent's place: 2^n, normal for all n here.
                const MAGIC: $t = $magic + $bias as $t;
                const LOG2_E: $t = std::$t::consts::LOG2_E;
                let shifted = x.mul_add(LOG2_E, MAGIC);
                let n = shifted - MAGIC;
                let r = x.mul_add($log2_e_rest, x.mul_add(LOG2_E, -n));
                let power = r.mul_add(horner!($t, r, $exp2), 1.0);
                // A product, so that NaN goes through.
                power * $t::from_bits(shifted.to_bits() << $mantissa)
            }

            #[inline(always)]
            fn exp_m1(self) -> Self {
                // Below -tanh_end * 2 the answer is -1 to the last bit.
                let (whole, r) = reduce::$t(self.held(-2.0 * $tanh_end, $exp_high));
                let q = (r * r).mul_add(horner!($t, r, $exp), r);
                // 2^(n-1), since 2^n overflows for the largest finite answers.
                let half =
                    $t::from_bits(whole.wrapping_add($bias - 1).wrapping_sub($offset) << $mantissa);
                let value = 2.0 * half.mul_add(q, half - 0.5);
                if self.abs() < $tiny { self } else { value }
            }

            #[inline(always)]
            fn ln(self) -> Self {
                const LIFT: $t = (1u64 << ($mantissa + 2)) as $t;
                let subnormal = self < $t::MIN_POSITIVE;
                let lifted = if subnormal { self * LIFT } else { self };
                let lift = if subnormal { ($mantissa + 2) as $t } else { 0.0 };
                let value = ln::$t(lifted, lift);
                let value = if self < $t::INFINITY { value } else { self };
                let value = if self == 0.0 { -$t::INFINITY } else { value };
                if self < 0.0 { $t::NAN } else { value }
            }

            #[inline(always)]
            fn ln_normal(self) -> Self {
                self.mul_add(0.0, ln::$t(self, 0.0))
            }

            #[inline(always)]
            fn ln_1p_from(s: Self) -> Self {
                let z = s * s;
                (s * z).mul_add(horner!($t, z, $ln_1p), s + s)
            }

            #[inline(always)]
            fn ln_1p_unit(self) -> Self {
                // 2 atanh(s) = 2s + s^3 (2/3 + 2 s^2/5 + ...), s + rest = x / (2 + x).
                let sum = 2.0 + self;
                let inverse = 1.0 / sum;
                let s = self * inverse;
                let rest = (s.mul_add(-sum, self) - s * ((2.0 - sum) + self)) * inverse;
                let z = s * s;
                (s * z).mul_add(horner!($t, z, $ln_1p), rest + rest) + (s + s)
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                let size = self.abs().held(0.0, $tanh_end);
                let e = Real::exp_m1(size + size);
                // e / (e + 2) with the rounding errors of sum and quotient carried back in: three
                // plain roundings would pass two ulp.
                let sum = e + 2.0;
                let two = sum - e;
                let lost = (e - (sum - two)) + (2.0 - two);
                let inverse = 1.0 / sum;
                let quotient = e * inverse;
                let rest = quotient.mul_add(-sum, e) - quotient * lost;
                rest.mul_add(inverse, quotient).copysign(self)
            }
        }
    };
}

/// `ln(x 2^-lift)` for positive normal `x`.
mod ln {
    macro_rules! ln {
        (
            $t:ident, $bits:ident, mantissa: $mantissa:literal, bias: $bias:literal,
            ln2: [$ln2_high:literal, $ln2_low:literal], sqrt_half: $sqrt_half:literal, ln: $ln:tt
        ) => {
            #[inline(always)]
            pub(super) fn $t(x: $t, lift: $t) -> $t {
                const ANCHOR: $bits = (1.0 as $t).to_bits() - $sqrt_half;
                // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
                let shifted = x.to_bits().wrapping_add(ANCHOR);
                let one_f =
                    $t::from_bits((shifted & ((1 << $mantissa) - 1)).wrapping_add($sqrt_half));
                const BIG: $t = (1u64 << $mantissa) as $t;
                let k = $t::from_bits((shifted >> $mantissa) | BIG.to_bits())
                    - (BIG + $bias as $t)
                    - lift;
                // ln(1 + f) = 2 atanh(s), s = f / (2 + f), written f - (h - s (h + R)) with
                // h = f^2/2 so that the leading term is exact.
                let f = one_f - 1.0;
                let s = f / (2.0 + f);
                let z = s * s;
                let h = 0.5 * f * f;
                let rest = s * (h + z * horner!($t, z, $ln));
                k.mul_add($ln2_high, f - (h - (rest + k * $ln2_low)))
            }
        };
    }
    ln!(
        f32, u32, mantissa: 23, bias: 127, ln2: [0.693145751953125, 1.4286068e-6],
        sqrt_half: 0x3f3504f3, ln: [0.66666764, 0.39978603, 0.2984783]
    );
    ln!(
        f64, u64, mantissa: 52, bias: 1023, ln2: [0.6931471803691238, 1.9082149292705877e-10],
        sqrt_half: 0x3fe6a09e667f3bcd,
        ln: [
            0.6666666666666698, 0.3999999999961189, 0.28571428703864216, 0.2222220213980662,
            0.18183393143159934, 0.15318097427239885, 0.14757971506484802,
        ]
    );
}

/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`: returns `n + offset` (positive) and `r`.
mod reduce {
    macro_rules! reduce {
        ($t:ident, $bits:ident, $magic:literal, $offset:literal, $high:literal, $low:literal) => {
            #[inline(always)]
            pub(super) fn $t(x: $t) -> ($bits, $t) {
                // Adding 1.5 * 2^(mantissa bits) rounds to an integer and leaves it in the low bits.
                let shifted = x.mul_add(std::$t::consts::LOG2_E, $magic);
                let n = shifted - $magic;
                let r = n.mul_add(-$low, n.mul_add(-$high, x));
                let magic = ($magic as $t).to_bits();
                (shifted.to_bits().wrapping_sub(magic - $offset), r)
            }
        };
    }
    reduce!(f32, u32, 12582912.0, 256, 0.693145751953125, 1.4286068e-6);
    reduce!(f64, u64, 6755399441055744.0, 2048, 0.6931471803691238, 1.9082149292705877e-10);
}

real!(
    f32, u32, mantissa: 23, bias: 127, offset: 256, exp_range: [-104.0, 89.0],
    exp_normal: -87.0, magic: 12582912.0, log2_e_rest: 1.925963e-8,
    tanh_end: 10.0, tiny: 1e-10,
    exp: [0.5, 0.16666667, 0.04166638, 0.008333276, 0.0013939382, 0.00019912883],
    exp2: [
        std::f32::consts::LN_2, 0.24022645, 0.055503592, 0.009618841, 0.0013391137, 0.00015238006,
    ],
    ln_1p: [0.66666675, 0.3999893, 0.28615627, 0.21440013, 0.242582]
);

real!(
    f64, u64, mantissa: 52, bias: 1023, offset: 2048, exp_range: [-746.0, 710.0],
    exp_normal: -708.0, magic: 6755399441055744.0, log2_e_rest: 2.0355273740931033e-17,
    tanh_end: 20.0, tiny: 1e-20,
    exp: [
        0.5, 0.16666666666666674, 0.0416666666666667, 0.00833333333332282, 0.0013888888888868936,
        0.0001984126988336057, 2.4801587357171e-5, 2.7557246803748975e-6, 2.7557245216184494e-7,
        2.5108185755117205e-8, 2.0923781804306483e-9,
    ],
    exp2: [
        0.6931471805599457, 0.24022650695910097, 0.05550410866479039, 0.009618129107607003,
        0.001333355815343997, 0.0001540353044157185, 1.5252727385189775e-5, 1.3215442675452854e-6,
        1.0180647660573069e-7, 7.072570394540799e-9, 4.0780717860928705e-10,
    ],
    ln_1p: [
        0.6666666666666642, 0.4000000000012458, 0.2857142855131723, 0.2222222378229858,
        0.18181749812925807, 0.1538644621843259, 0.13302343632796834, 0.12096044349566187,
        0.08381071106256831, 0.169472209910993,
    ]
);
