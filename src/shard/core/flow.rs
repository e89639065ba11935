//! What comes out of datagrams and of time: packets into slots, wishes to publishers, news to people.
//!
//! A datagram ends with `pump` (its connection says nothing more) and `settle` (its room says nothing more). What other connections have to say
//! after a drain on the way waits for the next tick: their timer says "at once".

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{Core, Waiter};
use crate::id::{ConnectionId, LayerIndex, PeerId, SlotIndex, TrackId};
use crate::limits::{DATA_BYTES_PER_COST, DATA_RECEIVERS_PER_COST};
use crate::metrics::DropReason;
use crate::people::LeaveReason;
use crate::room::{self, Output};
use crate::rtp::Packet;
use crate::shard::command::Notice;
use crate::webrtc::{CloseReason, Path, PeerEvent, Transport};

impl Core {
    /// A datagram from a socket.
    pub fn handle_datagram(&mut self, path: Path, datagram: &[u8], now: Instant) {
        let peer = match self.demux.find(path.source(), datagram) {
            Ok(peer) => peer,
            Err(reason) => return self.counters.drops.count(reason),
        };
        let Some(member) = self.members.get_mut(&peer) else { return self.counters.drops.count(DropReason::NotConnected) };
        let handled = catch_unwind(AssertUnwindSafe(|| member.media.handle_datagram(path, datagram, now)));
        match handled {
            Ok(()) => self.pump(peer, now),
            Err(_) => self.on_panic(peer, now),
        }
    }

    /// A TCP connection is over, whoever it was of.
    pub fn handle_closed(&mut self, path: Path, now: Instant) {
        let (Transport::Tcp(connection), Some(peer)) = (path.transport, self.demux.forget(path.source())) else { return };
        if let Some(member) = self.members.get_mut(&peer) {
            member.media.handle_closed(connection, now);
            self.touch(peer);
        }
    }

    /// The TCP connection of the last datagram, if that was a check which made it somebody's, or kept it so.
    pub fn take_proven(&mut self) -> Option<ConnectionId> {
        self.proven.take()
    }

