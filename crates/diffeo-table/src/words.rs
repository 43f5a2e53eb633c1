//! Levels that a model does not know, kept so that they can be written as they were given.

use std::collections::HashMap;

use diffeo::{Column, ColumnKind, Result, Rows};

use crate::assemble::OTHER;
use crate::chunk::Chunk;

/// The columns of a model, with all levels that were met in tables behind those that it knows.
///
/// A model takes every level that is not in its list for the same one. What was given for such a cell comes back if the cell is written under the columns of here.
#[derive(Clone, Debug)]
pub struct Words {
    columns: Vec<Column>,
    /// The levels of each column that the model knows,
    known: Vec<usize>,
    /// and the places of the others.
    places: Vec<HashMap<String, usize>>,
}

impl Words {
    /// Of some columns, with no more levels than they have.
    pub fn new(columns: &[Column]) -> Self {
        let extended = |column: &Column| {
            let mut column = column.clone();
            if column.kind == ColumnKind::Category {
                // What draws have beyond the list.
                column.levels.push(OTHER.to_owned());
            }
            column
        };
        Self {
            columns: columns.iter().map(extended).collect(),
            known: columns.iter().map(|column| column.levels.len()).collect(),
            places: vec![HashMap::new(); columns.len()],
        }
    }

    /// The columns, under which rows of [`Words::rows`] and of the model are written.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows of a chunk under those of the columns that it has, the others NaN, where a level that the model does not know has a number of its own.
    ///
    /// # Errors
    /// As [`Chunk::rows_for`].
    pub fn rows(&mut self, chunk: &Chunk, has: &[bool]) -> Result<Rows> {
        let width = self.columns.len();
        let mut values = vec![f64::NAN; chunk.rows() * width];
        for j in (0..width).filter(|j| has[*j]) {
            let column = &self.columns[j];
            let known =
                Column { levels: column.levels[..self.known[j]].to_vec(), ..column.clone() };
            let found = chunk.rows_for(std::slice::from_ref(&known))?.into_values();
            let beyond = self.known[j] as f64;
            let is_unknown = |x: &f64| known.kind == ColumnKind::Category && *x >= beyond;
            let words = match found.iter().any(is_unknown) {
                true => chunk.levels_of(&known)?,
                false => Vec::new(),
            };
            for (i, x) in found.into_iter().enumerate() {
                values[i * width + j] = match words.get(i) {
                    Some(Some(word)) if is_unknown(&x) => self.place(j, word) as f64,
                    _ => x,
                };
            }
        }
        Rows::new(values, width)
    }

    /// The same rows as a model of the columns takes them.
    pub fn known(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        let width = self.columns.len().max(1);
        for row in rows.values_mut().chunks_exact_mut(width) {
            for ((x, column), known) in row.iter_mut().zip(&self.columns).zip(&self.known) {
                if column.kind == ColumnKind::Category {
                    // NaN stays.
                    *x = if *x > *known as f64 { *known as f64 } else { *x };
                }
            }
        }
        rows
    }

    /// Puts what was given into the place of what the model made of it.
    pub fn restore(&self, given: &Rows, drawn: &mut Rows) {
        for i in 0..given.len() {
            let cells = drawn.row_mut(i).iter_mut().zip(given.row(i)).zip(&self.known);
            let of_words = cells.zip(&self.columns).filter(|(_, c)| c.kind == ColumnKind::Category);
            for (((to, from), known), _) in of_words {
                if *from > *known as f64 {
                    *to = *from;
                }
            }
        }
    }

    fn place(&mut self, j: usize, word: &str) -> usize {
        let levels = &mut self.columns[j].levels;
        *self.places[j].entry(word.to_owned()).or_insert_with(|| {
            levels.push(word.to_owned());
            levels.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::options::{Input, ReadOptions};
    use crate::{Missing, Reader};

    #[test]
    fn words_that_a_model_does_not_know_come_back_as_they_were() {
        let mut file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        file.write_all(b"tree,x\nelm,1\nash,2\n,3\nfir,4\nash,5\n").unwrap();
        let columns = [
            Column { holes: true, ..Column::category("tree", ["elm", "oak"]) },
            Column::real("x"),
            Column::real("y"),
        ];
        let options = ReadOptions { missing: Missing::Model, ..ReadOptions::default() };
        let mut reader = Reader::open(&Input::from_arg(file.path()), &options).unwrap();
        reader.select_columns(&columns[..2]).unwrap();
        let chunk = reader.next_chunk().unwrap().unwrap();
        let mut words = Words::new(&columns);
        let given = words.rows(&chunk, &[true, true, false]).unwrap();
        assert_eq!(words.columns()[0].levels, ["elm", "oak", "other", "ash", "fir"]);
        let of_model = words.known(&given);
        let trees = |rows: &Rows| rows.column(0).iter().map(|x| format!("{x}")).collect::<Vec<_>>();
        assert_eq!(trees(&given), ["0", "3", "NaN", "4", "3"]);
        assert_eq!(trees(&of_model), ["0", "2", "NaN", "2", "2"]);
        assert!(given.column(2).iter().all(|y| y.is_nan()));
        let mut drawn = of_model.clone();
        drawn.values_mut().iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 1.0);
        words.restore(&given, &mut drawn);
        assert_eq!(trees(&drawn), ["0", "3", "1", "4", "3"]);
        let cells = Chunk::from_columns(words.columns(), &drawn, &[]).unwrap();
        let texts = cells.levels_of(&columns[0]).unwrap();
        let texts: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        assert_eq!(texts, ["elm", "ash", "oak", "fir", "ash"]);
    }
}
