//! Several processes that train one model: each takes a part of every batch, and what they find is summed.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// The processes that train one model together, as one of them sees the others. [`Trainer::join`](super::Trainer::join) says what they do.
///
/// All processes call the same methods in the same order, and each call waits for the others: what MPI calls an all-reduce. A sum of the processes
/// `lo..hi` that adds that of `lo..mid` and that of `mid..hi`, `mid = lo + (hi - lo) / 2`, has the bits of one process that does all by itself.
pub trait Ranks: Send {
    /// Which of the processes this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// Replaces the numbers of each process by their sum over all.
    ///
    /// # Errors
    /// Whatever keeps processes apart; the training then ends.
    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()>;

    /// The same in double precision.
    ///
    /// # Errors
    /// As [`Ranks::sum_f32`].
    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()>;
}

/// Which of so many shards are those of a process, so that the sums of all of them, half by half, are the sums of the shards.
pub(super) fn own(ranks: &dyn Ranks, shards: usize) -> Range<usize> {
    let (mut own, mut rank, mut count) = (0..shards, ranks.rank(), ranks.count());
    while count > 1 {
        let (middle, half) = (own.start + own.len() / 2, count / 2);
        match rank < half {
            true => (own.end, count) = (middle, half),
            false => (own.start, rank, count) = (middle, rank - half, count - half),
        }
    }
    own
}

