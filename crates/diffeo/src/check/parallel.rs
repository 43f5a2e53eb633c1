//! Independent items on several threads, results in order.

use crate::error::{Error, ErrorKind, Result};

/// `work(i)` for every `i` below `n`. Which thread does an item changes nothing about its result.
pub(super) fn map<R: Send>(
    n: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = threads.clamp(1, n.max(1));
    if threads == 1 {
        return (0..n).map(work).collect();
    }
    let part = n.div_ceil(threads);
    let run = |t: usize| (t * part..((t + 1) * part).min(n)).map(&work).collect::<Result<Vec<R>>>();
    let parts: Result<Vec<Vec<R>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Result<Vec<R>>>| {
            handle.join().unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "a worker thread panicked; please report this"))
            })
        };
        handles.into_iter().map(join).collect()
    });
    Ok(parts?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_items_for_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 16] {
            for n in [0, 1, 5, 7] {
                let found = map(n, threads, |i| Ok(i * i)).unwrap();
                assert_eq!(found, (0..n).map(|i| i * i).collect::<Vec<_>>());
            }
        }
        assert!(map(4, 2, |i| if i == 3 { Err(Error::config("no")) } else { Ok(i) }).is_err());
    }
}
