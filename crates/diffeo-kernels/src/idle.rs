//! Buffers that are kept from call to call.

use std::sync::Mutex;

/// Buffers that no call is using: each call takes one, or makes one, and brings it back.
///
/// The lock is only tried, here as there. Whoever finds it closed works with fresh memory, and a process that was forked while another
/// thread held it, in which nobody would ever open it, does so for good.
#[derive(Debug)]
pub struct Idle<B>(Mutex<Vec<B>>);

impl<B> Default for Idle<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B> Idle<B> {
    /// One that was used before, if there is one.
    pub fn take(&self) -> Option<B> {
        self.0.try_lock().ok()?.pop()
    }

    /// Leaves a buffer for the next call.
    pub fn give_back(&self, buffer: B) {
        if let Ok(mut idle) = self.0.try_lock() {
            idle.push(buffer);
        }
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
        let held = idle.0.lock().unwrap();
        assert_eq!(idle.take(), None);
        idle.give_back(2);
        drop(held);
        assert_eq!([idle.take(), idle.take()], [Some(1), None]);
    }
}
