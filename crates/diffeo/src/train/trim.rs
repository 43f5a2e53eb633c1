//! Rows that are unlike the others, left out before a fit.

use super::data::{TrainingData, ValidationChoice};
use super::events::Event;
use super::options::{Allowed, FitOptions};
use super::trainer::Trainer;
use crate::columns::{Column, ColumnKind, Schema, Units};
use crate::error::{Error, Result, quoted};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;
use crate::presets::{Preset, PresetOptions};

/// Flows that rank all rows, and the most rows that each is learned from.
const MEMBERS: usize = 5;
const ROWS: usize = 256;
/// Fewer rows tell nothing of what is rare.
const ROWS_MIN: usize = 20;

/// Leaves out the rows that are least like the others, so that a fit learns what most rows are like, and not the anomalies among them.
///
/// Flows of a few small random samples, which hardly hold what is rare, rank all rows by density; those of the lowest mean rank are left out. That is a trimmed likelihood (Neykov,
/// Filzmoser, Dimova, Neytchev. *Robust fitting of mixtures using the trimmed likelihood estimator*. CSDA 52, 2007) after one step of concentration (Rousseeuw, Van Driessen. *A fast
/// algorithm for the minimum covariance determinant estimator*. Technometrics 41, 1999), which starts from small samples as well.
///
/// A dense cluster of anomalies that small samples hold, too, is not told from others.
///
/// For the ranks all numbers have densities, also those that the fit takes for outcomes, since probabilities and densities are in different measures; a missing one counts as the median of its column.
#[derive(Clone, Debug, PartialEq)]
pub struct Trim {
    /// The share of the rows, or of their weights, that is left out: at most that.
    pub share: f64,
    /// Leave out columns that hold one number in all rows that stay, instead of refusing them.
    pub drop_constant: bool,
    /// Seed of the samples and their flows.
    pub seed: u64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
}

/// What a [`Trim`] leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Trimmed {
    /// The columns that stay.
    pub schema: Schema,
    /// All rows, of which those that are left out have weight 0.
    pub data: TrainingData,
    /// How many are left out.
    pub rows: u64,
    /// Columns that are left out.
    pub constant: Vec<Column>,
    /// Places of those that stay, in the schema before.
    kept: Vec<usize>,
}

/// Who is told of the flows that rank rows, by their number, as they are trained, and may end all by an error.
pub type TrimWatch<'a> = dyn FnMut(usize, &mut Trainer, &Event) -> Result<()> + 'a;

impl Trim {
    /// Flows that rank all rows.
    pub const MEMBERS: usize = MEMBERS;
    /// What the share may be.
    pub const SHARE: Allowed =
        Allowed { expected: "a share above 0 and at most 0.5", holds: |x| x > 0.0 && x <= 0.5 };

    /// Finds the rows to leave out, and gives them weight 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a share out of range or images; [`crate::ErrorKind::Data`] for fewer than 20 rows, or a column that is constant in those that stay; as
    /// [`Trainer::new`]; those of `watch`.
    pub fn apply(
        &self,
        schema: &Schema,
        data: TrainingData,
        watch: &mut TrimWatch<'_>,
    ) -> Result<Trimmed> {
        if !(Self::SHARE.holds)(self.share) {
            let (expected, found) = (Self::SHARE.expected, self.share);
            return Err(Error::config(format!("trim must be {expected}, found {found}")));
        }
        if schema.image.is_some() {
            return Err(Error::config("trim is for tables; images cannot be trimmed"));
        }
        data.check(schema)?;
        let counted: Vec<usize> = (0..data.x.len()).filter(|i| data.weight(*i) > 0.0).collect();
        if counted.len() < ROWS_MIN {
            let n = counted.len();
            return Err(Error::data(format!(
                "to trim needs at least {ROWS_MIN} rows, found {n}; leave trim out"
            )));
        }
        let plain = Plain::of(schema, &data);
        let mut ranks = vec![0.0; data.x.len()];
        for member in 0..MEMBERS {
            let log_prob = self.member(member, &plain, &counted, watch)?;
            add_ranks(&mut ranks, &log_prob, &counted);
        }
        let (rows, weights) = self.without_lowest(&ranks, counted, &data);
        self.narrowed(schema, TrainingData { weights: Some(weights), ..data }, rows)
    }

