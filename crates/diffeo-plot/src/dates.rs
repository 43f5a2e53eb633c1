//! Ticks of dates and times: at days of the calendar and hours of the clock.

use crate::ticks::Ticks;

/// What the numbers of a column of dates count from 1970-01-01 on, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Days.
    Days,
    /// Seconds.
    Seconds,
}

const DAY: f64 = 86_400.0;
/// More ticks than this are never wanted.
const MOST: f64 = 100.0;
/// Years that have four digits: beyond, numbers say more.
const YEARS: [i64; 2] = [1, 9999];

/// The distance between ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Seconds(f64),
    Months(i64),
}

/// The finest first.
const STEPS: [Step; 31] = [
    Step::Seconds(1.0),
    Step::Seconds(5.0),
    Step::Seconds(15.0),
    Step::Seconds(30.0),
    Step::Seconds(60.0),
    Step::Seconds(300.0),
    Step::Seconds(900.0),
    Step::Seconds(1800.0),
    Step::Seconds(3600.0),
    Step::Seconds(3.0 * 3600.0),
    Step::Seconds(6.0 * 3600.0),
    Step::Seconds(12.0 * 3600.0),
    Step::Seconds(DAY),
    Step::Seconds(2.0 * DAY),
    Step::Seconds(7.0 * DAY),
    Step::Seconds(14.0 * DAY),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
    Step::Months(240),
    Step::Months(600),
    Step::Months(1200),
    Step::Months(2400),
    Step::Months(6000),
    Step::Months(12_000),
    Step::Months(24_000),
];

/// A day of the calendar (Gregorian, before 1582 too).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// Of days since 1970-01-01 (Hinnant. *chrono-compatible low-level date algorithms*, 2013).
    fn of(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096).div_euclid(365);
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// Days since 1970-01-01.
    fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (self.month + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }
}

/// Ticks between two values, from the finest distance between them to the widest; none for years that are not written with four digits.
pub(crate) fn dated(low: f64, high: f64, clock: Clock) -> impl Iterator<Item = Ticks> {
    let unit = if clock == Clock::Days { DAY } else { 1.0 };
    let (low, high) = (low * unit, high * unit);
    let is_dated = [low, high].iter().all(|seconds| {
        let days = seconds / DAY;
        days.abs() < 1e7 && (YEARS[0]..=YEARS[1]).contains(&Date::of(days.floor() as i64).year)
    });
    let steps = STEPS.into_iter().filter(move |step| match step {
        Step::Seconds(step) => {
            is_dated && (*step >= DAY || clock == Clock::Seconds) && (high - low) / step <= MOST
        }
        Step::Months(step) => is_dated && (high - low) / (*step as f64 * 28.0 * DAY) <= MOST,
    });
    steps.map(move |step| match step {
        Step::Seconds(step) => at_seconds(low, high, step, unit),
        Step::Months(step) => at_months(low, high, step, unit),
    })
}

fn at_seconds(low: f64, high: f64, step: f64, unit: f64) -> Ticks {
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let date = |seconds: f64| Date::of((seconds / DAY).floor() as i64);
    let (from, to) = (date(low), date(high));
    let day = |Date { year, month, day }: Date| match from.year == to.year {
        true => format!("{month:02}-{day:02}"),
        false => format!("{year}-{month:02}-{day:02}"),
    };
    let label = |seconds: f64| {
        let clock = seconds.rem_euclid(DAY) as i64;
        match (step >= DAY || clock == 0 && from != to, step < 60.0) {
            (true, _) => day(date(seconds)),
            (_, false) => format!("{:02}:{:02}", clock / 3600, clock / 60 % 60),
            (_, true) => format!("{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60),
        }
    };
    let suffix = match (from == to, from.year == to.year) {
        (true, _) => format!("{}-{:02}-{:02}", from.year, from.month, from.day),
        (_, true) => from.year.to_string(),
        _ => String::new(),
    };
    let marks = (first..=last).map(|k| k as f64 * step);
    Ticks { marks: marks.map(|seconds| (seconds / unit, label(seconds))).collect(), suffix }
}

fn at_months(low: f64, high: f64, step: i64, unit: f64) -> Ticks {
    let month = |seconds: f64| {
        let date = Date::of((seconds / DAY).floor() as i64);
        12 * date.year + date.month - 1
    };
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut marks = Vec::new();
    let (mut at, last) = (month(low).div_euclid(step) * step, month(high));
    let is_one_year = at.div_euclid(12) == last.div_euclid(12);
    while at <= last {
        let date = Date { year: at.div_euclid(12), month: at.rem_euclid(12) + 1, day: 1 };
        let seconds = date.days() as f64 * DAY;
        if seconds >= low && seconds <= high {
            let label = match (step % 12 == 0, is_one_year) {
                (true, _) => date.year.to_string(),
                (_, true) => NAMES[date.month as usize - 1].to_owned(),
                _ => format!("{}-{:02}", date.year, date.month),
            };
            marks.push((seconds / unit, label));
        }
        at += step;
    }
    let names_months = is_one_year && step % 12 != 0;
    let suffix = if names_months { last.div_euclid(12).to_string() } else { String::new() };
    Ticks { marks, suffix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, clock: Clock, most: usize) -> (Vec<String>, String) {
        let ticks = dated(low, high, clock).find(|ticks| ticks.marks.len() <= most).unwrap();
        (ticks.marks.into_iter().map(|(_, label)| label).collect(), ticks.suffix)
    }

    #[test]
    fn days_are_days_of_the_calendar() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (-1, 1969, 12, 31),
            (11_016, 2000, 2, 29),
            (19_753, 2024, 1, 31),
            (-719_162, 1, 1, 1),
            (2_932_896, 9999, 12, 31),
        ] {
            let date = Date { year, month, day };
            assert_eq!((Date::of(days), date.days()), (date, days));
        }
        assert!((-800_000..3_000_000).step_by(97).all(|days| Date::of(days).days() == days));
    }

    #[test]
    fn ticks_are_where_people_look_for_them() {
        let of = |low: f64, high: f64, clock| labels(low, high, clock, 5);
        let list = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(
            of(18_000.0, 19_500.0, Clock::Days),
            (list("2020 2021 2022 2023"), String::new())
        );
        assert_eq!(
            of(18_020.0, 18_300.0, Clock::Days),
            (list("2019-07 2019-09 2019-11 2020-01"), String::new())
        );
        let (months, year) = of(18_020.0, 18_200.0, Clock::Days);
        assert_eq!((months, year.as_str()), (list("Jun Jul Aug Sep Oct"), "2019"));
        let (week, year) = of(18_600.0, 18_606.0, Clock::Days);
        assert_eq!((week, year.as_str()), (list("12-04 12-06 12-08 12-10"), "2020"));
        // Half a day of one date, and one with a midnight in it.
        let noon = 1_706_702_400.0;
        let (hours, day) = of(noon, noon + 3.0 * 3600.0, Clock::Seconds);
        assert_eq!((hours, day.as_str()), (list("12:00 13:00 14:00 15:00"), "2024-01-31"));
        let (hours, _) = of(noon, noon + 24.0 * 3600.0, Clock::Seconds);
        assert_eq!(hours, list("12:00 18:00 02-01 06:00 12:00"));
        assert_eq!(dated(0.0, 1e9, Clock::Days).count(), 0, "no year of four digits");
        assert!(dated(5.0, 5.2, Clock::Days).all(|ticks| ticks.marks.len() <= 1));
    }
}
