//! What the loop minimises, seen from the loop: flat weights in, losses and a flat gradient out.

use super::batches::Batch;
use crate::error::Result;

/// A loss that is a weighted sum over rows.
///
/// One instance is shared by all threads; `load` is called between steps, the other two from many threads at once.
pub(crate) trait Objective<T>: Send + Sync {
    /// Takes the weights that the next calls are about, in the order of the [`Layout`].
    fn load(&mut self, weights: &[T]) -> Result<()>;

    /// Writes the gradient of `sum_i weight_i loss_i` over `gradient` and returns the `loss_i = -log_prob(row i)`.
    ///
    /// The gradient of a masked weight is zero.
    fn gradient(&self, batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>>;

    /// The `loss_i` alone.
    fn losses(&self, batch: &Batch) -> Result<Vec<f64>>;
}

/// Where each named parameter lies in the flat weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    name: String,
    len: usize,
    /// Whether weight decay applies.
    decays: bool,
}

impl Layout {
    /// Adds a parameter at the end.
    pub(crate) fn push(&mut self, name: &str, len: usize, decays: bool) {
        self.parts.push(Part { name: name.to_owned(), len, decays });
        self.len += len;
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The name of the parameter that element `i` belongs to.
    pub(crate) fn name_at(&self, mut i: usize) -> &str {
        for part in &self.parts {
            if i < part.len {
                return &part.name;
            }
            i -= part.len;
        }
        "?"
    }

    /// Lengths of consecutive pieces of at most `longest` elements, and whether weight decay applies to each.
    pub(crate) fn pieces(&self, longest: usize) -> impl Iterator<Item = (usize, bool)> {
        self.parts.iter().flat_map(move |part| {
            let starts = (0..part.len).step_by(longest);
            starts.map(move |start| (longest.min(part.len - start), part.decays))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_parameter_once() {
        let mut layout = Layout::default();
        for (name, len, decays) in [("a", 5, true), ("b", 0, true), ("c", 4, false)] {
            layout.push(name, len, decays);
        }
        let pieces: Vec<(usize, bool)> = layout.pieces(4).collect();
        assert_eq!(pieces, [(4, true), (1, true), (4, false)]);
        assert_eq!([0, 4, 5, 8].map(|i| layout.name_at(i)), ["a", "a", "c", "c"]);
        assert_eq!(layout.len(), 9);
    }
}
