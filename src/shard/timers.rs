//! When the shard next has something to do, and for whom.
//!
//! A time that moves on costs nothing: what stands in the queue stays there, and is put right when its turn comes. So a connection whose timers are
//! pushed back by every packet is sorted a few times a second, and one that is idle not at all.

use std::collections::BTreeSet;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::id::PeerId;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Waiter {
    /// A peer's connection.
    Peer(PeerId),
    /// A room and its people, by their place in the shard.
    Hall(usize),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Instant,
    /// Where it stands in the queue: not after `due`.
    queued: Instant,
}

/// At most one time for each that waits.
#[derive(Debug, Default)]
pub struct Timers {
    queue: BTreeSet<(Instant, Waiter)>,
    times: FxHashMap<Waiter, Entry>,
}

impl Timers {
    /// Waits for `at` instead of what was waited for before; `None`: no longer.
    pub fn set(&mut self, waiter: Waiter, at: Option<Instant>) {
        let Some(at) = at else {
            if let Some(old) = self.times.remove(&waiter) {
                self.queue.remove(&(old.queued, waiter));
            }
            return;
        };
        match self.times.get_mut(&waiter) {
            Some(entry) if entry.queued <= at => entry.due = at,
            Some(entry) => {
                self.queue.remove(&(entry.queued, waiter));
                *entry = Entry { due: at, queued: at };
                self.queue.insert((at, waiter));
            }
            None => {
                self.times.insert(waiter, Entry { due: at, queued: at });
                self.queue.insert((at, waiter));
            }
        }
    }

    /// The next time, or one before it.
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
        loop {
            let (at, waiter) = *self.queue.first()?;
            if at > now {
                return None;
            }
            self.queue.pop_first();
            let Some(entry) = self.times.get_mut(&waiter) else { continue };
            if entry.due <= now {
                self.times.remove(&waiter);
                return Some(waiter);
            }
            entry.queued = entry.due;
            self.queue.insert((entry.due, waiter));
        }
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
        assert_eq!(t.pop(at(19)), None);
        assert_eq!(t.next(), Some(at(20)), "put right when its turn came");
        assert_eq!(t.pop(at(40)), Some(b));
        assert_eq!(t.pop(at(40)), Some(a));
        assert_eq!((t.pop(at(40)), t.next()), (None, None));
        t.set(a, Some(at(1)));
        t.set(a, None);
        assert_eq!((t.next(), t.len()), (None, 0));
        t.set(a, Some(at(50)));
        t.set(a, Some(at(40)));
        assert_eq!((t.next(), t.pop(at(49)), t.len()), (Some(at(40)), Some(a), 0), "a time may come nearer");
    }
}
