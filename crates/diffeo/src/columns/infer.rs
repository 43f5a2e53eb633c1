//! Inference: the rule that says what kind of values a column holds.

use super::kind::{ColumnKind, End};

/// What the rule knows of a column of finite numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnFacts {
    /// Whether the file stores whole numbers; never for text.
    pub stored_whole: bool,
    /// Whether all values are whole.
    pub all_whole: bool,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// How many values are at least 0 and less than half a deviation.
    pub near_zero: usize,
    /// Skewness of `x`.
    pub skewness: f64,
    /// Skewness of `ln x`, if all values are positive.
    pub log_skewness: Option<f64>,
}

/// Whole numbers up to this magnitude, 2^53, are exact in `f64`.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;
/// Skewness above which a column of positive numbers is taken as [`ColumnKind::Positive`], if its logarithm is less skewed.
pub(super) const SKEWED: f64 = 1.0;

/// So many values next to 0, and none below, say that there can be none below: the chance that as many, which might as well lie on either side,
/// all lie above is a thousandth.
const NEAR_ZERO: usize = 10;

/// The kind of a column, and why it was chosen. A wish is kept and gets no reason; whether the data lies in it is for the
/// caller to check. Without one it is
/// * [`ColumnKind::Boolean`] if all values are 0 or 1;
/// * [`ColumnKind::Integer`] if the file stores whole numbers or all values are whole and at most 2^53, at least 0 if ten are next to it;
/// * [`ColumnKind::Positive`] if all values are positive, the skewness of x is above 1, and that of ln x is closer to 0, or if ten are next to 0;
///   at least 0 instead if one is 0;
/// * [`ColumnKind::Real`] otherwise.
pub fn choose_kind(facts: &ColumnFacts, wish: Option<ColumnKind>) -> (ColumnKind, Option<String>) {
    if let Some(kind) = wish {
        return (kind, None);
    }
    let (kind, reason) = infer_kind(facts);
    (kind, Some(reason))
}

fn infer_kind(facts: &ColumnFacts) -> (ColumnKind, String) {
    if facts.all_whole && facts.min == 0.0 && facts.max == 1.0 {
        return (ColumnKind::Boolean, "boolean (all values are 0 or 1)".to_owned());
    }
    let never_below = facts.min >= 0.0 && facts.near_zero >= NEAR_ZERO;
    let whole = match (facts.stored_whole, facts.all_whole) {
        (true, _) => Some("the file stores whole numbers"),
        (_, true) if facts.min.abs().max(facts.max.abs()) <= EXACT_INTEGER => {
            Some("all values are whole")
        }
        _ => None,
    };
    if let Some(why) = whole {
        return match never_below {
            true => (
                ColumnKind::IntegerRange { low: Some(0), high: None },
                format!("integer>=0 ({why}, and none is below 0)"),
            ),
            false => (ColumnKind::Integer, format!("integer ({why})")),
        };
    }
    if let Some(of_logarithm) = facts.log_skewness
        && facts.skewness > SKEWED
        && of_logarithm.abs() < facts.skewness
    {
        let text = format!(
            "positive (all values > 0, skewness {:.1}, {of_logarithm:.1} for their logarithms)",
            facts.skewness
        );
        return (ColumnKind::Positive, text);
    }
    if never_below {
        let near = facts.near_zero;
        let why = format!("{near} values within half a deviation of 0, none below");
        return match facts.min > 0.0 {
            true => (ColumnKind::Positive, format!("positive ({why})")),
            false => {
                let kind = ColumnKind::Range { low: End::Closed(0.0), high: End::Unbounded };
                (kind, format!("at least 0 ({why})"))
            }
        };
    }
    (ColumnKind::Real, "real".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exponential variable: skewness 2; its logarithm is a Gumbel variable, -12 sqrt(6) zeta(3) / pi^3.
    const EXPONENTIAL: ColumnFacts = ColumnFacts {
        stored_whole: false,
        all_whole: false,
        min: 1e-3,
        max: 7.0,
        near_zero: 0,
        skewness: 2.0,
        log_skewness: Some(-1.139_547_099_404_648_7),
    };
    const WHOLE: ColumnFacts = ColumnFacts { all_whole: true, ..EXPONENTIAL };

    fn says(facts: ColumnFacts, kind: ColumnKind, text: &str) {
        assert_eq!(choose_kind(&facts, None), (kind, Some(text.to_owned())), "{facts:?}");
    }

    #[test]
    fn a_wish_is_kept_whatever_the_data() {
        for kind in [
            ColumnKind::Real,
            ColumnKind::Positive,
            ColumnKind::Integer,
            ColumnKind::Interval { low: 0.0, high: 1.0 },
        ] {
            for stored_whole in [false, true] {
                let facts = ColumnFacts { stored_whole, ..EXPONENTIAL };
                assert_eq!(choose_kind(&facts, Some(kind)), (kind, None));
            }
        }
    }

    #[test]
    fn the_type_in_the_file_comes_first() {
        let text = "integer (the file stores whole numbers)";
        for facts in [WHOLE, EXPONENTIAL] {
            says(ColumnFacts { stored_whole: true, ..facts }, ColumnKind::Integer, text);
        }
        let beyond = ColumnFacts { stored_whole: true, max: 2.0 * EXACT_INTEGER, ..WHOLE };
        says(beyond, ColumnKind::Integer, text);
    }

    #[test]
    fn a7_whole_values_are_integers_up_to_two_to_53() {
        const NEXT: f64 = EXACT_INTEGER + 2.0;
        let text = "integer (all values are whole)";
        let range = |min, max| ColumnFacts { min, max, skewness: 0.0, log_skewness: None, ..WHOLE };
        for (min, max) in [(0.0, 2.0), (-EXACT_INTEGER, 3.0), (-3.0, EXACT_INTEGER)] {
            says(range(min, max), ColumnKind::Integer, text);
        }
        for (min, max) in [(-NEXT, 3.0), (-3.0, NEXT)] {
            says(range(min, max), ColumnKind::Real, "real");
        }
        says(WHOLE, ColumnKind::Integer, text);
        says(range(0.0, 1.0), ColumnKind::Boolean, "boolean (all values are 0 or 1)");
        let text = "positive (all values > 0, skewness 2.0, -1.1 for their logarithms)";
        says(ColumnFacts { max: NEXT, ..WHOLE }, ColumnKind::Positive, text);
    }

    #[test]
    fn skewed_positive_values_are_positive_if_logarithms_help() {
        let skews = |skewness, log_skewness| ColumnFacts { skewness, log_skewness, ..EXPONENTIAL };
        for (facts, text) in [
            (EXPONENTIAL, "skewness 2.0, -1.1"),
            (skews(1.0f64.next_up(), Some(0.96)), "skewness 1.0, 1.0"),
            (skews(2.0, Some(2.0f64.next_down())), "skewness 2.0, 2.0"),
        ] {
            let text = format!("positive (all values > 0, {text} for their logarithms)");
            says(facts, ColumnKind::Positive, &text);
        }
        for facts in [
            skews(1.0, Some(0.0)),
            skews(-2.0, Some(0.0)),
            skews(2.0, Some(2.0)),
            skews(2.0, Some(-2.0)),
            skews(2.0, None),
        ] {
            says(facts, ColumnKind::Real, "real");
        }
    }
}