    /// The log-density of each row by a flow of a random sample.
    fn member(
        &self,
        member: usize,
        plain: &Plain<'_>,
        counted: &[usize],
        watch: &mut TrimWatch<'_>,
    ) -> Result<Vec<f64>> {
        let mut rng = Streams::new(self.seed).rng(Purpose::Trim, member as u64, 0);
        let order = permutation(&mut rng, counted.len() as u32);
        let size = ROWS.min(counted.len() / 2);
        let mut sample: Vec<usize> = order[..size].iter().map(|i| counted[*i as usize]).collect();
        sample.sort_unstable();
        let Varied { schema, x, places, constant } = plain.varied(&sample)?;
        let seed = self.seed.wrapping_add(member as u64);
        let options = PresetOptions { seed, ..PresetOptions::for_rows(size) };
        let spec = Preset::usual_of_rows(&schema, size).spec_for(&schema.shape(), &options)?;
        let options = FitOptions { seed, threads: self.threads, ..FitOptions::default() };
        let context = plain.context.map(|context| context.select(&sample));
        let weights = plain.weights.map(|weights| sample.iter().map(|i| weights[*i]).collect());
        let data = TrainingData { x, context, weights };
        let mut trainer = Trainer::new(spec, schema, data, options)?;
        loop {
            let event = trainer.advance()?;
            watch(member, &mut trainer, &event)?;
            if matches!(event, Event::Finished { .. }) {
                break;
            }
        }
        let all = columns_of(&plain.x, &places);
        let mut log_prob = trainer.finish()?.log_prob(&all, plain.context, self.threads)?;
        for (i, log_prob) in log_prob.iter_mut().enumerate() {
            // What differs where no row of the sample did is stranger than anything in it.
            if constant.iter().any(|(j, value)| plain.x.row(i)[*j] != *value) {
                *log_prob = f64::NEG_INFINITY;
            }
        }
        Ok(log_prob)
    }

    /// How many rows of lowest rank are left out, and what all others weigh.
    fn without_lowest(
        &self,
        ranks: &[f64],
        mut counted: Vec<usize>,
        data: &TrainingData,
    ) -> (u64, Vec<f64>) {
        let mut weights: Vec<f64> = (0..data.x.len()).map(|i| data.weight(i)).collect();
        counted.sort_by(|a, b| ranks[*a].total_cmp(&ranks[*b]));
        // But for rounding: 0.29 of a hundred rows are 29.
        let most = self.share * weights.iter().sum::<f64>() * (1.0 + 1e-12);
        let (mut rows, mut gone) = (0, 0.0);
        for i in counted {
            gone += weights[i];
            if gone > most {
                break;
            }
            weights[i] = 0.0;
            rows += 1;
        }
        (rows, weights)
    }

    /// Columns that are constant now are left out, or refused.
    fn narrowed(&self, schema: &Schema, data: TrainingData, rows: u64) -> Result<Trimmed> {
        let constant = Units::constant_columns(schema, &data.x, |i| data.weight(i));
        let named = |j: &usize| schema.columns[*j].clone();
        let kept: Vec<usize> =
            (0..schema.columns.len()).filter(|j| !constant.contains(j)).collect();
        let constant: Vec<Column> = constant.iter().map(named).collect();
        if !constant.is_empty() && (!self.drop_constant || kept.is_empty()) {
            let names: Vec<String> = constant.iter().map(|column| quoted(&column.name)).collect();
            return Err(Error::data(format!(
                "{} of one value only in the rows that trim leaves, where the density would be infinite: leave such columns out with --drop-constant, or trim less",
                match &names[..] {
                    [one] => format!("column {one} is"),
                    several => format!("columns {} are", several.join(", ")),
                }
            )));
        }
        let mut trimmed = Trimmed { schema: schema.clone(), data, rows, constant, kept };
        if !trimmed.constant.is_empty() {
            trimmed.schema.columns = trimmed.kept.iter().map(named).collect();
            trimmed.data.x = columns_of(&trimmed.data.x, &trimmed.kept);
        }
        Ok(trimmed)
    }
}

impl Trimmed {
    /// Validation rows without the columns that are left out.
    #[must_use]
    pub fn validation(&self, choice: ValidationChoice) -> ValidationChoice {
        match choice {
            ValidationChoice::Given(rows) if !self.constant.is_empty() => {
                let x = columns_of(&rows.x, &self.kept);
                ValidationChoice::Given(TrainingData { x, ..rows })
            }
            other => other,
        }
    }
}

/// A table whose numbers all have densities.
struct Plain<'a> {
    schema: Schema,
    x: Rows,
    context: Option<&'a Rows>,
    weights: Option<&'a [f64]>,
}

