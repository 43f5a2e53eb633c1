//! Rows that are copies of others: held out, they would be judged by themselves.

use crate::host::rows::Rows;

/// A value that so many equal rows share, or so large a share of all rows, is an atom of the distribution, not a row that was copied.
const ATOM_ROWS: usize = 20;
const ATOM_SHARE: f64 = 0.01;
/// A row without a copy.
const ALONE: u32 = u32::MAX;

/// Groups of rows that are equal in data and context, but for atoms.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// The group of each row.
    group: Vec<u32>,
    /// The rows of all groups.
    members: Vec<u32>,
    /// Where each group ends in `members`.
    ends: Vec<u32>,
}

impl Copies {
    pub(super) fn of(x: &Rows, context: Option<&Rows>) -> Self {
        let n = x.len();
        let key = |i: u32| {
            let context = context.map_or(&[][..], |c| c.row(i as usize));
            // Adding zero makes -0 and 0 the same.
            x.row(i as usize).iter().chain(context).map(|v| (v + 0.0).to_bits())
        };
        let hash =
            |i: u32| key(i).fold(0u64, |hash, bits| (hash.rotate_left(5) ^ bits).wrapping_mul(MIX));
        let mut hashed: Vec<(u64, u32)> = (0..n as u32).map(|i| (hash(i), i)).collect();
        hashed.sort_unstable();
        let most = ATOM_ROWS.max((ATOM_SHARE * n as f64) as usize);
        let mut copies = Self { group: vec![ALONE; n], ..Self::default() };
        for group in hashed.chunk_by(|a, b| a.0 == b.0 && key(a.1).eq(key(b.1))) {
            if (2..=most).contains(&group.len()) {
                let number = copies.ends.len() as u32;
                group.iter().for_each(|(_, row)| copies.group[*row as usize] = number);
                copies.members.extend(group.iter().map(|(_, row)| *row));
                copies.ends.push(copies.members.len() as u32);
            }
        }
        copies
    }

    /// The row and those equal to it.
    fn with<'a>(&'a self, row: &'a u32) -> &'a [u32] {
        match self.group.get(*row as usize) {
            None | Some(&ALONE) => std::slice::from_ref(row),
            Some(&group) => {
                let group = group as usize;
                let start = if group == 0 { 0 } else { self.ends[group - 1] };
                &self.members[start as usize..self.ends[group] as usize]
            }
        }
    }

    /// The first `held_out` rows of an order with all their copies, and the others.
    pub(super) fn split(&self, order: &[u32], held_out: usize) -> [Vec<u32>; 2] {
        let mut is_out = vec![false; order.len()];
        let mut out = Vec::with_capacity(held_out);
        for row in order {
            if out.len() >= held_out {
                break;
            }
            for &member in self.with(row) {
                if !std::mem::replace(&mut is_out[member as usize], true) {
                    out.push(member);
                }
            }
        }
        let rest = order.iter().copied().filter(|row| !is_out[*row as usize]).collect();
        [out, rest]
    }
}

/// An odd number whose bits look random (Steele, Vigna. *Computationally easy, spectrally good multipliers*. 2021).
const MIX: u64 = 0xf135_7aea_2e62_a9c5;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[[f64; 2]]) -> Copies {
        Copies::of(&Rows::new(rows.concat(), 2).unwrap(), None)
    }

    #[test]
    fn m15_copies_stay_together_and_atoms_do_not() {
        let copied: Vec<[f64; 2]> = (0..100).map(|i| [f64::from(i % 20), -1.0]).collect();
        let order: Vec<u32> = (0..100).rev().collect();
        let [valid, train] = of(&copied).split(&order, 8);
        assert_eq!((valid.len(), train.len()), (10, 90));
        let values =
            |rows: &[u32]| rows.iter().map(|i| copied[*i as usize][0] as u32).collect::<Vec<_>>();
        assert!(values(&valid).iter().all(|v| !values(&train).contains(v)));
        // A value that fills a fifth of the rows is no copy of a row; -0 is 0.
        let mixed: Vec<[f64; 2]> =
            (0..150).map(|i| if i % 5 == 0 { [0.0, -0.0] } else { [f64::from(i), 0.0] }).collect();
        assert!(of(&mixed).members.is_empty());
        assert_eq!(of(&[[0.0, 1.0], [2.0, 1.0], [-0.0, 1.0]]).members, [0, 2]);
    }

    #[test]
    fn without_copies_the_first_rows_are_held_out() {
        assert_eq!(Copies::default().split(&[3, 1, 0, 2], 2), [vec![3, 1], vec![0, 2]]);
        assert_eq!(of(&[[0.0, 1.0], [2.0, 1.0]]).split(&[1, 0], 1), [vec![1], vec![0]]);
    }
}
