//! What a reader met on its way: counts and warnings, so that nothing is repaired in silence.

/// What was read, left out and noticed. Grows while a [`crate::Reader`] runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadReport {
    /// Rows read from the file.
    pub rows_read: u64,
    /// Rows left out because a needed column had no value there.
    pub rows_dropped: u64,
    /// Missing values for each needed column that has some.
    pub missing: Vec<(String, u64)>,
    /// Cells such as `1e-400` that are not zero but became zero.
    pub underflows: u64,
    /// Integers beyond 2^53, which lose their last digits as `f64`.
    pub inexact_integers: u64,
    /// Remarks about how the file was understood, one line each.
    pub notes: Vec<String>,
}

impl ReadReport {
    /// Rows given to the caller.
    pub fn rows_kept(&self) -> u64 {
        self.rows_read.saturating_sub(self.rows_dropped)
    }

    /// One line for each thing that a user should know, none if all went as expected.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = self.notes.clone();
        if self.rows_dropped > 0 {
            lines.push(format!(
                "{} of {} rows were left out, they have missing values: {}",
                self.rows_dropped,
                self.rows_read,
                counts_per_column(&self.missing)
            ));
        }
        if self.underflows > 0 {
            lines.push(format!(
                "{} numbers were too small for a float and became 0",
                self.underflows
            ));
        }
        if self.inexact_integers > 0 {
            lines.push(format!(
                "{} whole numbers are beyond 2^53 and lost their last digits (are these identifiers? leave the column out)",
                self.inexact_integers
            ));
        }
        lines
    }

    /// What to do about missing values.
    pub(crate) fn advice(&self) -> String {
        let empty = self.missing.iter().find(|(_, count)| *count == self.rows_read);
        match empty {
            Some((name, _)) => format!(
                "column {} has no value in any row: leave it out of --columns, or use --exclude",
                diffeo::quoted(name)
            ),
            None => "fill them in or use --missing drop (fit --missing model learns where values are missing)".to_owned(),
        }
    }

    /// Adds what was met in another table.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows_read += other.rows_read;
        self.rows_dropped += other.rows_dropped;
        self.underflows += other.underflows;
        self.inexact_integers += other.inexact_integers;
        other.missing.iter().for_each(|(name, count)| self.add_missing(name, *count));
        self.notes.extend(other.notes.iter().cloned());
    }

    /// Counts missing values of a column.
    pub(crate) fn add_missing(&mut self, column: &str, count: u64) {
        match self.missing.iter_mut().find(|(name, _)| name == column) {
            Some((_, total)) => *total += count,
            None => self.missing.push((column.to_owned(), count)),
        }
    }
}

/// `"a" 3, "b" 1`, at most ten of them.
pub(crate) fn counts_per_column(missing: &[(String, u64)]) -> String {
    const SHOWN: usize = 10;
    let mut parts: Vec<String> = missing
        .iter()
        .take(SHOWN)
        .map(|(name, n)| format!("{} {n}", diffeo::quoted(name)))
        .collect();
    if missing.len() > SHOWN {
        parts.push(format!("and {} columns more", missing.len() - SHOWN));
    }
    parts.join(", ")
}
