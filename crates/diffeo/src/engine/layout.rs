//! Where the parameters of a flow lie in one flat array.

use std::collections::BTreeMap;
use std::ops::Range;

/// Where each named parameter lies in the flat weights, and which of them are trained.
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
    /// Runs of elements that are not masked, counted from the start of the part; short gaps are not worth a new run.
    runs: Vec<Range<usize>>,
}

/// Consecutive flat weights that one thread works on at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    /// Number of elements.
    pub(crate) len: usize,
    /// Runs of trained elements in it, counted from its start, and whether weight decay applies.
    pub(crate) runs: Vec<(Range<usize>, bool)>,
}

impl Layout {
    /// Adds a parameter at the end. Where `mask` is zero, weight and gradient are zero and stay so.
    pub(crate) fn push(&mut self, name: &str, len: usize, decays: bool, mask: Option<&[f64]>) {
        let runs = match mask {
            Some(mask) => runs_of(mask),
            None => std::iter::once(0..len).collect(),
        };
        self.parts.push(Part { name: name.to_owned(), len, decays, runs });
        self.len += len;
    }

    /// The range of each parameter, by name.
    pub(crate) fn ranges(&self) -> BTreeMap<String, Range<usize>> {
        let mut start = 0;
        let range = |part: &Part| {
            start += part.len;
            (part.name.clone(), start - part.len..start)
        };
        self.parts.iter().map(range).collect()
    }

    /// Where the parameters of a part of the flow lie, if they are there, side by side, and not all there is.
    pub(crate) fn part(&self, name: &str) -> Option<Range<usize>> {
        let ranges = self.ranges();
        let within = ranges.iter().filter(|(whole, _)| whole.split('.').next() == Some(name));
        let (start, end, len) = within.fold((usize::MAX, 0, 0), |(start, end, len), (_, range)| {
            (start.min(range.start), end.max(range.end), len + range.len())
        });
        (len > 0 && len < self.len && end - start == len).then_some(start..end)
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

    /// The flat weights in consecutive pieces with at most `trained` trained elements each.
    pub(crate) fn pieces(&self, trained: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut piece = Piece::default();
        let (mut start, mut count) = (0, 0);
        for (run, decays) in self.trained_runs(trained) {
            if count > 0 && count + run.len() > trained {
                start += piece.len;
                pieces.push(std::mem::take(&mut piece));
                count = 0;
            }
            count += run.len();
            piece.len = run.end - start;
            piece.runs.push((run.start - start..run.end - start, decays));
        }
        piece.len = self.len - start;
        pieces.push(piece);
        pieces
    }

    /// Runs of trained elements, none longer than `longest`, and whether weight decay applies to each.
    fn trained_runs(&self, longest: usize) -> impl Iterator<Item = (Range<usize>, bool)> {
        let starts = self.parts.iter().scan(0, |next, part| {
            let start = *next;
            *next += part.len;
            Some((start, part))
        });
        starts.flat_map(move |(start, part)| {
            part.runs.iter().flat_map(move |run| {
                let cut = move |at: usize| start + at..start + run.end.min(at + longest);
                run.clone().step_by(longest).map(move |at| (cut(at), part.decays))
            })
        })
    }
}

/// The runs of elements that are not zero; gaps shorter than a few cache lines are closed.
fn runs_of(mask: &[f64]) -> Vec<Range<usize>> {
    const GAP: usize = 32;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, _) in mask.iter().enumerate().filter(|(_, m)| **m != 0.0) {
        match runs.last_mut() {
            Some(run) if i - run.end < GAP => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_parameter_once() {
        let mut layout = Layout::default();
        for (name, len, decays) in [("a", 5, true), ("b", 0, true), ("c", 4, false)] {
            layout.push(name, len, decays, None);
        }
        let pieces = layout.pieces(4);
        let runs: Vec<_> = pieces.iter().map(|p| (p.len, p.runs.clone())).collect();
        let expected = [(4, vec![(0..4, true)]), (1, vec![(0..1, true)]), (4, vec![(0..4, false)])];
        assert_eq!(runs, expected);
        assert_eq!([0, 4, 5, 8].map(|i| layout.name_at(i)), ["a", "a", "c", "c"]);
        assert_eq!(layout.len(), 9);
        assert_eq!([layout.part("c"), layout.part("d")], [Some(5..9), None]);
    }

    #[test]
    fn masked_elements_are_passed_over() {
        let mut mask = vec![0.0; 200];
        mask[3..60].fill(1.0);
        mask[70..80].fill(1.0);
        mask[150..151].fill(1.0);
        let mut layout = Layout::default();
        layout.push("a", 200, true, Some(&mask));
        layout.push("b", 2, false, None);
        let piece =
            Piece { len: 202, runs: vec![(3..80, true), (150..151, true), (200..202, false)] };
        assert_eq!(layout.pieces(1000), [piece]);
        let pieces = layout.pieces(50);
        assert_eq!(pieces.iter().map(|p| p.len).sum::<usize>(), 202);
        let trained = pieces.iter().flat_map(|p| &p.runs).map(|(r, _)| r.len()).sum::<usize>();
        assert_eq!(trained, 77 + 1 + 2);
    }
}
