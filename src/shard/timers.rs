//! When the shard next has something to do, and for whom.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::id::PeerId;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Waiter {
    /// A peer's connection.
    Peer(PeerId),
    /// A room and its people, by their place in the shard.
    Hall(usize),
}

/// At most one time for each that waits.
#[derive(Debug, Default)]
pub struct Timers {
    queue: BTreeSet<(Instant, Waiter)>,
    times: HashMap<Waiter, Instant>,
}

impl Timers {
    /// Waits for `at` instead of what was waited for before; `None`: no longer.
    pub fn set(&mut self, waiter: Waiter, at: Option<Instant>) {
        if self.times.get(&waiter).copied() == at {
            return;
        }
        let old = match at {
            Some(at) => {
                self.queue.insert((at, waiter));
                self.times.insert(waiter, at)
            }
            None => self.times.remove(&waiter),
        };
        if let Some(old) = old {
            self.queue.remove(&(old, waiter));
        }
    }

    /// The next time.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Entries of both.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.queue.len() + self.times.len()
    }

    /// Somebody whose time has come; waits no longer.
    pub fn pop(&mut self, now: Instant) -> Option<Waiter> {
        let (at, waiter) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.set(waiter, None);
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_time_each_in_order() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let (a, b) = (Waiter::Peer(PeerId(1)), Waiter::Hall(0));
        let mut t = Timers::default();
        t.set(a, Some(at(10)));
        t.set(b, Some(at(20)));
        t.set(a, Some(at(30)));
        assert_eq!(t.next(), Some(at(20)));
        assert_eq!(t.pop(at(19)), None);
        assert_eq!(t.pop(at(40)), Some(b));
        assert_eq!(t.pop(at(40)), Some(a));
        assert_eq!((t.pop(at(40)), t.next()), (None, None));
        t.set(a, Some(at(1)));
        t.set(a, None);
        assert_eq!(t.next(), None);
    }
}
