//! Round tick values and short labels for any range of numbers.

/// Ticks of one axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ticks {
    /// Values and their labels, ascending.
    pub(crate) marks: Vec<(f64, String)>,
    /// What all labels share and the name of the axis must say, such as `×10⁵`; empty mostly.
    pub(crate) suffix: String,
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten, at most about `target` of them.
///
/// With `whole`, steps are whole numbers.
pub(crate) fn ticks(low: f64, high: f64, target: usize, whole: bool) -> Ticks {
    let span = high - low;
    if !(span.is_finite() && span >= 1e-290) {
        return Ticks::default();
    }
    let (mut digit, mut exponent) = round_step(span / target.max(1) as f64);
    if whole && exponent < 0 {
        (digit, exponent) = (1.0, 0);
    }
    let step = scaled(digit, exponent);
    if !(step > 0.0 && step.is_finite()) {
        return Ticks::default();
    }
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    let count = last - first;
    if !(0.0..=100.0).contains(&count) {
        return Ticks::default();
    }
    let indices: Vec<f64> = (0..=count as usize).map(|i| first + i as f64).collect();
    labelled(&indices, digit, exponent)
}

/// The smallest step of the form {1, 2, 5} 10^e that is not below `rough`.
fn round_step(rough: f64) -> (f64, i32) {
    let exponent = rough.log10().floor() as i32;
    let ratio = rough / scaled(1.0, exponent);
    match ratio {
        r if r <= 1.0 + 1e-9 => (1.0, exponent),
        r if r <= 2.0 + 1e-9 => (2.0, exponent),
        r if r <= 5.0 + 1e-9 => (5.0, exponent),
        _ => (1.0, exponent + 1),
    }
}

/// `digit * 10^exponent` with one rounding for ordinary exponents, so that 3 steps of 0.1 are 0.3.
fn scaled(digit: f64, exponent: i32) -> f64 {
    if exponent >= 0 { digit * 10f64.powi(exponent) } else { digit / 10f64.powi(-exponent) }
}

fn labelled(indices: &[f64], digit: f64, exponent: i32) -> Ticks {
    let values: Vec<f64> = indices.iter().map(|k| scaled(k * digit, exponent)).collect();
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let order = if largest > 0.0 { largest.log10().floor() as i32 } else { exponent };
    if order - exponent > 5 {
        return offset_labels(indices, &values, digit, exponent);
    }
    let shared = if (-2..=4).contains(&order) { 0 } else { order };
    let decimals = (shared - exponent).max(0) as usize;
    let label = |k: f64| fixed(scaled(k * digit, exponent - shared), decimals);
    Ticks {
        marks: values.iter().zip(indices).map(|(&v, &k)| (v, label(k))).collect(),
        suffix: if shared == 0 { String::new() } else { power_of_ten(shared) },
    }
}

/// A small range far from zero: labels count from a round offset.
fn offset_labels(indices: &[f64], values: &[f64], digit: f64, exponent: i32) -> Ticks {
    let Some((&first, &base)) = indices.first().zip(values.first()) else {
        return Ticks::default();
    };
    let mut inner =
        labelled(&indices.iter().map(|k| k - first).collect::<Vec<_>>(), digit, exponent);
    for (mark, &value) in inner.marks.iter_mut().zip(values) {
        mark.0 = value;
    }
    let sign = if base < 0.0 { "−" } else { "+" };
    let offset = if base.abs() < 1e15 {
        format!("{sign}{}", fixed(base.abs(), (-exponent).clamp(0, 15) as usize))
    } else {
        format!("{sign}{:e}", base.abs())
    };
    inner.suffix = format!("{} {offset}", inner.suffix).trim().into();
    inner
}

/// A number with a fixed count of decimals and a true minus sign.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().any(|c| c.is_ascii_digit() && c != '0') => format!("−{rest}"),
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// A number for running text: about four digits, in powers of ten when very large or small.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) {
        let exponent = magnitude.log10().floor() as i32;
        let mantissa = value / 10f64.powi(exponent.clamp(-300, 300));
        return format!("{}{}", fixed(mantissa, 2), power_of_ten(exponent));
    }
    let whole_digits = if magnitude >= 1.0 { magnitude.log10().floor() as usize } else { 0 };
    fixed(value, 3_usize.saturating_sub(whole_digits))
}

/// A count with thousands apart: `12,345`.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn power_of_ten(exponent: i32) -> String {
    let superscript = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    };
    format!("×10{}", exponent.to_string().chars().map(superscript).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, target: usize) -> (Vec<String>, String) {
        let t = ticks(low, high, target, false);
        (t.marks.into_iter().map(|m| m.1).collect(), t.suffix)
    }

    #[test]
    fn ordinary_ranges_get_round_ticks() {
        assert_eq!(labels(-1.2, 1.3, 5).0, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(0.0, 40_000.0, 4).0, ["0", "10000", "20000", "30000", "40000"]);
        assert_eq!(ticks(0.0, 1.0, 10, false).marks[3].0, 0.3);
    }

    #[test]
    fn very_large_and_small_ranges_share_a_power() {
        assert_eq!(
            labels(0.0, 1e30, 2),
            (vec!["0.0".into(), "0.5".into(), "1.0".into()], "×10³⁰".into())
        );
        assert_eq!(
            labels(0.0, 4e-30, 2),
            (vec!["0".into(), "2".into(), "4".into()], "×10⁻³⁰".into())
        );
    }

    #[test]
    fn a_small_range_far_from_zero_counts_from_an_offset() {
        let (labels, suffix) = labels(1_600_000_000.0, 1_600_000_002.0, 2);
        assert_eq!(
            (labels, suffix),
            (vec!["0".into(), "1".into(), "2".into()], "+1600000000".into())
        );
    }

    #[test]
    fn impossible_ranges_have_no_ticks() {
        for (low, high) in
            [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (0.0, 5e-324)]
        {
            assert!(ticks(low, high, 5, false).marks.len() < 8);
        }
    }

    #[test]
    fn whole_numbers_have_no_steps_below_one() {
        let t = ticks(-0.5, 2.5, 10, true);
        assert_eq!(t.marks.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    }

    #[test]
    fn running_text_is_short() {
        assert_eq!(
            [short(1.23456), short(-123.456), short(1.5e-7), short(0.0)],
            ["1.235", "−123.5", "1.50×10⁻⁷", "0.000"]
        );
        assert_eq!([count(7), count(1234), count(1_000_000)], ["7", "1,234", "1,000,000"]);
    }
}
