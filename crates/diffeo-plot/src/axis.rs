//! From values to places on the page: ranges that survive any data, and the drawing of axes.

use crate::clip::Frame;
use crate::colour::{AXIS, GRID, MUTED};
use crate::dates::{Clock, dated};
use crate::font::{Weight, fit, text_width};
use crate::matrix::{Column, Finite};
use crate::scene::{Anchor, Scene, TextStyle};
use crate::ticks::{Ticks, ticks};

/// Size of tick labels.
pub(crate) const TICK_SIZE: f64 = 9.5;
/// Length of a tick mark.
const TICK_LENGTH: f64 = 3.0;
/// Space a tick label may stick out beyond the ends of its axis, where no neighbour is near.
const OVERHANG: f64 = 14.0;

/// A range of values with room at both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// The largest magnitude that is drawn, so that differences never overflow.
    const LARGEST: f64 = 1e300;

    /// A proper range around two ends: a constant gets room of 5 % (or 1) to both sides.
    pub(crate) fn new(low: f64, high: f64) -> Self {
        let (low, high) =
            (low.clamp(-Self::LARGEST, Self::LARGEST), high.clamp(-Self::LARGEST, Self::LARGEST));
        let magnitude = low.abs().max(high.abs());
        // Below this the digits of an f64 cannot carry an axis.
        if high - low > (1e-11 * magnitude).max(1e-290) {
            return Self { low, high };
        }
        let middle = low + (high - low) / 2.0;
        let room = if magnitude < 1e-280 { 1.0 } else { 0.05 * magnitude };
        Self { low: middle - room, high: middle + room }
    }

    pub(crate) fn span(&self) -> f64 {
        self.high - self.low
    }

    pub(crate) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The same range with a share of its span added at both ends.
    pub(crate) fn padded(&self, share: f64) -> Self {
        let room = share * self.span();
        Self { low: self.low - room, high: self.high + room }
    }

    /// The range in which data and samples are compared.
    ///
    /// All of the data, unless a few far values would squeeze the rest: then the middle 99.8 % or
    /// less. Samples widen it by at most one such span on each side, so that a model that explodes
    /// shows at the edge without hiding the data.
    pub(crate) fn of(data: &Finite, samples: &Finite) -> Self {
        match (Self::robust(data), Self::robust(samples)) {
            (Some(d), Some(s)) => {
                let span = d.span();
                Self::new(d.low.min(s.low.max(d.low - span)), d.high.max(s.high.min(d.high + span)))
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Self { low: 0.0, high: 1.0 },
        }
    }

    fn robust(values: &Finite) -> Option<Self> {
        let [least, first, fifth, upper, last, most] =
            values.quantiles([0.0, 0.001, 0.05, 0.95, 0.999, 1.0])?;
        // For a normal this reaches 6.5 deviations; it binds for tails like that of a Cauchy.
        let reach = 1.5 * (upper - fifth);
        let (low, high) = if reach > 0.0 && reach.is_finite() {
            (first.max(fifth - reach), last.min(upper + reach))
        } else {
            (first, last)
        };
        let (all, core) = (Self::new(least, most), Self::new(low, high));
        Some(if all.span() <= 1.6 * core.span() { all } else { core })
    }
}

/// A range laid along a stretch of the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) range: Range,
    from: f64,
    to: f64,
    overhang: f64,
}

impl Axis {
    /// Along the width of a frame.
    pub(crate) fn horizontal(range: Range, frame: &Frame) -> Self {
        Self { range, from: frame.left, to: frame.right(), overhang: OVERHANG }
    }

    /// Along the height of a frame, upwards.
    pub(crate) fn vertical(range: Range, frame: &Frame) -> Self {
        Self { range, from: frame.bottom(), to: frame.top, overhang: OVERHANG }
    }

    /// With less space for labels beyond the ends.
    pub(crate) fn with_overhang(self, overhang: f64) -> Self {
        Self { overhang, ..self }
    }

