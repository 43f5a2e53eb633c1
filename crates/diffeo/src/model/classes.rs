//! What a density given classes says of the class of a row: Bayes' rule.

use super::Model;
use crate::columns::Column;
use crate::error::{Error, Result, quoted};
use crate::host::likelihood::log_mean_exp;
use crate::host::rows::Rows;

/// What [`Model::classify`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The probability of each class, `[rows, classes]`; NaN where no class can have the row, or it holds NaN.
    pub probabilities: Rows,
    /// The log-density of each row whatever its class, in nats.
    pub log_prob: Vec<f64>,
}

impl Model {
    /// Which column of the context has classes: the one of a name, or the only one that is a category or a truth value.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if there is none, or several and no name.
    pub fn class_column(&self, name: Option<&str>) -> Result<usize> {
        let context = &self.schema.context;
        let has_classes = |column: &Column| column.classes().is_some();
        if let Some(name) = name {
            let found = context.iter().position(|column| column.name == name);
            return found.filter(|j| has_classes(&context[*j])).ok_or_else(|| {
                Error::config(format!(
                    "expected a category or a truth value of the model's context, of {} levels at most, found {}{}",
                    Column::CLASSES_MAX,
                    quoted(name),
                    if found.is_some() { "" } else { ", which is not in it" }
                ))
            });
        }
        let mut found = (0..context.len()).filter(|j| has_classes(&context[*j]));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::config(
                "a density tells classes if it is given them: expected a model whose context has a category or a truth value, found none (fit with --context LABEL)",
            )),
            (Some(a), Some(b)) => Err(Error::config(format!(
                "the context has several columns of classes, {} and {} among them; name one",
                quoted(&context[a].name),
                quoted(&context[b].name)
            ))),
        }
    }

    /// The probabilities of the classes before a row is seen: their shares of the rows of the fit, or the same for all where that is not known.
    ///
    /// # Panics
    /// If the column has no classes; see [`Model::class_column`].
    pub fn class_shares(&self, column: usize) -> Vec<f64> {
        let column = &self.schema.context[column];
        let count = column.classes().map_or(0, |classes| classes.len());
        let known = self.summary.as_ref().and_then(|s| s.context_shares.get(&column.name));
        let known = known.filter(|shares| shares.len() == count).cloned();
        known.unwrap_or_else(|| vec![1.0 / count as f64; count])
    }

    /// The probability of each class `k` of a column of the context given a row `x`, and given the rest of its context, by Bayes' rule:
    ///
    /// ```text
    /// P(k | x) = s_k p(x | k) / sum_j s_j p(x | j)
    /// ```
    ///
    /// with shares `s` of the classes (see [`Model::class_shares`]), whatever the rest of the context is. The numbers of the column itself are not looked at. Takes the work of a score for each class.
    ///
    /// # Errors
    /// As [`Model::log_prob`]; [`crate::ErrorKind::Config`] for shares that are not one for each class, finite, not negative and of a positive sum.
    pub fn classify(
        &self,
        x: &Rows,
        context: &Rows,
        column: usize,
        shares: &[f64],
        threads: usize,
    ) -> Result<Classified> {
        let known = self.schema.context.get(column);
        let count = known.and_then(Column::classes).map_or(0, |classes| classes.len());
        let total: f64 = shares.iter().sum();
        let is_share = |share: &f64| *share >= 0.0;
        if shares.len() != count
            || !shares.iter().all(is_share)
            || !(total > 0.0 && total.is_finite())
        {
            return Err(Error::config(format!(
                "expected a share of at least 0 for each of {count} classes, some of them above, found {shares:?}"
            )));
        }
        let (mut given, n) = (context.clone(), x.len());
        let mut joint = Rows::zeros(n, count);
        for (class, share) in shares.iter().enumerate() {
            (0..given.len()).for_each(|i| given.row_mut(i)[column] = class as f64);
            let log_prob = self.log_prob(x, Some(&given), threads)?;
            let share = (share / total).ln();
            log_prob.iter().enumerate().for_each(|(i, l)| joint.row_mut(i)[class] = l + share);
        }
        let log_prob: Vec<f64> =
            (0..n).map(|i| log_mean_exp(joint.row(i).iter().copied(), 1.0)).collect();
        for (i, log_prob) in log_prob.iter().enumerate() {
            joint.row_mut(i).iter_mut().for_each(|l| *l = (*l - log_prob).exp());
        }
        Ok(Classified { probabilities: joint, log_prob })
    }
}
