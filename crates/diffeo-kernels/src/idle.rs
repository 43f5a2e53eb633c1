//! Buffers that are kept from call to call.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Buffers that no call is using: each call takes one, or makes one, and brings it back. As many are kept as calls have run at once.
///
/// The lock is only tried, for about a microsecond. Whoever finds it closed works with fresh memory, and a process that was forked while another
/// thread held it, in which nobody would ever open it, does so for good.
#[derive(Debug)]
pub struct Idle<B> {
    kept: Mutex<Vec<B>>,
    /// Calls that have taken one and not brought it back, and the most that there were.
    out: AtomicUsize,
    most: AtomicUsize,
}

/// How often a closed lock is tried. It is held for as long as a push or a pop takes.
const TRIES: usize = 100;

impl<B> Default for Idle<B> {
    fn default() -> Self {
        Self { kept: Mutex::default(), out: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }
}

impl<B> Idle<B> {
    /// One that was used before, if there is one.
    pub fn take(&self) -> Option<B> {
        self.most.fetch_max(self.out.fetch_add(1, Relaxed) + 1, Relaxed);
        self.kept()?.pop()
    }

    /// Leaves the buffer of a call that took one, or made one, for the next.
    pub fn give_back(&self, buffer: B) {
        self.out.fetch_sub(1, Relaxed);
        // One that was made because the lock was closed is one too many.
        if let Some(mut kept) = self.kept()
            && kept.len() < self.most.load(Relaxed)
        {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> Option<MutexGuard<'_, Vec<B>>> {
        (0..TRIES).find_map(|tries| {
            if tries > 0 {
                std::hint::spin_loop();
            }
            self.kept.try_lock().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_back_is_used_again_and_a_closed_lock_stops_nobody() {
        let idle = Idle::default();
        assert_eq!(idle.take(), None);
        idle.give_back(1);
        let held = idle.kept.lock().unwrap();
        assert_eq!(idle.take(), None);
        idle.give_back(2);
        drop(held);
        assert_eq!([idle.take(), idle.take()], [Some(1), None]);
    }

    #[test]
    fn no_more_are_kept_than_calls_ran_at_once() {
        let idle = Idle::default();
        assert_eq!([idle.take(), idle.take()], [None, None]);
        idle.give_back(1);
        idle.give_back(2);
        for made in 3..100 {
            let held = idle.kept.lock().unwrap();
            assert_eq!(idle.take(), None);
            drop(held);
            idle.give_back(made);
        }
        assert_eq!(idle.kept.lock().unwrap().len(), 2);
    }
}
