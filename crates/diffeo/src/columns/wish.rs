//! How a kind is written on a command line or in a configuration.

use std::str::FromStr;

use super::kind::{ColumnKind, End};
use super::schema::Column;
use super::step::Step;
use crate::error::{Error, Result, quoted};

/// The kind that a column is to have, as it is written:
///
/// * `real`, `positive`, `integer`, `boolean`, `category`, `date`, `time`;
/// * `[0, 1]`, `(0, 1)`, `[0, inf)` and so on: a bracket includes the bound, which then has a probability of its own; also `>=0`, `>0`, `<=1`, `<1`;
/// * `integer[0, 12]`, `integer>=0`, `integer<=12`;
/// * `rounded(0.1)` for multiples of a step, and `rounded(0.1)[0, 12]` and so on with bounds;
/// * `periodic[0, 24)`, and `periodic` for `[0, 2 pi)`;
/// * any of them with point masses, values that have a probability of their own beside a density, or beside many whole numbers: `positive+{0}`, `real+{0, 99}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindWish {
    /// The kind.
    pub kind: ColumnKind,
    /// Values that have a probability of their own.
    pub masses: Vec<f64>,
}

impl KindWish {
    /// A column as it was asked for; whole numbers between two bounds have a probability each if there are few enough.
    pub fn column(&self, name: impl Into<String>) -> Column {
        let range = match self.kind.bounds_in_steps() {
            [Some(low), Some(high)]
                if high.abs_diff(low) < Column::RANGE_MAX && self.masses.is_empty() =>
            {
                Some([low, high])
            }
            _ => None,
        };
        Column { masses: self.masses.clone(), range, ..Column::new(name, self.kind) }
    }
}

impl Column {
    /// Point masses that [`Self::describe`] lists.
    const MASSES_LISTED: usize = 4;

    /// What it may hold in words: the kind, its point masses, or some of them and how many more there are, and whether it may be missing.
    pub fn describe(&self) -> String {
        self.described(Self::MASSES_LISTED)
    }

    /// The same with all point masses, however many, as a [`KindWish`] is written.
    pub fn describe_in_full(&self) -> String {
        self.described(usize::MAX)
    }

    fn described(&self, masses_listed: usize) -> String {
        let mut masses: Vec<String> =
            self.masses.iter().take(masses_listed).map(f64::to_string).collect();
        match self.masses.len() - masses.len() {
            0 => {}
            more => masses.push(format!("{more} more")),
        }
        let beside = if masses.is_empty() { String::new() } else { beside(&masses) };
        format!("{}{beside}{}", self.kind, if self.holes { " or missing" } else { "" })
    }
}

/// How point masses are written.
fn beside(masses: &[String]) -> String {
    format!("+{{{}}}", masses.join(", "))
}

impl From<ColumnKind> for KindWish {
    fn from(kind: ColumnKind) -> Self {
        Self { kind, masses: Vec::new() }
    }
}

impl std::fmt::Display for KindWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind.fmt(f)?;
        if self.masses.is_empty() {
            return Ok(());
        }
        let masses: Vec<String> = self.masses.iter().map(f64::to_string).collect();
        f.write_str(&beside(&masses))
    }
}

impl FromStr for KindWish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, masses) = match text.trim().strip_suffix('}').and_then(|t| t.split_once("+{")) {
            Some((kind, list)) => (kind, numbers(list, text)?),
            None => (text, Vec::new()),
        };
        let kind: ColumnKind = kind.trim().parse().map_err(|_| not_a_kind(text))?;
        if let Some(mass) = masses.iter().find(|mass| !mass.is_finite()) {
            return Err(Error::config(format!("a point mass must be finite, found {mass}")));
        }
        let has_density = !matches!(
            kind,
            ColumnKind::Boolean | ColumnKind::Category | ColumnKind::Periodic { .. }
        );
        if !masses.is_empty() && !has_density {
            return Err(Error::config(format!(
                "a column of kind {kind} has no density beside which there could be point masses, found {}",
                quoted(text)
            )));
        }
        Ok(Self { kind, masses })
    }
}

impl FromStr for ColumnKind {
    type Err = Error;

    /// Parses a kind without point masses, see [`KindWish`].
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let named = [
            ("real", Self::Real),
            ("positive", Self::Positive),
            ("integer", Self::Integer),
            ("boolean", Self::Boolean),
            ("category", Self::Category),
            ("date", Self::Date),
            ("time", Self::Time),
            ("periodic", Self::Periodic { low: 0.0, high: std::f64::consts::TAU }),
        ];
        if let Some((_, kind)) = named.into_iter().find(|(name, _)| *name == text) {
            return Ok(kind);
        }
        let kind = if let Some(rest) = text.strip_prefix("rounded") {
            rounded(rest)
        } else if let Some(rest) = text.strip_prefix("integer") {
            integers(rest)
        } else if let Some(rest) = text.strip_prefix("periodic") {
            match ends(rest) {
                Some((End::Closed(low), End::Open(high) | End::Closed(high))) => {
                    Some(Self::Periodic { low, high })
                }
                _ => None,
            }
        } else {
            ends(text).map(range)
        };
        let kind = kind.ok_or_else(|| not_a_kind(text))?;
        kind.validate().map_err(|_| not_a_kind(text))?;
        Ok(kind)
    }
}

fn not_a_kind(text: &str) -> Error {
    Error::config(format!(
        "a column kind is real, positive, integer, boolean, category, date, time, [low, high], (low, high), >=low, <=high, \
         integer[low, high], integer>=low, rounded(step), rounded(step)[low, high] or periodic[low, high), with low < high, and +{{0}} behind it for a point mass at 0; not {}",
        quoted(text)
    ))
}

