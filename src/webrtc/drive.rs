//! Driving str0m: the one place where something is handed to the `Rtc` and where it is drained.
//!
//! str0m's rule is: change it once, poll until it says `Timeout`, change it again. In RTP mode it keeps a single received packet, so two
//! datagrams without a drain between them lose one.

use std::sync::Arc;
use std::time::Instant;

use str0m::channel::ChannelData;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Event, IceConnectionState, Input, Output};

use super::feedback::{is_rtcp, is_rtp, word};
use super::peer::{CloseReason, LOST_FOR_GOOD, Path, Peer, PeerEvent};
use super::srtp::Session;
use super::{stun, translate};
use crate::id::{LayerIndex, SlotIndex, TrackId};
use crate::limits::{DATA_BYTES_MAX, LAYERS_PER_TRACK_MAX, MEDIA_BYTES_MAX, SLOTS_PER_PEER_MAX, TRACKS_PER_PEER_MAX};

const _: () = assert!(SLOTS_PER_PEER_MAX <= 64, "a set of slots is a u64");
use crate::metrics::DropReason;
use crate::room::Forward;
use crate::rtp::Packet;

/// Outputs of one drain. A connection has never been seen to need more than some hundred; more means a loop, and the next tick goes on.
const OUTPUTS_PER_DRAIN_MAX: usize = 10_000;
/// Datagrams of str0m that wait for the end of the tick; a data channel burst is the largest. More: dropped, SCTP and DTLS repeat.
const TRANSMITS_MAX: usize = 4_096;

