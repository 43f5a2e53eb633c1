//! What the cells of a column are, where nobody has said: found while they are read, the same in any cut into chunks.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;
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
        if self.state == State::Empty && is_of_categories(array.data_type()) {
            (self.state, self.all_text) = (State::Text, true);
        }
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
        each_level(array, (allowed, &|_| false), |level| match level {
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
            // Many programs have no dates but those with a time, midnight.
            State::Times if !values.iter().all(|x| x.is_nan() || x % DAY == 0.0) => Content::Times,
            State::Dates | State::Times => {
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

/// Whether a column is of categories by its type: a dictionary of numbers or texts.
fn is_of_categories(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string() || value.is_numeric(),
        _ => false,
    }
}

/// Gives places the numbers of where they were moved to; those that are nowhere become `beyond`.
fn recode(values: &mut [f64], moved: &[usize], beyond: usize, number: impl Fn(usize) -> usize) {
    for value in values.iter_mut().filter(|value| !value.is_nan()) {
        *value = moved.get(*value as usize).map_or(beyond, |to| number(*to)) as f64;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::{Int8Type, Int32Type};
    use arrow_array::{
        BooleanArray, DictionaryArray, Float64Array, LargeStringArray, TimestampSecondArray,
    };
    use arrow_schema::Field;

    use super::*;
    use crate::chunk::{Chunk, batch_of};
    use crate::options::{Input, MemoryLimit, Output, ReadOptions};
    use crate::{Writer, read_table};

    /// What cells are that come in parts, and their numbers.
    fn found(parts: &[ArrayRef]) -> Result<(Content, Vec<f64>), Fault> {
        let (mut finder, mut values) = (Finder::default(), Vec::new());
        for part in parts {
            values.extend(finder.code(part, &Allowed::any())?.values);
        }
        let content = finder.finish(&mut values);
        Ok((content, values))
    }

    fn text(cells: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(cells.to_vec()))
    }

    #[test]
    fn text_of_any_layout_is_levels() {
        let cells = ["b", "a", "b"];
        let coded: DictionaryArray<Int32Type> = cells.into_iter().collect();
        let arrays: [ArrayRef; 3] =
            [text(&cells), Arc::new(LargeStringArray::from(cells.to_vec())), Arc::new(coded)];
        let levels = vec![("b".to_owned(), 2), ("a".to_owned(), 1)];
        for array in arrays {
            let (content, values) = found(&[array]).unwrap();
            assert_eq!(content, Content::Levels { levels: levels.clone(), other: 0 });
            assert_eq!(values, [0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn categories_that_another_program_stored_with_a_dictionary_are_read() {
        let coded: DictionaryArray<Int8Type> =
            vec![Some("oak"), None, Some("elm"), Some("oak")].into_iter().collect();
        let fields = vec![Field::new("c", coded.data_type().clone(), true)];
        let batch = batch_of(fields, vec![Arc::new(coded)], 4).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["c.parquet", "c.arrow"] {
            let path = folder.path().join(name);
            let mut writer = Writer::create(&Output::Path(path.clone()), None, false).unwrap();
            writer.write(&Chunk::of_cells(batch.clone(), vec![None])).unwrap();
            writer.finish().unwrap();
            let options = ReadOptions {
                missing: crate::Missing::Drop,
                chunk_rows: 2,
                ..ReadOptions::default()
            };
            let limit = MemoryLimit::unlimited();
            let table = read_table(&Input::Path(path), None, &options, limit).unwrap();
            assert_eq!(table.rows.values(), [0.0, 1.0, 0.0], "{name}");
        }
    }

    #[test]
    fn words_become_levels_where_another_text_follows_in_any_cut() {
        let cells = ["yes", "", "no", "yes", "maybe", "no", "yes"];
        let whole = found(&[text(&cells)]).unwrap();
        let levels = [("yes", 3), ("no", 2), ("maybe", 1)].map(|(l, n)| (l.to_owned(), n)).to_vec();
        assert_eq!(whole.0, Content::Levels { levels, other: 0 });
        for cut in 1..cells.len() {
            let (content, values) = found(&[text(&cells[..cut]), text(&cells[cut..])]).unwrap();
            assert_eq!(content, whole.0);
            let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
            assert!(values.iter().zip(&whole.1).all(same), "{cut} {values:?}");
        }
    }

    #[test]
    fn too_many_levels_are_counted_as_other() {
        let many = Column::LEVELS_MAX;
        let cells: Vec<String> = (0..many + 5).map(|i| format!("{i}k")).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let (content, values) = found(&[text(&cells[..many]), text(&cells[many..])]).unwrap();
        let Content::Levels { levels, other } = content else { panic!("{content:?}") };
        assert_eq!((levels.len(), other), (many, 5));
        assert!(values[many..].iter().all(|x| *x == many as f64));
    }

    #[test]
    fn types_say_what_cells_are() {
        let plain = ["false", "true"].map(str::to_owned);
        let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
        let expected = (Content::Truths { words: plain }, vec![1.0, 0.0, 1.0]);
        assert_eq!(found(&[truths]).unwrap(), expected);
        let stamps: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0, 90_000]));
        assert_eq!(found(&[stamps]).unwrap(), (Content::Times, vec![0.0, 90_000.0]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        let expected = (Content::Numbers { stored_whole: false }, vec![0.5]);
        assert_eq!(found(&[floats]).unwrap(), expected);
        // A day beside a time is its midnight; days alone are days.
        let days = text(&["1970-01-02", "1970-01-03"]);
        assert_eq!(found(std::slice::from_ref(&days)).unwrap(), (Content::Dates, vec![1.0, 2.0]));
        let both = found(&[days, text(&["1970-01-01 00:00:01"])]).unwrap();
        assert_eq!(both, (Content::Times, vec![86_400.0, 172_800.0, 1.0]));
    }

    #[test]
    fn cells_of_another_kind_are_named() {
        for (cells, row) in [
            (["1", "x"], 1),
            (["x", "1"], 1),
            (["yes", "1"], 1),
            (["yes", "true"], 1),
            (["x", "2024-01-01"], 1),
            (["2024-01-01", "x"], 1),
            (["", "1;2"], 1),
        ] {
            for parts in [vec![text(&cells)], vec![text(&cells[..1]), text(&cells[1..])]] {
                let cut = parts.len() - 1;
                match found(&parts) {
                    Err(Fault::Cell { row: found, .. }) => {
                        assert_eq!(found, row - cut, "{cells:?}")
                    }
                    other => panic!("{cells:?} {other:?}"),
                }
            }
        }
    }
}