impl<'a> Plain<'a> {
    fn of(schema: &Schema, data: &'a TrainingData) -> Self {
        let (mut x, mut columns) = (data.x.clone(), Vec::new());
        for (j, column) in schema.columns.iter().enumerate() {
            if column.kind == ColumnKind::Category {
                columns.push(column.clone());
                continue;
            }
            let mut known = x.column(j);
            known.retain(|v| !v.is_nan());
            let fits = known.iter().all(|v| column.kind.contains(*v)) && !column.kind.is_whole();
            let kind = if fits { column.kind } else { ColumnKind::Real };
            columns.push(Column::new(column.name.clone(), kind));
            let median = median(known);
            for i in 0..x.len() {
                let v = &mut x.row_mut(i)[j];
                *v = if v.is_nan() { median } else { *v };
            }
        }
        let schema = Schema::new(columns, schema.context.clone());
        Self { schema, x, context: data.context.as_ref(), weights: data.weights.as_deref() }
    }

    /// Some rows of the columns that vary among them.
    fn varied(&self, sample: &[usize]) -> Result<Varied> {
        let x = self.x.select(sample);
        let constant = Units::constant_columns(&self.schema, &x, |_| 1.0);
        let (constant, places): (Vec<usize>, Vec<usize>) =
            (0..self.schema.columns.len()).partition(|j| constant.contains(j));
        if places.is_empty() {
            return Err(Error::data(
                "trim: all columns are constant in a sample of the rows, which tells nothing of what is rare; leave trim out",
            ));
        }
        let columns = places.iter().map(|j| self.schema.columns[*j].clone()).collect();
        let schema = Schema::new(columns, self.schema.context.clone());
        let constant = constant.into_iter().map(|j| (j, x.row(0)[j])).collect();
        Ok(Varied { schema, x: columns_of(&x, &places), places, constant })
    }
}

/// A sample of rows, without the columns that are constant in it.
struct Varied {
    schema: Schema,
    x: Rows,
    /// Where its columns are in the table.
    places: Vec<usize>,
    /// Where the others are, and their values.
    constant: Vec<(usize, f64)>,
}

/// The middle of some numbers, 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    match values.is_empty() {
        true => 0.0,
        false => *values.select_nth_unstable_by(middle, f64::total_cmp).1,
    }
}

/// Columns of these places.
fn columns_of(rows: &Rows, places: &[usize]) -> Rows {
    let mut out = Rows::zeros(rows.len(), places.len());
    for i in 0..rows.len() {
        for (to, from) in out.row_mut(i).iter_mut().zip(places) {
            *to = rows.row(i)[*from];
        }
    }
    out
}

