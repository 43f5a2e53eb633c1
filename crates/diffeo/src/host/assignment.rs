//! The assignment of least cost.

/// No row or column.
const FREE: usize = usize::MAX;

/// Which column each of `n` rows is assigned so that the sum of `cost: [n, n]`, row-major, is least; each column is assigned once.
///
/// Shortest augmenting paths after a start in which each row takes its cheapest column by prices of the columns. `O(n^3)` at worst, of which the start leaves a
/// part. Costs must not be so large that sums of `2 n` of them overflow: what is assigned is then some permutation.
///
/// Reference: Jonker, Volgenant. *A shortest augmenting path algorithm for dense and sparse linear assignment problems*. Computing 38, 1987.
pub(crate) fn assign(cost: &[f64], n: usize) -> Vec<usize> {
    assert_eq!(cost.len(), n * n);
    let mut assignment = Assignment::start(cost, n);
    for row in 0..n {
        if assignment.column_of[row] == FREE {
            assignment.augment(row);
        }
    }
    assignment.column_of
}

/// Prices of rows and columns with `price + price <= cost`, equal where a row is assigned.
struct Assignment<'a> {
    cost: &'a [f64],
    n: usize,
    of_rows: Vec<f64>,
    of_columns: Vec<f64>,
    column_of: Vec<usize>,
    row_of: Vec<usize>,
}

impl<'a> Assignment<'a> {
    fn start(cost: &'a [f64], n: usize) -> Self {
        let mut of_columns = vec![f64::INFINITY; n];
        for row in cost.chunks_exact(n.max(1)) {
            of_columns.iter_mut().zip(row).for_each(|(price, cost)| *price = price.min(*cost));
        }
        let (mut of_rows, mut column_of, mut row_of) = (vec![0.0; n], vec![FREE; n], vec![FREE; n]);
        for (i, row) in cost.chunks_exact(n.max(1)).enumerate() {
            let (mut column, mut least) = (0, f64::INFINITY);
            for (j, (cost, price)) in row.iter().zip(&of_columns).enumerate() {
                if cost - price < least {
                    (column, least) = (j, cost - price);
                }
            }
            of_rows[i] = least;
            if row_of[column] == FREE {
                (row_of[column], column_of[i]) = (i, column);
            }
        }
        Self { cost, n, of_rows, of_columns, column_of, row_of }
    }

    /// Assigns one more row, along the way to a free column that costs least.
    fn augment(&mut self, start: usize) {
        let n = self.n;
        // What the way to a column costs beyond prices; infinite once the least one is known, which then stands in `known`.
        let mut ways = vec![f64::INFINITY; n];
        let mut before = vec![start; n];
        let mut lifts: Vec<f64> = self.of_columns.iter().map(|price| -price).collect();
        let mut known: Vec<(usize, f64)> = Vec::new();
        let (mut row, mut length) = (start, 0.0);
        let end = loop {
            let base = length - self.of_rows[row];
            let costs = &self.cost[row * n..][..n];
            for (((way, before), cost), lift) in
                ways.iter_mut().zip(&mut before).zip(costs).zip(&lifts)
            {
                let new = base + (cost + lift);
                let is_shorter = new < *way;
                *way = if is_shorter { new } else { *way };
                *before = if is_shorter { row } else { *before };
            }
            let least = least_of(&ways);
            let found = ways.iter().position(|way| *way == least && least < f64::INFINITY);
            let is_left = |column: &usize| known.iter().all(|(other, _)| other != column);
            // Without one, where costs overflow: any that is left.
            let column = found.or_else(|| (0..n).find(is_left)).unwrap_or(start);
            length = ways[column].min(f64::MAX);
            known.push((column, length));
            (ways[column], lifts[column]) = (f64::INFINITY, f64::INFINITY);
            match self.row_of[column] {
                FREE => break column,
                next => row = next,
            }
        };
        self.of_rows[start] += length;
        for (column, way) in known {
            self.of_columns[column] -= length - way;
            if self.row_of[column] != FREE {
                self.of_rows[self.row_of[column]] += length - way;
            }
        }
        let mut column = end;
        loop {
            let row = before[column];
            self.row_of[column] = row;
            std::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                return;
            }
        }
    }
}

/// The least of some numbers, in eight chains so that they are compared side by side.
fn least_of(values: &[f64]) -> f64 {
    let less = |a: f64, b: f64| if b < a { b } else { a };
    let (chunks, rest) = values.as_chunks::<8>();
    let mut chains = [f64::INFINITY; 8];
    for chunk in chunks {
        for (least, value) in chains.iter_mut().zip(chunk) {
            *least = less(*least, *value);
        }
    }
    chains.iter().chain(rest).fold(f64::INFINITY, |least, value| less(least, *value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams, below, normal};

    /// The least cost over all permutations.
    fn by_force(cost: &[f64], n: usize, row: usize, taken: &mut Vec<usize>) -> f64 {
        if row == n {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for column in 0..n {
            if !taken.contains(&column) {
                taken.push(column);
                least = least.min(cost[row * n + column] + by_force(cost, n, row + 1, taken));
                taken.pop();
            }
        }
        least
    }

    fn is_permutation(columns: &[usize]) -> bool {
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.iter().enumerate().all(|(i, column)| i == *column)
    }

    #[test]
    fn assignments_cost_as_little_as_the_best_of_all() {
        for n in 0..=7 {
            for task in 0..40 {
                let mut rng = Streams::new(task).rng(Purpose::Check, 0, n as u64);
                // Every second one has many costs that are equal.
                let mut draw = || match task % 2 {
                    0 => normal(&mut rng),
                    _ => below(&mut rng, 3) as f64,
                };
                let cost: Vec<f64> = (0..n * n).map(|_| draw()).collect();
                let columns = assign(&cost, n);
                assert!(is_permutation(&columns), "{columns:?}");
                let found: f64 = columns.iter().enumerate().map(|(i, j)| cost[i * n + j]).sum();
                let expected = by_force(&cost, n, 0, &mut Vec::new());
                assert!((found - expected).abs() < 1e-12, "{n} {task}: {found} {expected}");
            }
        }
    }

    #[test]
    fn on_a_line_rows_are_assigned_in_their_order() {
        let n = 200;
        let mut rng = Streams::new(3).rng(Purpose::Check, 0, 0);
        let [x, z] = [(); 2].map(|()| (0..n).map(|_| normal(&mut rng)).collect::<Vec<f64>>());
        let cost: Vec<f64> = x.iter().flat_map(|x| z.iter().map(move |z| -x * z)).collect();
        let columns = assign(&cost, n);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
        let ordered = order.windows(2).all(|w| z[columns[w[0]]] <= z[columns[w[1]]]);
        assert!(is_permutation(&columns) && ordered);
    }

    #[test]
    fn costs_that_overflow_or_are_no_numbers_give_some_permutation() {
        for bad in [f64::MAX, f64::INFINITY, -f64::MAX, f64::NEG_INFINITY, f64::NAN] {
            let n = 6;
            let cost: Vec<f64> =
                (0..n * n).map(|i| if i % 3 == 0 { bad } else { (i % 7) as f64 }).collect();
            assert!(is_permutation(&assign(&cost, n)), "{bad}");
            assert!(is_permutation(&assign(&vec![bad; n * n], n)), "{bad}");
        }
    }
}