    /// The place of a value; values far outside stay at a finite distance.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = (value - self.range.low) / self.range.span();
        self.from + share.clamp(-1e6, 1e6) * (self.to - self.from)
    }

    /// The value at a place.
    pub(crate) fn value(&self, place: f64) -> f64 {
        self.range.low + (place - self.from) / (self.to - self.from) * self.range.span()
    }

    pub(crate) fn length(&self) -> f64 {
        (self.to - self.from).abs()
    }

    /// As many ticks as stand apart from each other.
    pub(crate) fn ticks(&self, whole: bool) -> Ticks {
        let upright = self.to < self.from;
        let most = (self.length() / if upright { 30.0 } else { 36.0 }).round().clamp(2.0, 8.0);
        let mut best = Ticks::default();
        // A target is a wish: rounding the step may give fewer ticks, so wishes begin at twice as many.
        for target in (1..=2 * most as usize).rev() {
            let candidate = ticks(self.range.low, self.range.high, target, whole);
            let candidate = self.visible(candidate, upright);
            let found = candidate.marks.len();
            if found <= most as usize + 1
                && found > best.marks.len()
                && self.apart(&candidate, upright)
            {
                best = candidate;
            }
            if best.marks.len() >= 2 {
                break;
            }
        }
        best
    }

    /// Ticks at days of the calendar and hours of the clock, as many as stand apart from each other; numbers where dates say nothing.
    fn of_dates(&self, clock: Clock) -> Ticks {
        let upright = self.to < self.from;
        let candidates = dated(self.range.low, self.range.high, clock);
        let mut candidates = candidates.map(|ticks| self.visible(ticks, upright));
        let is_good = |ticks: &Ticks| !ticks.marks.is_empty() && self.apart(ticks, upright);
        candidates.find(is_good).unwrap_or_else(|| self.ticks(clock == Clock::Days))
    }

    /// Ticks at levels, with their names as far as there is room, at every second or third level and so on where there are many.
    fn of_levels(&self, names: &[String]) -> Ticks {
        const HIGH: f64 = 12.0;
        const WIDE: f64 = 30.0;
        const WIDEST: f64 = 72.0;
        let upright = self.to < self.from;
        let apart = self.length() / self.range.span();
        let most = (if upright { HIGH } else { WIDE } / apart).ceil().max(1.0);
        let most = (most as usize).min(names.len().max(1));
        let room = |every: usize| if upright { WIDEST } else { every as f64 * apart - 6.0 };
        let is_whole = |every: &usize| {
            let mut shown = names.iter().step_by(*every);
            shown.all(|name| text_width(name, TICK_SIZE, Weight::Regular) <= room(*every))
        };
        let every = if upright { most } else { (1..most).find(is_whole).unwrap_or(most) };
        let shown: Vec<&String> = names.iter().step_by(every).collect();
        // What all names begin with tells none from another.
        let shared = if is_whole(&every) { 0 } else { shared_beginning(&shown) };
        let label = |name: &String| match shared {
            0 => fit(name, room(every), TICK_SIZE, Weight::Regular),
            _ => {
                let rest: String = name.chars().skip(shared).collect();
                fit(&format!("…{rest}"), room(every), TICK_SIZE, Weight::Regular)
            }
        };
        let all = shown.iter().enumerate().map(|(i, name)| ((i * every) as f64, label(name)));
        let marks = all.filter(|(level, _)| self.range.contains(*level)).collect();
        Ticks { marks, suffix: String::new() }
    }

    /// Without the ticks whose labels would stick out into a neighbour.
    fn visible(&self, mut ticks: Ticks, upright: bool) -> Ticks {
        let (low, high) =
            (self.from.min(self.to) - self.overhang, self.from.max(self.to) + self.overhang);
        ticks.marks.retain(|(value, label)| {
            let half = label_extent(label, upright) / 2.0;
            let at = self.place(*value);
            at - half >= low && at + half <= high
        });
        ticks
    }

    fn apart(&self, ticks: &Ticks, upright: bool) -> bool {
        ticks.marks.windows(2).all(|pair| {
            let gap = (self.place(pair[1].0) - self.place(pair[0].0)).abs();
            let extents = pair.iter().map(|m| label_extent(&m.1, upright)).sum::<f64>() / 2.0;
            gap >= extents + if upright { 6.0 } else { 11.0 }
        })
    }
}

