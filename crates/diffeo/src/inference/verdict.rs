//! What weights say of the estimates made with them, in a sentence.

use std::fmt;

use serde::Serialize;

/// Effective draws below which an estimate is a guess, whatever its tail looks like.
const EFFECTIVE_MIN: f64 = 25.0;
/// A tail with less than this share of all weight changes no mean by much, unless it is of a function that is largest there.
const EXCESS_MAX: f64 = 0.002;
/// A share of the target above this is not to be missed.
const UNSEEN_MAX: f64 = 0.01;

/// How far estimates from weighted draws can be relied on, and what to do if they cannot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Shape of the tail of the weights; `None` of fewer than 25 draws.
    pub pareto_k: Option<f64>,
    /// Highest shape at which errors can be stated.
    pub pareto_limit: f64,
    /// The share of all weight by which those of the tail exceed the others.
    pub excess: f64,
    /// How many draws of the target the weighted ones are worth.
    pub effective_size: f64,
    /// How many draws there are.
    pub draws: usize,
    /// The share of the target that the draws are likely to miss, where that is known ([`unseen`](super::unseen)); the weights themselves cannot tell, and 0 stands for them.
    pub unseen: f64,
}

impl Verdict {
    /// Whether estimates and their errors can be relied on.
    pub fn is_good(&self) -> bool {
        let is_light = self.pareto_k.is_some_and(|k| k < self.pareto_limit) || self.is_even();
        is_light && self.effective_size >= EFFECTIVE_MIN && !self.is_blind()
    }

    /// Whether too much of the target lies where there are next to no draws, so that no weights can stand for it.
    pub fn is_blind(&self) -> bool {
        self.unseen > UNSEEN_MAX
    }

    /// Whether weights differ so little that the shape of their tail does not matter.
    fn is_even(&self) -> bool {
        self.pareto_k.is_some() && self.excess < EXCESS_MAX
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, draws) = (self.effective_size, self.draws);
        let tail = match self.pareto_k {
            None => "too few draws to tell the tail of their weights".to_owned(),
            Some(k) if k == f64::NEG_INFINITY => "the largest weights are equal".to_owned(),
            Some(k) if k >= self.pareto_limit && self.is_even() => {
                format!("Pareto k {k:.2}, of a tail with {:.2}% of the weight", 100.0 * self.excess)
            }
            Some(k) => format!("Pareto k {k:.2} (limit {:.2})", self.pareto_limit),
        };
        let judged = match self.pareto_k {
            _ if self.is_good() => "weighted means and their errors can be relied on",
            _ if self.is_blind() => {
                let unseen = 100.0 * self.unseen;
                return write!(
                    f,
                    "{tail}, worth {size:.0} of {draws} rows, but {unseen:.0}% of the target lies where there are next to no rows: weighted means and their errors know nothing \
                     of it; ask about the part that both cover"
                );
            }
            Some(k) if k >= 1.0 => {
                "weighted means may be far off, and their errors do not show it: much of the target lies where there are almost no draws; \
                 bring the proposal nearer to the target, or ask about the part that both cover"
            }
            Some(k) if k >= self.pareto_limit => {
                "a few draws carry the weighted means, whose errors may be larger than stated; take more draws, a proposal nearer to the target, or \
                 bounded weights"
            }
            _ => {
                "weighted means are of few draws; take more of them, or a proposal nearer to the target"
            }
        };
        write!(f, "{tail}, worth {size:.0} of {draws} rows: {judged}")
    }
}
