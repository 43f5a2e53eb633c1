//! What the cells of a column are, where nobody has said: found while they are read, the same in any cut into chunks.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::DataType;
use diffeo::{Column, quoted};

use crate::coding::{each_level, each_stamp, text_of};
use crate::dates::{self, DAY, Stamp};
use crate::number::{Cell, Words, looks_like_a_number, parse};
use crate::numbers::{Allowed, Fault, Parsed, not_the_same_words, parse_column};

/// What the cells of a column are. In a table's rows they are numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Numbers as they are.
    Numbers {
        /// Whether the file stores them as whole numbers; never for text.
        stored_whole: bool,
    },
    /// Truth values, 0 and 1, and the words for false and true as the file has them.
    Truths {
        /// The words.
        words: [String; 2],
    },
    /// Text: the places of the levels, or their number for a level beyond those that are kept.
    Levels {
        /// The levels and how often they occur, the most frequent first and equally frequent ones by their text.
        levels: Vec<(String, u64)>,
        /// How many cells have none of them.
        other: u64,
    },
    /// Days since 1970-01-01.
    Dates,
    /// Seconds since 1970-01-01T00:00Z.
    Times,
}

/// Reads the cells of a column and finds out what they are.
#[derive(Default)]
pub(crate) struct Finder {
    state: State,
    /// Whether all cells are to be text, numbers too.
    all_text: bool,
    /// The first text, for messages.
    first: String,
    levels: Levels,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    /// No cell had a value so far.
    #[default]
    Empty,
    Numbers {
        stored_whole: bool,
    },
    /// Words for true and false alone so far: levels until the end.
    Truths(Words),
    Text,
    /// Seconds until the end.
    Dates,
    Times,
}

/// Levels in the order in which they were met.
#[derive(Default)]
struct Levels {
    places: HashMap<String, usize>,
}

impl Levels {
    /// The place of a level; one beyond all places for those that are too many.
    fn place(&mut self, level: &str) -> f64 {
        let met = self.places.len();
        let place = match self.places.get(level) {
            Some(place) => *place,
            None if met < Column::LEVELS_MAX => *self.places.entry(level.to_owned()).or_insert(met),
            None => Column::LEVELS_MAX,
        };
        place as f64
    }

    /// The levels by frequency, and where each place has gone; `values` are places.
    fn sorted(self, values: &[f64]) -> (Vec<(String, u64)>, Vec<usize>) {
        let mut counts = vec![0; self.places.len()];
        for value in values.iter().filter(|value| !value.is_nan()) {
            if let Some(count) = counts.get_mut(*value as usize) {
                *count += 1;
            }
        }
        let mut levels: Vec<(String, usize)> = self.places.into_iter().collect();
        // A row that was left out may have had the only cell of a level.
        levels.retain(|(_, place)| counts[*place] > 0);
        levels.sort_by(|a, b| counts[b.1].cmp(&counts[a.1]).then_with(|| a.0.cmp(&b.0)));
        let mut moved = vec![levels.len(); counts.len()];
        levels.iter().enumerate().for_each(|(to, (_, from))| moved[*from] = to);
        (levels.into_iter().map(|(level, place)| (level, counts[place])).collect(), moved)
    }
}

impl Finder {
    /// For a column in which numbers are levels, too.
    pub(crate) fn of_text() -> Self {
        Self { state: State::Text, all_text: true, ..Self::default() }
    }

    /// The numbers of some cells, as far as they are known: [`Finder::finish`] makes them final.
    pub(crate) fn code(&mut self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        if self.all_text {
            return self.code_levels(array, allowed);
        }
        let Some(cells) = text_of(array)? else { return self.code_typed(array, allowed) };
        if self.state == State::Empty {
            self.state = self.start(&cells, allowed);
        }
        match self.state {
            State::Empty | State::Numbers { .. } => {
                let parsed = parse_column(array, allowed)?;
                if parsed.words.is_none() {
                    return Ok(parsed);
                }
                let row = parsed.missing.iter().zip(0..).take_while(|(at, row)| *at == row).count();
                Err(Fault::Cell { row, reason: not_the_same_words(cells.value(row)) })
            }
            State::Truths(_) | State::Text => self.code_text(&cells, allowed),
            State::Dates | State::Times => self.code_stamps(array, allowed),
        }
    }

