//! Lengths of time as people write them: `90s`, `10m`, `1h30m`, `1.5h`, `2d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time given on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

const UNITS: [(char, f64); 4] = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86_400.0)];
/// Longer than any training run; keeps the sum far from overflow.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a time such as 90s, 10m or 1h30m".to_string();
        let (mut seconds, mut number, mut largest) = (0.0, String::new(), f64::INFINITY);
        for c in text.trim().chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            let unit = UNITS.iter().find(|(name, _)| *name == c).map(|(_, unit)| *unit);
            let unit = unit.filter(|unit| *unit < largest).ok_or_else(wrong)?;
            seconds += std::mem::take(&mut number).parse::<f64>().map_err(|_| wrong())? * unit;
            largest = unit;
        }
        if !number.is_empty() {
            return Err(format!("{}; a unit is missing after {number}", wrong()));
        }
        if largest.is_infinite() {
            return Err(wrong());
        }
        if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
            return Err("expected more than 0s and at most 366d".to_string());
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// Shows a time as `1.2s`, `12s`, `3m20s`, `2h05m` or `3d04h`: two units are enough to plan by.
pub(crate) struct Rough(pub(crate) f64);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            return f.write_str("unknown");
        }
        if !(self.0.is_finite() && self.0 < SECONDS_MAX) {
            return f.write_str("more than a year");
        }
        if self.0 < 9.95 {
            return write!(f, "{:.1}s", self.0.max(0.0));
        }
        let seconds = self.0.round() as u64;
        match seconds {
            0..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{}h{:02}m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_parse() {
        for (text, seconds) in
            [("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("2d", 172_800.0)]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs_f64(seconds))), "{text}");
        }
    }

    #[test]
    fn f7_times_without_unit_or_out_of_range_are_refused() {
        for text in [
            "", "10", "m", "10x", "-5m", "0s", "1m1h", "1m1m", "inf", "nan", "1e9s", "99999d",
            "1..5m",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn rough_times() {
        for (seconds, text) in [
            (0.25, "0.2s"),
            (12.3, "12s"),
            (200.0, "3m20s"),
            (7500.0, "2h05m"),
            (273_700.0, "3d04h"),
            (f64::INFINITY, "more than a year"),
            (f64::NAN, "unknown"),
        ] {
            assert_eq!(Rough(seconds).to_string(), text);
        }
    }
}
