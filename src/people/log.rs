//! The numbered events: what is still to be told, and what somebody who comes back may ask for again.
//!
//! One ring serves both, so an event is kept once. Limits: `EVENT_LOG_MAX` and `EVENT_LOG_BYTES_MAX`; the oldest is forgotten, and who would need it
//! starts over from a snapshot.

use std::collections::VecDeque;

use super::event::{Audience, Event, Numbered};
use crate::id::PeerId;
use crate::limits::{EVENT_LOG_BYTES_MAX, EVENT_LOG_MAX};

/// The last events of a room.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Numbers grow by one from the front.
    events: VecDeque<Numbered>,
    bytes: usize,
    last: u64,
    /// Number of the last event that was taken by `poll`.
    taken: u64,
}

impl Log {
    /// Number of the last event, 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn push(&mut self, audience: Audience, event: Event) {
        self.last += 1;
        self.bytes += event.weight();
        self.events.push_back(Numbered { seq: self.last, audience, event });
        while self.events.len() > EVENT_LOG_MAX || (self.bytes > EVENT_LOG_BYTES_MAX && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.weight();
        }
    }

    /// The next event that has not been taken.
    pub(super) fn poll(&mut self) -> Option<Numbered> {
        self.taken = self.taken.max(self.forgotten());
        let next = self.events.get((self.taken - self.forgotten()) as usize)?.clone();
        self.taken = next.seq;
        Some(next)
    }

    /// The events after `seq` that `peer` may hear. `None` if some of them are forgotten, or if there never was an event `seq`.
    pub(super) fn since(&self, seq: u64, peer: PeerId) -> Option<Vec<Numbered>> {
        let skip = seq.checked_sub(self.forgotten())?;
        if seq > self.last {
            return None;
        }
        let missed = self.events.iter().skip(skip as usize);
        Some(missed.filter(|event| event.audience.includes(peer)).cloned().collect())
    }

    /// Number of the last event that is not kept any more.
    fn forgotten(&self) -> u64 {
        self.last - self.events.len() as u64
    }
}