/// How many characters all names begin with alike, if these are worth leaving out.
fn shared_beginning(names: &[&String]) -> usize {
    const WORTH: usize = 3;
    let (Some(first), true) = (names.first(), names.len() > 1) else { return 0 };
    let common = |name: &&String| {
        let pairs = first.chars().zip(name.chars());
        pairs.take_while(|(a, b)| a == b).count()
    };
    let shared = names.iter().skip(1).map(common).min().unwrap_or(0);
    // Not within a word if there are several, and not within a number.
    let begun: Vec<char> = first.chars().take(shared).collect();
    let end = match begun.iter().rposition(|c| !c.is_alphanumeric()) {
        Some(last) => last + 1,
        None => begun.iter().rposition(|c| !c.is_numeric()).map_or(0, |last| last + 1),
    };
    if end >= WORTH { end } else { 0 }
}

fn label_extent(label: &str, upright: bool) -> f64 {
    if upright { TICK_SIZE } else { text_width(label, TICK_SIZE, Weight::Regular) }
}

/// The nearest place where a line of one unit covers whole pixels at both scales.
pub(crate) fn crisp(place: f64) -> f64 {
    place.floor() + 0.5
}

/// Light lines behind the marks of a panel.
pub(crate) fn draw_grid(
    scene: &mut Scene,
    frame: &Frame,
    x: Option<&AxisTicks>,
    y: Option<&AxisTicks>,
) {
    let mut lines = Vec::new();
    for (at, _) in x.into_iter().flat_map(AxisTicks::places) {
        lines.push(vec![[crisp(at), frame.top], [crisp(at), frame.bottom()]]);
    }
    for (at, _) in y.into_iter().flat_map(AxisTicks::places) {
        lines.push(vec![[frame.left, crisp(at)], [frame.right(), crisp(at)]]);
    }
    scene.lines(lines, 1.0, GRID);
}

/// An axis with the ticks chosen for it.
#[derive(Clone, Debug)]
pub(crate) struct AxisTicks {
    pub(crate) axis: Axis,
    pub(crate) ticks: Ticks,
}

impl AxisTicks {
    pub(crate) fn new(axis: Axis, whole: bool) -> Self {
        Self { axis, ticks: axis.ticks(whole) }
    }

    /// The ticks of a column: names of its levels, or numbers.
    pub(crate) fn of(axis: Axis, column: &Column) -> Self {
        match (column.levels.as_slice(), column.clock) {
            ([], None) => Self::new(axis, column.is_whole()),
            ([], Some(clock)) => Self { axis, ticks: axis.of_dates(clock) },
            (levels, _) => Self { axis, ticks: axis.of_levels(levels) },
        }
    }

    fn places(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.marks.iter().map(|(value, label)| (self.axis.place(*value), label.as_str()))
    }

    /// Width of the widest label.
    pub(crate) fn label_width(&self) -> f64 {
        let widths = self.ticks.marks.iter().map(|m| text_width(&m.1, TICK_SIZE, Weight::Regular));
        widths.fold(0.0, f64::max)
    }

    /// A name with what the labels leave unsaid, such as `income, ×10⁵`, cut to a width.
    pub(crate) fn named(&self, name: &str, width: f64, size: f64, weight: Weight) -> String {
        if self.ticks.suffix.is_empty() {
            return crate::font::fit(name, width, size, weight);
        }
        let suffix = format!(", {}", self.ticks.suffix);
        let room = width - text_width(&suffix, size, weight);
        format!("{}{suffix}", crate::font::fit(name, room, size, weight))
    }
}