/// Losses of rows, of which each process knows some, known to all; and to all that one of them could not find them.
///
/// # Errors
/// [`ErrorKind::NotConverged`] if rows of some process did not, and in all processes another kind if one failed otherwise: its own failure there, [`ErrorKind::Internal`] in the others.
pub(super) fn shared(
    ranks: &mut dyn Ranks,
    found: Vec<(Range<usize>, Result<Vec<f64>>)>,
    len: usize,
) -> Result<Vec<f64>> {
    const FAILED: f64 = 1e6;
    let (mut all, mut failure) = (vec![0.0; len + 1], None);
    for (rows, losses) in found {
        match losses {
            Ok(losses) => all[rows].copy_from_slice(&losses),
            Err(error) => failure = Some(error),
        }
    }
    all[len] = match &failure {
        None => 0.0,
        Some(error) if error.kind() == ErrorKind::NotConverged => 1.0,
        Some(_) => FAILED,
    };
    ranks.sum_f64(&mut all)?;
    let failures = all.pop().unwrap_or_default();
    match failure {
        Some(error) if error.kind() != ErrorKind::NotConverged => Err(error),
        _ if failures >= FAILED => {
            Err(Error::new(ErrorKind::Internal, "another process of this training failed"))
        }
        Some(error) => Err(error),
        None if failures > 0.0 => {
            let text = "rows of another process of this training did not converge";
            Err(Error::new(ErrorKind::NotConverged, text))
        }
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::AddAssign;
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;
    use crate::columns::ColumnKind;
    use crate::train::toy::{POISON, UNSOLVED, events, options, run, table};
    use crate::train::{Event, FitOptions};

    /// A process that is a thread.
    #[derive(Clone)]
    struct Thread {
        rank: usize,
        numbers: Arc<[Mutex<Vec<f64>>]>,
        barrier: Arc<Barrier>,
    }

    impl Thread {
        fn all(count: usize) -> Vec<Self> {
            let numbers: Arc<[_]> = (0..count).map(|_| Mutex::default()).collect();
            let barrier = Arc::new(Barrier::new(count));
            let of = |rank| Self { rank, numbers: numbers.clone(), barrier: barrier.clone() };
            (0..count).map(of).collect()
        }

        /// The sum over some processes, as the trait has it.
        fn sum<T: AddAssign>(&self, of: Range<usize>, narrow: fn(f64) -> T) -> Vec<T> {
            if of.len() == 1 {
                let numbers = self.numbers[of.start].lock().unwrap();
                return numbers.iter().map(|x| narrow(*x)).collect();
            }
            let middle = of.start + of.len() / 2;
            let mut sum = self.sum(of.start..middle, narrow);
            sum.iter_mut().zip(self.sum(middle..of.end, narrow)).for_each(|(a, b)| *a += b);
            sum
        }

        fn share<T: AddAssign>(&self, numbers: Vec<f64>, narrow: fn(f64) -> T) -> Vec<T> {
            *self.numbers[self.rank].lock().unwrap() = numbers;
            self.barrier.wait();
            let sum = self.sum(0..self.count(), narrow);
            self.barrier.wait();
            sum
        }
    }

    impl Ranks for Thread {
        fn rank(&self) -> usize {
            self.rank
        }
        fn count(&self) -> usize {
            self.numbers.len()
        }
        fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
            let wide = values.iter().map(|x| f64::from(*x)).collect();
            values.copy_from_slice(&self.share(wide, |x| x as f32));
            Ok(())
        }
        fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
            values.copy_from_slice(&self.share(values.to_vec(), |x| x));
            Ok(())
        }
    }

    fn at(rank: usize, count: usize) -> Thread {
        Thread::all(count).swap_remove(rank)
    }

    /// Weights and news of each process.
    fn trained(count: usize) -> Vec<(Vec<f32>, String)> {
        let mut data = table(6000);
        for (row, value) in [(17, POISON), (4321, UNSOLVED)] {
            data.x.values_mut()[2 * row] = value;
        }
        let options = FitOptions { batch: Some(2048), ..options(12) };
        let one = |rank: Thread| {
            let mut run = run::<f32>(data.clone(), ColumnKind::Real, &options);
            if count > 1 {
                run.join(Box::new(rank));
            }
            let all: Vec<Event> = events(&mut run);
            (run.state.weights.clone(), format!("{all:?}"))
        };
        let one = &one;
        std::thread::scope(|scope| {
            let all: Vec<_> =
                Thread::all(count).into_iter().map(|rank| scope.spawn(move || one(rank))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    #[test]
    fn d9_processes_come_to_the_bits_of_one() {
        let alone = &trained(1)[0];
        assert!(alone.1.contains("not converge") || alone.1.contains("as a test asked for"));
        for count in [2, 3, 4, 11] {
            for (rank, found) in trained(count).iter().enumerate() {
                // News of a process may say that rows of another did not converge.
                assert_eq!(found.0, alone.0, "process {rank} of {count}");
            }
        }
    }

    #[test]
    fn every_shard_is_of_one_process_and_halves_are_halves() {
        for (count, shards) in [(1, 5), (2, 16), (3, 16), (4, 6), (5, 2), (16, 16)] {
            let all: Vec<usize> =
                (0..count).flat_map(|rank| own(&at(rank, count), shards)).collect();
            assert_eq!(all, (0..shards).collect::<Vec<_>>(), "{count} of {shards}");
        }
        assert_eq!([0, 1, 2, 3].map(|rank| own(&at(rank, 4), 6)), [0..1, 1..3, 3..4, 4..6]);
    }

    #[test]
    fn a_failure_is_known_to_all() {
        let losses = || vec![(1..3, Ok(vec![1.0, 2.0]))];
        assert_eq!(shared(&mut at(0, 1), losses(), 3).unwrap(), [0.0, 1.0, 2.0]);
        let mut found = losses();
        found.push((0..1, Err(Error::new(ErrorKind::NotConverged, "no"))));
        assert_eq!(shared(&mut at(0, 1), found, 3).unwrap_err().kind(), ErrorKind::NotConverged);
        // One may go on from rows that did not converge, but none without another.
        let kinds = [ErrorKind::NotConverged, ErrorKind::Io];
        let fail = |(mut rank, kind)| {
            shared(&mut rank, vec![(0..1, Err(Error::new(kind, "no")))], 3).unwrap_err().kind()
        };
        let found = std::thread::scope(|scope| {
            let all = Thread::all(2).into_iter().zip(kinds);
            let all: Vec<_> = all.map(|one| scope.spawn(move || fail(one))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(found, [ErrorKind::Internal, ErrorKind::Io]);
    }
}