/// Adds the rank of each row that counts among these, lowest first; equal ones have the mean of theirs, and NaN is the lowest.
fn add_ranks(ranks: &mut [f64], log_prob: &[f64], counted: &[usize]) {
    let of = |i: usize| if log_prob[i].is_nan() { f64::NEG_INFINITY } else { log_prob[i] };
    let mut order = counted.to_vec();
    order.sort_unstable_by(|a, b| of(*a).total_cmp(&of(*b)));
    let mut first = 0;
    for equal in order.chunk_by(|a, b| of(*a) == of(*b)) {
        let middle = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|i| ranks[*i] += middle);
        first += equal.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::host::random::fill_normal;

    /// Rows of a normal density, and after each nine of them one that is far away.
    fn contaminated(n: usize) -> TrainingData {
        let mut x = Rows::zeros(n, 2);
        for i in 0..n {
            let row = x.row_mut(i);
            fill_normal(&mut Streams::new(1).rng(Purpose::Check, 0, i as u64), row);
            if is_far(i) {
                row.iter_mut().for_each(|v| *v = 8.0 + 2.0 * *v);
            }
        }
        TrainingData::rows(x)
    }

    fn is_far(i: usize) -> bool {
        i % 10 == 9
    }

    fn trim(share: f64) -> Trim {
        Trim { share, drop_constant: false, seed: 3, threads: 1 }
    }

    fn apply(trim: &Trim, schema: &Schema, data: TrainingData) -> Result<Trimmed> {
        trim.apply(schema, data, &mut |_, _, _| Ok(()))
    }

    #[test]
    fn what_is_far_from_most_rows_is_left_out() {
        let (schema, n) = (Schema::real(["a", "b"]), 400);
        let trimmed = apply(&trim(0.2), &schema, contaminated(n)).unwrap();
        let weights = trimmed.data.weights.clone().unwrap();
        let far = (0..n).filter(|i| is_far(*i));
        let stayed = far.filter(|i| weights[*i] > 0.0).count();
        assert_eq!((trimmed.rows, stayed), (80, 0));
        assert_eq!(weights.iter().sum::<f64>(), 320.0);
        let again = apply(&Trim { threads: 2, ..trim(0.2) }, &schema, contaminated(n)).unwrap();
        assert_eq!(again, trimmed);
    }

    #[test]
    fn weights_count_and_rows_of_weight_0_do_not() {
        let (schema, n) = (Schema::real(["a", "b"]), 200);
        let weights: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { 0.0 } else { 2.0 }).collect();
        let data = TrainingData { weights: Some(weights), ..contaminated(n) };
        let trimmed = apply(&trim(0.25), &schema, data).unwrap();
        let left = trimmed.data.weights.unwrap();
        assert_eq!((trimmed.rows, left.iter().sum::<f64>()), (25, 150.0));
        assert!((0..n).filter(|i| is_far(*i)).all(|i| left[i] == 0.0));
    }

    #[test]
    fn holes_outcomes_and_levels_are_ranked_with_the_rest() {
        let mut holed = Column::real("a");
        holed.masses = vec![0.0];
        holed.holes = true;
        let schema = Schema::new(vec![holed, Column::category("b", ["x", "y"])], vec![]);
        let mut data = contaminated(300);
        for i in 0..300 {
            let far = is_far(i);
            let row = data.x.row_mut(i);
            row[0] = match i % 3 {
                _ if far => 10.0 * row[0],
                0 => 0.0,
                1 => f64::NAN,
                _ => row[0],
            };
            row[1] = f64::from(u8::from(i % 2 == 0));
        }
        let trimmed = apply(&trim(0.2), &schema, data).unwrap();
        let weights = trimmed.data.weights.unwrap();
        assert_eq!(trimmed.rows, 60);
        assert!((0..300).filter(|i| is_far(*i)).all(|i| weights[i] == 0.0));
    }

    #[test]
    fn what_differs_where_nearly_all_rows_are_alike_is_left_out() {
        let (schema, n) = (Schema::real(["a", "b", "c"]), 2000);
        let mut x = Rows::zeros(n, 3);
        for i in 0..n {
            let row = x.row_mut(i);
            fill_normal(&mut Streams::new(1).rng(Purpose::Check, 0, i as u64), row);
            row[2] = if i % 1000 == 7 { 1000.0 } else { 0.0 };
        }
        let dropping = Trim { drop_constant: true, ..trim(0.01) };
        let trimmed = apply(&dropping, &schema, TrainingData::rows(x)).unwrap();
        let weights = trimmed.data.weights.unwrap();
        assert_eq!((weights[7], weights[1007], trimmed.constant.len()), (0.0, 0.0, 1));
    }

    #[test]
    fn columns_that_only_rare_rows_vary_in_are_named_or_left_out() {
        let mut schema = Schema::real(["a", "b"]);
        let mut data = contaminated(400);
        (0..400).filter(|i| !is_far(*i)).for_each(|i| data.x.row_mut(i)[0] = 2.5);
        let error = apply(&trim(0.2), &schema, data.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains("column \"a\" is of one value"), "{error}");
        let dropping = Trim { drop_constant: true, ..trim(0.2) };
        let trimmed = apply(&dropping, &schema, data.clone()).unwrap();
        assert_eq!((trimmed.data.x.width(), trimmed.constant.len()), (1, 1));
        let given = trimmed.validation(ValidationChoice::Given(data));
        assert!(matches!(given, ValidationChoice::Given(rows) if rows.x == trimmed.data.x));
        schema.columns.remove(0);
        assert_eq!(trimmed.schema, schema);
    }

    #[test]
    fn what_cannot_be_trimmed_is_refused() {
        let schema = Schema::real(["a", "b"]);
        for share in [0.0, -0.1, 0.6, f64::NAN] {
            let error = apply(&trim(share), &schema, contaminated(100)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{share}");
        }
        let error = apply(&trim(0.1), &schema, contaminated(19)).unwrap_err();
        assert!(error.message().contains("at least 20 rows"), "{error}");
        let stopped = trim(0.1).apply(&schema, contaminated(100), &mut |_, _, _| {
            Err(Error::new(ErrorKind::Interrupted, "stopped"))
        });
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