/// The line, ticks and (unless they are shown elsewhere) labels below a panel.
pub(crate) fn draw_bottom(scene: &mut Scene, frame: &Frame, x: &AxisTicks, labels: bool) {
    let base = crisp(frame.bottom());
    let mut lines = vec![vec![[frame.left, base], [frame.right(), base]]];
    let style = TextStyle::new(TICK_SIZE, MUTED).anchored(Anchor::Middle);
    for (at, label) in x.places() {
        lines.push(vec![[crisp(at), base], [crisp(at), base + TICK_LENGTH]]);
        if labels {
            scene.text([at, base + TICK_LENGTH + 2.0 + TICK_SIZE * 0.85], label, style);
        }
    }
    scene.lines(lines, 1.0, AXIS);
}

/// The line, ticks and (unless they are shown elsewhere) labels left of a panel.
pub(crate) fn draw_left(scene: &mut Scene, frame: &Frame, y: &AxisTicks, labels: bool) {
    let base = crisp(frame.left);
    let mut lines = vec![vec![[base, frame.top], [base, crisp(frame.bottom())]]];
    let style = TextStyle::new(TICK_SIZE, MUTED).anchored(Anchor::End);
    for (at, label) in y.places() {
        lines.push(vec![[base, crisp(at)], [base - TICK_LENGTH, crisp(at)]]);
        if labels {
            scene.text([base - TICK_LENGTH - 3.0, at + 0.36 * TICK_SIZE], label, style);
        }
    }
    scene.lines(lines, 1.0, AXIS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(values: &[f64]) -> Finite {
        Finite::of(values.iter().copied())
    }

    #[test]
    fn constants_get_room() {
        for value in [0.0, 5.0, -1e30, 1e-30, 1e300, f64::MAX, f64::MIN_POSITIVE] {
            let range = Range::of(&finite(&[value; 3]), &finite(&[]));
            assert!(range.span() > 0.0 && range.span().is_finite(), "{value}: {range:?}");
        }
    }

    #[test]
    fn the_whole_range_of_f64_does_not_overflow() {
        let range = Range::of(&finite(&[f64::MIN, f64::MAX]), &finite(&[0.0])).padded(0.05);
        let axis = Axis { range, from: 0.0, to: 100.0, overhang: 0.0 };
        assert!(axis.place(f64::MAX).is_finite() && axis.place(0.0) == 50.0);
    }

    #[test]
    fn a_few_far_values_do_not_squeeze_the_rest() {
        let mut values: Vec<f64> = (0..10_000).map(|i| f64::from(i) / 10_000.0).collect();
        values.push(1e12);
        let range = Range::of(&finite(&values), &finite(&[-1e9; 50]));
        assert!(range.high < 1.1 && range.low > -1.1, "{range:?}");
    }

    #[test]
    fn names_of_levels_are_told_apart() {
        let of = |names: &[&str], length: f64| {
            let range = Range::new(-0.5, names.len() as f64 - 0.5);
            let axis = Axis { range, from: 0.0, to: length, overhang: 6.0 };
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let marks = axis.of_levels(&names).marks;
            marks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        // Short names all have room where long ones have not.
        assert_eq!(of(&["D", "E", "F", "G", "H", "I", "J"], 196.0).len(), 7);
        assert_eq!(of(&["shop 001", "shop 002", "shop 003"], 90.0), ["…001", "…002", "…003"]);
        assert_eq!(of(&["Ideal", "Premium"], 60.0)[1].chars().last(), Some('…'));
    }

    #[test]
    fn tick_labels_stay_apart_at_every_size() {
        for length in 30..400 {
            let axis = Axis {
                range: Range::new(-12_345.6, 9_876.5),
                from: 0.0,
                to: f64::from(length),
                overhang: 6.0,
            };
            let ticks = axis.ticks(false);
            assert!(axis.apart(&ticks, false));
            assert!(length < 110 || ticks.marks.len() >= 2, "{length}: {ticks:?}");
        }
    }
}