impl Peer {
    /// A datagram for this peer. The caller has made sure that it is STUN, or comes over a proven path.
    pub fn handle_datagram(&mut self, path: Path, datagram: &[u8], now: Instant) {
        if self.closed {
            return;
        }
        #[cfg(test)]
        assert!(!std::mem::take(&mut self.poisoned), "poisoned by a test");
        if is_rtcp(datagram) && self.connected {
            // One datagram may ask a hundred times; each slot is told once.
            let mut asked = 0u64;
            self.egress.handle_rtcp(datagram, now, |slot| asked |= 1 << slot.0);
            let slots = (0..SLOTS_PER_PEER_MAX as u16).filter(|slot| asked >> slot & 1 == 1);
            self.events.extend(slots.map(|slot| PeerEvent::KeyframeRequest(SlotIndex(slot))));
            if self.sections.is_empty() {
                return; // str0m has nothing to learn from it, and walks all its streams to find that out
            }
        }
        let nominates = stun::nominates(datagram);
        self.answered_check = None;
        let Ok(receive) = Receive::new(Protocol::Udp, path.remote, path.local, datagram) else {
            self.drops.count(DropReason::Malformed);
            return;
        };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            // One bad packet never ends a connection: anybody can send one.
            tracing::debug!(%error, "datagram refused");
            self.drops.count(DropReason::Malformed);
        }
        self.drain(now);
        if self.answered_check == Some(path.remote) {
            self.events.push_back(PeerEvent::Proven(path));
            if nominates {
                self.nominated = Some(path);
            }
        }
    }

    /// When [`Peer::handle_timeout`] or [`Peer::poll`] has something to do.
    pub fn timeout(&self) -> Instant {
        if !self.events.is_empty() {
            return self.born; // long ago: at once
        }
        [self.egress.timeout(), self.deadline].into_iter().flatten().fold(self.timeout, Instant::min)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.deadline.is_some_and(|at| at <= now) {
            self.close(if self.connected { CloseReason::Lost } else { CloseReason::NotConnected });
            return;
        }
        self.egress.handle_timeout(now);
        if self.timeout <= now {
            self.wake(now);
        }
    }

    /// Tells str0m the time and drains it.
    pub(super) fn wake(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "timeout refused");
        }
        self.drain(now);
    }

    /// One packet into one slot. On success it waits for [`Peer::take_datagrams`].
    #[inline]
    pub fn send(&mut self, forward: &Forward, packet: &Arc<Packet>, now: Instant) -> Result<(), DropReason> {
        if !self.connected || self.closed {
            return Err(DropReason::NotConnected);
        }
        self.egress.send(forward, packet, now)
    }

    /// What happened; ask until there is nothing more.
    pub fn poll(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Hands out all that waits: (path, bytes, segment size), a run of at most `run_max` datagrams of that size, of which the last may be shorter.
    pub fn take_datagrams(&mut self, run_max: usize, mut send: impl FnMut(Path, &[u8], usize)) {
        while let Some((path, bytes)) = self.transmits.pop_front() {
            send(path, &bytes, bytes.len());
        }
        if self.egress.outbox.is_empty() {
            return;
        }
        match self.nominated {
            Some(path) => self.egress.outbox.drain(run_max, |bytes, size| send(path, bytes, size)),
            None => self.egress.outbox.drain(run_max, |_, _| ()), // keys without a path cannot be, but a queue must not grow over it
        }
    }

    /// Says goodbye and ends the connection.
    pub fn shut(&mut self, now: Instant) {
        if !self.closed {
            let _ = self.rtc.close();
            self.drain(now);
            self.closed = true;
        }
    }

    fn close(&mut self, why: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.rtc.disconnect();
            self.events.push_back(PeerEvent::Closed(why));
        }
    }

    /// Polls until str0m says `Timeout` for a time to come.
    pub(super) fn drain(&mut self, now: Instant) {
        for _ in 0..OUTPUTS_PER_DRAIN_MAX {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at > now => {
                    self.timeout = at;
                    break;
                }
                Ok(Output::Timeout(_)) => {
                    if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                        tracing::debug!(%error, "timeout refused");
                        break;
                    }
                }
                Ok(Output::Transmit(t)) => self.on_transmit(Path { remote: t.destination, local: t.source }, &t.contents),
                Ok(Output::Event(event)) => self.on_event(event, now),
                Err(error) => {
                    tracing::debug!(%error, "poll failed");
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.close(CloseReason::Failed);
        }
    }

    fn on_transmit(&mut self, path: Path, datagram: &[u8]) {
        if stun::is_success(datagram) {
            self.answered_check = Some(path.remote);
        } else if (20..64).contains(&datagram.first().copied().unwrap_or(0)) {
            self.nominated.get_or_insert(path); // DTLS goes where str0m will want media
        }
        let ssrc = if is_rtcp(datagram) { Some(word(datagram, 4)) } else { is_rtp(datagram).then(|| word(datagram, 8)) };
        if ssrc.is_some_and(|ssrc| self.egress.owns(ssrc)) {
            // Two writers of one SSRC would use a nonce twice.
            self.drops.count(DropReason::Guard);
            return;
        }
        if self.transmits.len() == TRANSMITS_MAX {
            self.drops.count(DropReason::OutboxFull);
            return;
        }
        // str0m follows a changed address late; what is not a check goes to the nominated path at once.
        let path = if stun::is_stun(datagram) { path } else { self.nominated.unwrap_or(path) };
        self.transmits.push_back((path, datagram.to_vec()));
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.on_connected(),
            Event::RtpPacket(packet) => self.on_packet(packet),
            Event::ChannelOpen(id, label) => match label.as_str() {
                "reliable" => self.channels.reliable = Some(id),
                "lossy" => self.channels.lossy = Some(id),
                _ => {}
            },
            Event::ChannelData(data) => self.on_data(data),
            Event::ChannelClose(id) => {
                for channel in [&mut self.channels.reliable, &mut self.channels.lossy] {
                    channel.take_if(|c| *c == id);
                }
            }
            Event::IceConnectionStateChange(state) if self.connected => {
                let lost = state == IceConnectionState::Disconnected;
                self.deadline = lost.then(|| self.deadline.unwrap_or(now + LOST_FOR_GOOD));
            }
            Event::Closed => self.close(CloseReason::Client),
            // Not for us: what we send is not str0m's, and media is known from the answer.
            _ => {}
        }
    }

    fn on_connected(&mut self) {
        let Some(session) = self.keys.take().and_then(|exported| Session::new(&exported)) else {
            self.close(CloseReason::NoProfile);
            return;
        };
        self.egress.connect(session);
        self.connected = true;
        self.deadline = None;
        self.events.push_back(PeerEvent::Connected);
    }

    fn on_packet(&mut self, packet: RtpPacket) {
        let Some((track, layer)) = self.source(*packet.header.ssrc) else {
            self.drops.count(DropReason::NoTrack);
            return;
        };
        if packet.payload.len() > MEDIA_BYTES_MAX {
            self.drops.count(DropReason::Malformed);
            return;
        }
        let pt = *packet.header.payload_type;
        let Some((_, codec)) = self.codecs.iter().find(|(known, _)| *known == pt) else {
            self.drops.count(DropReason::Codec);
            return;
        };
        let packet = translate::packet(packet, *codec);
        self.events.push_back(PeerEvent::Packet { track, layer, packet });
    }

    /// Which track and layer an SSRC is. Remembered, because the mid and rid extensions come on the first packets only.
    fn source(&mut self, ssrc: u32) -> Option<(TrackId, LayerIndex)> {
        if let Some((_, track, layer)) = self.sources.iter().find(|(known, _, _)| *known == ssrc) {
            return Some((*track, *layer));
        }
        let (mid, rid) = self.rtc.direct_api().stream_rx(&ssrc.into()).map(|s| (s.mid(), s.rid()))?;
        let section = self.sections.iter().find(|s| s.mid == mid)?;
        let layer = match rid {
            Some(rid) => section.rids.iter().position(|r| *r == rid)?,
            None => 0,
        };
        let found = (section.track?, LayerIndex(layer as u8));
        if self.sources.len() == TRACKS_PER_PEER_MAX * LAYERS_PER_TRACK_MAX {
            self.sources.remove(0); // a client that changes SSRCs for ever
        }
        self.sources.push((ssrc, found.0, found.1));
        Some(found)
    }

    fn on_data(&mut self, data: ChannelData) {
        let reliable = self.channels.reliable == Some(data.id);
        let known = reliable || self.channels.lossy == Some(data.id);
        let Some((to, payload)) = data.data.split_first_chunk::<4>().filter(|(_, p)| known && p.len() <= DATA_BYTES_MAX) else {
            self.drops.count(DropReason::Data);
            return;
        };
        self.events.push_back(PeerEvent::Data { reliable, to: u32::from_be_bytes(*to), payload: payload.to_vec() });
    }
}