fn numbers(list: &str, text: &str) -> Result<Vec<f64>> {
    let number = |item: &str| item.trim().parse::<f64>().map_err(|_| not_a_kind(text));
    list.split([',', ';']).map(number).collect()
}

/// A range by its ends; the kinds that have a name of their own under it.
fn range((low, high): (End, End)) -> ColumnKind {
    match (low, high) {
        (End::Unbounded, End::Unbounded) => ColumnKind::Real,
        (End::Open(0.0), End::Unbounded) => ColumnKind::Positive,
        (End::Open(low), End::Open(high)) => ColumnKind::Interval { low, high },
        (low, high) => ColumnKind::Range { low, high },
    }
}

/// `[a, b)` and the like, or `>=a` and the like.
fn ends(text: &str) -> Option<(End, End)> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let text = text.trim();
    let one_sided =
        [(">=", true, true), ("<=", false, true), (">", true, false), ("<", false, false)];
    if let Some((sign, is_low, closed)) = one_sided.into_iter().find(|(s, ..)| text.starts_with(s))
    {
        let bound = number(&text[sign.len()..])?;
        let end = if closed { End::Closed(bound) } else { End::Open(bound) };
        return Some(if is_low { (end, End::Unbounded) } else { (End::Unbounded, end) });
    }
    let opening = text.strip_prefix(['[', '('])?;
    let inner = opening.strip_suffix([']', ')'])?;
    let (low, high) = inner.split_once([',', ';'])?;
    let end = |bound: &str, closed: bool, infinities: [&str; 2]| match bound.trim() {
        bound if infinities.contains(&bound) => (!closed).then_some(End::Unbounded),
        bound if closed => number(bound).map(End::Closed),
        bound => number(bound).map(End::Open),
    };
    let low = end(low, text.starts_with('['), ["-inf", "-Inf"])?;
    let high = end(high, text.ends_with(']'), ["inf", "+inf"])?;
    Some((low, high))
}

/// What follows `rounded`: `(0.1)`, `(0.1)[0, 12]`, `(0.1)>=0`.
fn rounded(text: &str) -> Option<ColumnKind> {
    let (step, bounds) = text.trim().strip_prefix('(')?.split_once(')')?;
    let step = Step::new(step.trim().parse().ok()?).ok()?;
    let closed = |end: End| match end {
        End::Unbounded => Some(None),
        End::Closed(x) => Some(Some(x)),
        End::Open(_) => None,
    };
    let (low, high) = match bounds.trim() {
        "" => (End::Unbounded, End::Unbounded),
        bounds => ends(bounds)?,
    };
    Some(ColumnKind::Rounded { step, low: closed(low)?, high: closed(high)? })
}

/// What follows `integer`: `[0, 12]`, `>=0`, `<=12`.
fn integers(text: &str) -> Option<ColumnKind> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |end: End| match end {
        End::Unbounded => Some(None),
        End::Closed(x) if x.fract() == 0.0 && x.abs() <= EXACT => Some(Some(x as i64)),
        _ => None,
    };
    let (low, high) = ends(text)?;
    Some(ColumnKind::IntegerRange { low: whole(low)?, high: whole(high)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_many_point_masses_lists_some_of_them_and_all_of_them_in_full() {
        let wish = "real+{1, 2, 3, 4, 5.5, 6}".parse::<KindWish>().unwrap();
        let column = Column { holes: true, ..wish.column("a") };
        assert_eq!(column.describe(), "real+{1, 2, 3, 4, 2 more} or missing");
        assert_eq!(column.describe_in_full(), "real+{1, 2, 3, 4, 5.5, 6} or missing");
        let few = "positive+{0}".parse::<KindWish>().unwrap().column("b");
        assert_eq!([few.describe(), few.describe_in_full()], ["positive+{0}"; 2]);
    }

    #[test]
    fn kinds_parse_and_print() {
        for text in [
            "real",
            "positive",
            "integer",
            "boolean",
            "category",
            "date",
            "time",
            "(0, 1)",
            "[0, 1]",
            "[0, 1)",
            "(-1.5, 2]",
            "[0, inf)",
            "(-inf, 3]",
            "(-inf, 3)",
            "(2, inf)",
            "integer[0, 12]",
            "integer>=0",
            "integer<=-3",
            "integer>=0+{0}",
            "rounded(0.1)",
            "rounded(0.25)[0, 12]",
            "rounded(5)>=-10",
            "rounded(0.1)+{0, 1.5}",
            "periodic[0, 24)",
            "positive+{0}",
            "real+{0, 99}",
        ] {
            assert_eq!(text.parse::<KindWish>().unwrap().to_string(), text);
        }
        for (text, same) in [(">=0", "[0, inf)"), ("<1", "(-inf, 1)"), ("(0,inf)", "positive")] {
            assert_eq!(text.parse::<KindWish>().unwrap().to_string(), same);
        }
        for text in [
            "",
            "reel",
            "[1, 0]",
            "[0, inf]",
            "[0]",
            "[0, nan)",
            "integer[0.5, 2]",
            "integer(0, 2)",
            "boolean+{0}",
            "rounded",
            "rounded(0)",
            "rounded(0.1)(0, 1)",
            "rounded(0.1)>=0.25",
            "periodic(0, 1)",
            "periodic[1, 1)",
            "positive+{x}",
            "real+{inf}",
            "category+{1}",
            ">=",
            "[5, 5]",
        ] {
            assert!(text.parse::<KindWish>().is_err(), "{text}");
        }
    }
}
