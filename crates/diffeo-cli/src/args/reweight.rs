//! Arguments of `diffeo reweight`.

use std::path::PathBuf;

use clap::Args;

use super::{ReadArgs, exit_codes};
use crate::columns::{ColumnList, NameList};
use crate::duration::Span;

/// Weight the rows of one population so that they stand for another.
///
/// Writes the weight p2(x) / p1(x) of each row, where p1 is the density of --from and p2 that of --to, both models or both tables. From two tables
/// it learns the ratio: one flow that knows of which population a row is, fitted to all rows but those that it then judges. With
/// --outcome, a column that was observed in --from, it prints the average of it in the population of --to with a 95% interval.
/// A verdict says whether the weights can be relied on.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo reweight --from survey.csv --to census.csv --outcome income --out weighted.parquet\n  \
     diffeo reweight --from old.safetensors --to new.safetensors rows.csv --out weighted.csv\n  \
     diffeo reweight --from a.csv --to b.csv --exclude id --relative 0.1 --out weighted.csv\n\n\
     Averages of an outcome, from the one to be preferred on:\n  \
     weights and regression  right if either the weights or the regression of the outcome on the columns are; two tables only\n  \
     weights                 sum of weight times outcome over the sum of weights\n  \
     classifier              the same by the weights of a logistic regression of the population on columns, squares and products; two tables only\n  \
     unweighted              the average in --from\n  \
     observed                the average in --to, if that table has the column\n\n\
     JSON keys: rows, rows_to, effective_size, pareto_k, pareto_limit, reliable, unseen, slope, classifier, outcome: {name, estimates: \
     [{by, mean, standard_error, low, high}]}, out\n\n",
    exit_codes!()
))]
pub(crate) struct ReweightArgs {
    /// Rows to weight, with two models [default, with two tables: the rows of --from]
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The population that was observed: a table, or a model (a file whose name ends in .safetensors)
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// The population that the rows are to stand for: a table or a model, as --from
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Table to write, with the column weight; its name decides the format
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output file, or a column weight
    #[arg(long)]
    pub(crate) force: bool,
    /// Column of numbers whose average in the population of --to is asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) outcome: Option<String>,
    /// Columns in which the populations differ, some with their kind as for fit [default: all that both tables have]
    #[arg(long, value_name = "LIST")]
    pub(crate) columns: Option<ColumnList>,
    /// Columns to leave out
    #[arg(long, value_name = "LIST")]
    pub(crate) exclude: Option<NameList>,
    /// Bounded weights p2 / (A p2 + (1 - A) p1), at most 1 / A: where --from has few rows they no longer stand for --to, and averages by weights lie
    /// between the two populations
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(crate) relative: Option<f64>,

    /// Kind of flow, as for fit [default: nsf]
    #[arg(long, value_name = "PRESET", help_heading = "Learning the ratio of two tables")]
    pub(crate) model: Option<String>,
    /// Parts that the rows are dealt into: each is judged by a flow that was fitted to the others [default: 5]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Learning the ratio of two tables"
    )]
    pub(crate) folds: Option<i128>,
    /// Optimiser steps of each flow [default: by the number of rows]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Learning the ratio of two tables"
    )]
    pub(crate) steps: Option<i128>,
    /// Time for all flows together, such as 10m
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Learning the ratio of two tables"
    )]
    pub(crate) max_time: Option<Span>,
    /// Go on from what an interrupted run left beside --out
    #[arg(long, help_heading = "Learning the ratio of two tables")]
    pub(crate) resume: bool,
    /// Seed of everything random, 0 to 2^64-1 [default: drawn and printed]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