    /// Lets time pass for those whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut due = vec![];
        while let Some(waiter) = self.timers.pop(now) {
            due.push(waiter);
        }
        for waiter in due {
            match waiter {
                Waiter::Peer(peer) => {
                    let Some(member) = self.members.get_mut(&peer) else { continue };
                    match catch_unwind(AssertUnwindSafe(|| member.media.handle_timeout(now))) {
                        Ok(()) => self.pump(peer, now),
                        Err(_) => self.on_panic(peer, now),
                    }
                }
                Waiter::Hall(key) => {
                    let Some(hall) = &mut self.halls[key] else { continue };
                    match catch_unwind(AssertUnwindSafe(|| hall.handle_timeout(now))) {
                        Ok(()) if hall.is_over(now) => self.end(key, LeaveReason::RoomClosed, now),
                        Ok(()) => {
                            self.send_out_gone(key, now);
                            self.settle(key, now);
                        }
                        Err(_) => self.on_room_panic(key, now),
                    }
                }
            }
        }
    }

    /// Takes a peer's events until there are no more.
    pub(super) fn pump(&mut self, peer: PeerId, now: Instant) {
        let mut key = None;
        while let Some(member) = self.members.get_mut(&peer) {
            key = Some(member.hall);
            let Some(event) = member.media.poll() else {
                self.touch(peer);
                break;
            };
            self.on_peer_event(peer, event, now);
        }
        if let Some(key) = key {
            self.settle(key, now);
        }
    }

    fn on_peer_event(&mut self, peer: PeerId, event: PeerEvent, now: Instant) {
        match event {
            PeerEvent::Packet { track, layer, packet } => self.forward(peer, track, layer, packet, now),
            PeerEvent::KeyframeRequest(slot) => self.tell_room(peer, |peer| room::Input::KeyframeRequest { peer, slot }, now),
            PeerEvent::Estimate(bps) => self.tell_room(peer, |peer| room::Input::Estimate { peer, bps }, now),
            PeerEvent::Checked { path, nominates } => self.on_check(peer, path, nominates, now),
            // Slots of one who is not connected are never filled, and one who may not receive stays so.
            PeerEvent::Connected if !self.members.get(&peer).is_some_and(|member| member.receives) => {}
            PeerEvent::Connected => self.tell_room(peer, |peer| room::Input::Connected { peer }, now),
            PeerEvent::Data { reliable, to, payload } => self.on_data(peer, reliable, to, &payload, now),
            PeerEvent::Closed(CloseReason::Client) => self.remove(peer, LeaveReason::Left, now),
            PeerEvent::Closed(CloseReason::NotConnected | CloseReason::Lost | CloseReason::NoProfile | CloseReason::Failed) => {
                self.remove(peer, LeaveReason::MediaLost, now);
            }
        }
    }

    /// Those whose signalling was lost for too long.
    fn send_out_gone(&mut self, key: usize, now: Instant) {
        let gone = self.halls[key].as_ref().map(|hall| hall.people.gone(now)).unwrap_or_default();
        gone.into_iter().for_each(|peer| self.remove(peer, LeaveReason::Disconnected, now));
    }

    fn on_check(&mut self, peer: PeerId, path: Path, nominates: bool, now: Instant) {
        if !self.demux.prove(peer, path.source(), now) {
            return self.counters.drops.count(DropReason::Address);
        }
        if let Transport::Tcp(connection) = path.transport {
            self.proven = Some(connection);
        }
        if let Some(member) = self.members.get_mut(&peer) {
            member.media.prove(path, nominates, now);
        }
    }

    fn tell_room(&mut self, peer: PeerId, input: impl FnOnce(PeerId) -> room::Input, now: Instant) {
        let Some(key) = self.members.get(&peer).map(|member| member.hall) else { return };
        if let Ok(Err(error)) = self.in_hall(key, now, |hall| hall.room.handle(input(peer), now)) {
            tracing::debug!(%peer, %error, "the room refused");
        }
    }

    /// One packet to everybody who has its track in a slot.
    fn forward(&mut self, from: PeerId, track: TrackId, layer: LayerIndex, packet: Packet, now: Instant) {
        let Some(key) = self.members.get(&from).map(|member| member.hall) else { return };
        let Some(hall) = &mut self.halls[key] else { return };
        self.counters.packets_received += 1;
        self.counters.bytes_received += packet.payload.len() as u64;
        let packet = Arc::new(packet);
        self.forwards.clear();
        let forwards = &mut self.forwards;
        let forwarded = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert!(!std::mem::take(&mut hall.poisoned), "poisoned by a test");
            hall.room.forward(track, layer, &packet, now, forwards);
        }));
        if forwarded.is_err() {
            return self.on_room_panic(key, now);
        }
        let mut forwards = std::mem::take(&mut self.forwards);
        if !forwards.is_empty() {
            let packet = self.outgoing.add(packet, now);
            forwards.drain(..).for_each(|forward| self.queue(forward, packet));
        }
        self.forwards = forwards;
    }

    /// Takes out those who broke within a loop over many.
    pub(super) fn end_broken(&mut self, now: Instant) {
        while let Some(broken) = self.broken.pop() {
            self.on_panic(broken, now);
        }
    }

    fn on_data(&mut self, from: PeerId, reliable: bool, to: u32, payload: &[u8], now: Instant) {
        let Some(member) = self.members.get(&from) else { return };
        let Some(hall) = &self.halls[member.hall] else { return };
        let to_one = |peer: &PeerId| to == 0 || peer.0 == to;
        let receivers: Vec<PeerId> = hall.members.iter().copied().filter(|peer| *peer != from && to_one(peer)).collect();
        if member.viewer || (receivers.is_empty() && to != 0) {
            return self.counters.drops.count(DropReason::Data);
        }
        let extra = receivers.len() / DATA_RECEIVERS_PER_COST + receivers.len() * payload.len() / DATA_BYTES_PER_COST;
        if extra > 0 && !self.members.get_mut(&from).is_some_and(|member| member.media.take_data(extra as f64, now)) {
            return;
        }
        for receiver in receivers {
            let Some(member) = self.members.get_mut(&receiver) else { continue };
            match catch_unwind(AssertUnwindSafe(|| member.media.send_data(reliable, from.0, payload, now))) {
                Ok(true) => self.touch(receiver),
                Ok(false) => self.counters.drops.count(DropReason::Data),
                Err(_) => self.broken.push(receiver),
            }
        }
        self.end_broken(now);
    }

    pub(super) fn touch(&mut self, peer: PeerId) {
        if let Some(member) = self.members.get_mut(&peer)
            && !member.touched
        {
            member.touched = true;
            self.touched.push(peer);
        }
    }

    /// Carries out and tells what a room and its people say, until they say nothing more.
    pub(super) fn settle(&mut self, key: usize, now: Instant) {
        let mut slots: BTreeMap<PeerId, Vec<(String, room::SlotState)>> = BTreeMap::new();
        let mut encodings: BTreeMap<PeerId, Vec<(TrackId, Vec<bool>)>> = BTreeMap::new();
        while let Some(hall) = &mut self.halls[key] {
            let polled = catch_unwind(AssertUnwindSafe(|| hall.room.poll()));
            match polled {
                Ok(Some(Output::RequestKeyframe { publisher, track, layer })) => self.ask_keyframe(publisher, track, layer, now),
                Ok(Some(Output::Slot { peer, slot, state })) => self.note_slot(&mut slots, peer, slot, state),
                Ok(Some(Output::Encodings { publisher, track, active })) => encodings.entry(publisher).or_default().push((track, active)),
                Ok(Some(Output::Want { peer, bps })) => self.want(peer, bps, now),
                Ok(Some(Output::Replay(packets))) => {
                    for (forward, packet) in packets {
                        let packet = self.outgoing.add(packet, now);
                        self.queue(forward, packet);
                    }
                }
                Ok(Some(Output::Speakers(speakers))) => {
                    let speakers: Arc<[room::Speaker]> = speakers.into();
                    self.notices.extend(hall.members.iter().map(|m| (*m, Notice::Speakers(speakers.clone()))));
                }
                Ok(None) => break,
                Err(_) => return self.on_room_panic(key, now),
            }
        }
        self.notices.extend(encodings.into_iter().map(|(peer, changed)| (peer, Notice::Encodings(changed))));
        self.notices.extend(slots.into_iter().map(|(peer, changed)| (peer, Notice::Slots(changed))));
        let Some(hall) = &mut self.halls[key] else { return };
        while let Some(event) = hall.people.poll() {
            let (event, audience) = hall.audience(event);
            self.notices.extend(audience.into_iter().map(|peer| (peer, Notice::Event(event.clone()))));
        }
        self.counters.drops.add(&hall.room.take_counters().drops);
        self.timers.set(Waiter::Hall(key), hall.timeout());
    }

    fn want(&mut self, peer: PeerId, bps: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        if catch_unwind(AssertUnwindSafe(|| member.media.want(bps, now))).is_err() {
            return self.on_panic(peer, now);
        }
        self.touch(peer);
    }

    fn ask_keyframe(&mut self, publisher: PeerId, track: TrackId, layer: LayerIndex, now: Instant) {
        self.counters.plis_sent += 1;
        let Some(member) = self.members.get_mut(&publisher) else { return };
        if catch_unwind(AssertUnwindSafe(|| member.media.request_keyframe(track, layer, now))).is_err() {
            return self.on_panic(publisher, now);
        }
        self.touch(publisher);
    }

    fn note_slot(
        &self,
        slots: &mut BTreeMap<PeerId, Vec<(String, room::SlotState)>>,
        peer: PeerId,
        slot: SlotIndex,
        state: room::SlotState,
    ) {
        let Some(mid) = self.members.get(&peer).and_then(|member| member.media.slot_mid(slot)) else { return };
        let changed = slots.entry(peer).or_default();
        changed.retain(|(known, _)| known != mid);
        changed.push((mid.to_string(), state));
    }
}
