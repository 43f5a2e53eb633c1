//! Independent items on several threads, results in order.
//!
//! A batch is often scored in less time than a thread takes to start, so the threads of a call are kept for the next one. A call has
//! its threads for itself: were they shared, a short call would wait for a long one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, ErrorKind, Result};

/// `work(i)` for every `i` below `n`, on at most so many threads, this one among them. Which thread does an item changes nothing about
/// its result.
///
/// # Errors
/// Of all items that fail the first one's error; [`ErrorKind::Internal`] if `work` panics.
pub(crate) fn map<R: Send>(
    n: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let mut all: Vec<(usize, Result<R>)> = Vec::with_capacity(n);
    let parts = run(threads.clamp(1, n.max(1)), || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n {
                return done;
            }
            let result = work(i);
            let failed = result.is_err();
            done.push((i, result));
            if failed {
                // Items are taken in order, so whatever fails before this one is already at work.
                return done;
            }
        }
    });
    for part in parts {
        all.extend(part.map_err(|_| {
            Error::new(ErrorKind::Internal, "a worker thread panicked; please report this")
        })?);
    }
    all.sort_unstable_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Threads that no call is using, and the process that started them: a forked one has inherited them on paper only.
struct Kept {
    process: u32,
    pool: ThreadPool,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// Runs `work` on this thread and at the same time on `threads - 1` others, and returns what each of them made of it.
///
/// Where no thread can be started this one works alone, so `work` must do what there is to do whoever else does.
fn run<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<std::thread::Result<R>> {
    let done = Mutex::new(Vec::with_capacity(threads));
    let work = || {
        let result = catch_unwind(AssertUnwindSafe(&work));
        done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    };
    let others = threads - 1;
    if others > 0 && rayon::current_thread_index().is_some() {
        // A thread of rayon does other jobs while it waits, here those of the caller. It must not.
        std::thread::scope(|scope| {
            for _ in 0..others {
                // What cannot be started is not missed.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    } else if let Some(kept) = take(others) {
        kept.pool.in_place_scope(|scope| {
            (0..others).for_each(|_| scope.spawn(|_| work()));
            work();
        });
        give_back(kept);
    } else {
        work();
    }
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// At least so many threads, or as many as there are if the system starts no more; `None` for none.
fn take(count: usize) -> Option<Kept> {
    if count == 0 {
        return None;
    }
    let process = std::process::id();
    // Only tried: a fork copies a lock that some other thread held just then, and nobody would ever open it.
    let kept = KEPT.try_lock().ok().and_then(|mut kept| kept.take());
    let kept = match kept {
        Some(kept) if kept.process == process => Some(kept),
        inherited => {
            std::mem::forget(inherited);
            None
        }
    };
    if kept.as_ref().is_some_and(|kept| kept.pool.current_num_threads() >= count) {
        return kept;
    }
    let started = ThreadPoolBuilder::new().num_threads(count).build().ok();
    started.map(|pool| Kept { process, pool }).or(kept)
}

/// Keeps the threads, unless more are kept already.
fn give_back(own: Kept) {
    if let Ok(mut kept) = KEPT.try_lock() {
        let more = |k: &Kept| k.pool.current_num_threads() > own.pool.current_num_threads();
        if !kept.as_ref().is_some_and(more) {
            *kept = Some(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn order_is_that_of_the_items_for_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 16] {
            for n in [0, 1, 5, 7] {
                let found = map(n, threads, |i| Ok(i * i)).unwrap();
                assert_eq!(found, (0..n).map(|i| i * i).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_of_all_errors_is_returned() {
        for threads in [1, 2, 5] {
            let fail = |i: usize| if i >= 3 { Err(Error::config(format!("{i}"))) } else { Ok(i) };
            assert_eq!(map(9, threads, fail).unwrap_err().message(), "3");
        }
    }

    #[test]
    fn all_threads_work_at_the_same_time_call_after_call() {
        for threads in [1, 3, 2, 5, 5] {
            let barrier = Barrier::new(threads);
            let wait = |i| {
                barrier.wait();
                Ok(i)
            };
            assert_eq!(map(threads, threads, wait).unwrap().len(), threads);
        }
    }

    #[test]
    fn a_thread_of_rayon_does_nothing_else_while_it_waits() {
        let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (inside, stolen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.in_place_scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| {
                    stolen.fetch_add(inside.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                    let sleep = |i| {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        Ok(i)
                    };
                    assert_eq!(map(4, 2, sleep).unwrap(), [0, 1, 2, 3]);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(stolen.into_inner(), 0);
    }

    #[test]
    fn a_call_does_not_wait_for_the_threads_of_another() {
        let (started, finish) = (Barrier::new(3), Barrier::new(3));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                map(2, 2, |i| {
                    started.wait();
                    finish.wait();
                    Ok(i)
                })
            });
            started.wait();
            assert_eq!(map(2, 2, Ok).unwrap(), [0, 1]);
            finish.wait();
        });
    }
}
