//! What all sockets together may send before they are anybody: the bytes of first messages, which are in memory until they are whole.
//!
//! ```text
//! socket opened ─► begin ─► bytes read are counted, of all sockets ─► first message whole, or the socket gone ─► given back
//!                                       └─ too many: this socket breaks
//! ```
//!
//! Bytes and not sockets are counted, since idle sockets are cheap to hold and would keep everybody else out; to fill this, one has to send as
//! much, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::limits::ARRIVING_BYTES_MAX;

/// The bytes of one socket's first message. A copy is the same.
#[derive(Clone, Debug)]
pub struct Arriving(Arc<One>);

#[derive(Debug)]
struct One {
    of_all: Arc<AtomicUsize>,
    bytes: AtomicUsize,
    counts: AtomicBool,
}

impl Arriving {
    /// Of one connection more, among `all`. Nothing is counted yet.
    pub fn new(all: &Arc<AtomicUsize>) -> Arriving {
        Arriving(Arc::new(One { of_all: Arc::clone(all), bytes: AtomicUsize::new(0), counts: AtomicBool::new(false) }))
    }

    /// From now on what is read is of a first message.
    pub fn begin(&self) {
        self.0.counts.store(true, Ordering::Relaxed);
    }

    /// The first message is whole.
    pub fn end(&self) {
        self.0.counts.store(false, Ordering::Relaxed);
        self.0.give_back();
    }

    /// So many bytes were read. `false`: they are too many for the server.
    pub fn take(&self, bytes: usize) -> bool {
        if !self.0.counts.load(Ordering::Relaxed) {
            return true;
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.of_all.fetch_add(bytes, Ordering::Relaxed) + bytes <= ARRIVING_BYTES_MAX
    }
}

impl One {
    fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.of_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages_are_counted_together_and_given_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let count = || all.load(Ordering::Relaxed);
        let [a, b] = [(); 2].map(|()| Arriving::new(&all));
        assert!(a.take(ARRIVING_BYTES_MAX + 1), "a request that is no socket is bounded otherwise");
        assert_eq!(count(), 0);
        a.begin();
        b.begin();
        assert!(a.take(ARRIVING_BYTES_MAX - 10) && b.take(10));
        assert!(!b.take(1), "full");
        a.end();
        assert_eq!(count(), 11);
        assert!(b.take(1_000) && a.take(1_000), "what is said later is somebody's");
        assert_eq!(count(), 1_011);
        let same = b.clone();
        drop(b);
        assert_eq!(count(), 1_011, "the stream still has it");
        drop(same);
        assert_eq!(count(), 0);
    }
}
