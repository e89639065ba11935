//! What leaves in this tick: noted packet by packet as it comes in, sealed receiver by receiver at the end.
//!
//! A frame is six packets that come in one after the other, and each goes to a thousand receivers. Sealed as they come, each packet would fetch the keys,
//! the history and the outbox of all thousand into the cache anew. So here a receiver's packets are chained, and all of them are sealed and sent while its
//! things are at hand, in one buffer that all share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{Core, Waiter};
use crate::limits::OUTGOING_MAX;
use crate::metrics::{DropReason, Drops};
use crate::room::Forward;
use crate::rtp::Packet;
use crate::webrtc::{Outbox, Path, Peer};

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// One packet for one receiver.
struct Queued {
    forward: Forward,
    packet: u32,
    /// The receiver's next one.
    next: u32,
}

/// A receiver's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    first: u32,
    last: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { first: NONE, last: NONE }
    }
}

/// All of a tick. What it has allocated is used again.
#[derive(Default)]
pub(super) struct Outgoing {
    packets: Vec<Arc<Packet>>,
    queue: Vec<Queued>,
    /// Every receiver's datagrams are written here and leave from here, one receiver after the other, so that it stays in the cache.
    outbox: Outbox,
    /// When they came.
    now: Option<Instant>,
}

impl Outgoing {
    /// A packet that forwards may be queued of.
    pub(super) fn add(&mut self, packet: Arc<Packet>, now: Instant) -> u32 {
        self.now = Some(now);
        self.packets.push(packet);
        self.packets.len() as u32 - 1
    }

    /// Seals a receiver's packets.
    fn seal(&self, chain: Chain, media: &mut Peer, drops: &mut Drops, now: Instant) {
        let mut next = chain.first;
        while let Some(queued) = self.queue.get(next as usize) {
            if let Err(reason) = media.send(&queued.forward, &self.packets[queued.packet as usize], now) {
                drops.count(reason);
            }
            next = queued.next;
        }
    }

    /// `false`: there is no room in this tick.
    fn push(&mut self, chain: &mut Chain, forward: Forward, packet: u32) -> bool {
        if self.queue.len() == OUTGOING_MAX {
            return false;
        }
        let index = self.queue.len() as u32;
        self.queue.push(Queued { forward, packet, next: NONE });
        match self.queue.get_mut(chain.last as usize) {
            Some(last) => last.next = index,
            None => chain.first = index,
        }
        chain.last = index;
        true
    }
}

impl Core {
    /// One packet for one receiver, at the end of the tick.
    #[inline]
    pub(super) fn queue(&mut self, forward: Forward, packet: u32) {
        let Some(member) = self.members.get_mut(&forward.peer) else { return };
        if !self.outgoing.push(&mut member.chain, forward, packet) {
            return self.counters.drops.count(DropReason::OutboxFull);
        }
        if !member.touched {
            member.touched = true;
            self.touched.push(forward.peer);
        }
    }

    /// Everything that waits to be sent: (path, bytes, segment size), runs of at most `run_max` datagrams. Who breaks over it goes.
    pub fn take_datagrams(&mut self, run_max: usize, mut send: impl FnMut(Path, &[u8], usize)) {
        for mut media in self.leaving.drain(..) {
            media.take_datagrams(run_max, &mut send);
        }
        let now = self.outgoing.now.take();
        let Core { outgoing, members, touched, counters, timers, broken, .. } = self;
        for peer in touched.drain(..) {
            let Some(member) = members.get_mut(&peer) else { continue };
            member.touched = false;
            let (chain, media) = (std::mem::take(&mut member.chain), &mut member.media);
            if let Some(now) = now {
                media.lend_outbox(&mut outgoing.outbox);
                let sealed = catch_unwind(AssertUnwindSafe(|| outgoing.seal(chain, media, &mut counters.drops, now)));
                if sealed.is_err() {
                    broken.push(peer);
                    continue;
                }
            }
            media.take_datagrams(run_max, &mut send);
            media.return_outbox(&mut outgoing.outbox);
            media.add_counters(counters);
            timers.set(Waiter::Peer(peer), Some(media.timeout()));
        }
        outgoing.queue.clear();
        outgoing.packets.clear();
        if let Some(now) = now {
            self.end_broken(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PeerId, SlotIndex, TrackId};
    use crate::rtp::{Patch, Rewritten};

    #[test]
    fn a_tick_has_room_for_so_many() {
        let header = Rewritten { seq: 1, timestamp: 0, marker: false, empty: false, begins: false, patch: Patch::default() };
        let forward = Forward { peer: PeerId(1), slot: SlotIndex(0), track: TrackId(1), header };
        let (mut outgoing, mut chain) = (Outgoing::default(), Chain::default());
        let pushed = (0..2 * OUTGOING_MAX).filter(|_| outgoing.push(&mut chain, forward, 0)).count();
        assert_eq!((pushed, chain.first, chain.last as usize), (OUTGOING_MAX, 0, OUTGOING_MAX - 1));
    }
}