    /// What the first value of a text column says.
    fn start(&mut self, cells: &StringArray, allowed: &Allowed) -> State {
        let is_value = |text: &&str| !allowed.is_mark(text) && parse(text) != Cell::Missing;
        let Some(text) = cells.iter().flatten().map(str::trim).find(is_value) else {
            return State::Empty;
        };
        text.clone_into(&mut self.first);
        match (parse(text), dates::parse(text)) {
            (_, Some(_)) => State::Dates,
            (Cell::Truth(words, _), _) => State::Truths(words),
            (Cell::Text, _) if !looks_like_a_number(text) => State::Text,
            _ => State::Numbers { stored_whole: false },
        }
    }

    fn code_typed(&mut self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        let data_type = match array.data_type() {
            DataType::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        match data_type {
            DataType::Boolean => {
                self.state = State::Truths(Words::PLAIN);
                self.code_levels(array, allowed)
            }
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
                if self.state == State::Empty {
                    self.state = State::Dates;
                }
                self.code_stamps(array, allowed)
            }
            other => {
                self.state = State::Numbers { stored_whole: other.is_integer() };
                parse_column(array, allowed)
            }
        }
    }

    fn code_levels(&mut self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        let (mut parsed, levels) = (Parsed::default(), &mut self.levels);
        each_level(array, allowed, |level| match level {
            Some(level) => parsed.values.push(levels.place(level)),
            None => parsed.push_missing(),
        })?;
        Ok(parsed)
    }

    fn code_text(&mut self, cells: &StringArray, allowed: &Allowed) -> Result<Parsed, Fault> {
        let mut parsed = Parsed::default();
        for (row, cell) in cells.iter().enumerate() {
            let text = cell.unwrap_or("").trim();
            let found = if allowed.is_mark(text) { Cell::Missing } else { parse(text) };
            let fault = |reason| Err(Fault::Cell { row, reason });
            match (found, self.state) {
                (Cell::Missing, _) => {
                    parsed.push_missing();
                    continue;
                }
                (Cell::Truth(words, _), State::Truths(before)) if words != before => {
                    return fault(not_the_same_words(text));
                }
                (Cell::Truth(..), _) => {}
                (Cell::Text, _) if dates::parse(text).is_none() => self.state = State::Text,
                (_, State::Truths(_)) => return fault(not_the_same_words(text)),
                _ => return fault(self.not_text(text)),
            }
            parsed.values.push(self.levels.place(text));
        }
        Ok(parsed)
    }

    fn not_text(&self, cell: &str) -> String {
        format!(
            "{} stands in a column that begins with the text {}; mark missing values as empty, NA or ? (see --missing-as), or see all \
             cells as text with --columns 'NAME=category'",
            quoted(cell),
            quoted(&self.first)
        )
    }

    fn code_stamps(&mut self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        let (mut parsed, mut state) = (Parsed::default(), self.state);
        each_stamp(array, allowed, |_, stamp| {
            if let Some(Stamp::Second(_)) = stamp {
                state = State::Times;
            }
            match stamp {
                Some(stamp) => parsed.values.push(stamp.seconds()),
                None => parsed.push_missing(),
            }
            Ok(())
        })?;
        self.state = state;
        Ok(parsed)
    }

    /// Whether its cells are numbers.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.state, State::Empty | State::Numbers { .. })
    }

    /// What the column is, and the final form of its numbers.
    pub(crate) fn finish(self, values: &mut [f64]) -> Content {
        match self.state {
            State::Empty => Content::Numbers { stored_whole: false },
            State::Numbers { stored_whole } => Content::Numbers { stored_whole },
            State::Times => Content::Times,
            State::Dates => {
                values.iter_mut().for_each(|x| *x /= DAY);
                Content::Dates
            }
            State::Truths(words) => {
                let (levels, moved) = self.levels.sorted(values);
                let mut written = words.0.map(str::to_owned);
                let side = |level: &str| usize::from(level.eq_ignore_ascii_case(words.0[1]));
                // The most frequent spelling comes first.
                for (level, _) in levels.iter().rev() {
                    level.clone_into(&mut written[side(level)]);
                }
                recode(values, &moved, levels.len(), |place| side(&levels[place].0));
                Content::Truths { words: written }
            }
            State::Text => {
                let (levels, moved) = self.levels.sorted(values);
                let count = levels.len();
                recode(values, &moved, count, |place| place);
                let other = values.iter().filter(|x| **x >= count as f64).count() as u64;
                Content::Levels { levels, other }
            }
        }
    }
}

/// Gives places the numbers of where they were moved to; those that are nowhere become `beyond`.
fn recode(values: &mut [f64], moved: &[usize], beyond: usize, number: impl Fn(usize) -> usize) {
    for value in values.iter_mut().filter(|value| !value.is_nan()) {
        *value = moved.get(*value as usize).map_or(beyond, |to| number(*to)) as f64;
    }
}
