//! Driving str0m: the one place where something is handed to the `Rtc` and where it is drained.
//!
//! str0m's rule is: change it once, poll until it says `Timeout`, change it again. In RTP mode it keeps a single received packet, so two
//! datagrams without a drain between them lose one.

use std::sync::Arc;
use std::time::Instant;

use str0m::channel::{ChannelData, ChannelId};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::RtpPacket;
use str0m::{Event, IceConnectionState, Input, Output};

use super::bwe::Estimate;
use super::feedback::{is_rtcp, is_rtp, word};
use super::path::{Path, Transport};
use super::peer::{CloseReason, LOST_FOR_GOOD, Peer, PeerEvent};
use super::srtp::Session;
use super::{stun, translate};
use crate::id::{LayerIndex, SlotIndex, TrackId};
use crate::limits::{
    DATA_BYTES_MAX, DATA_CHANNELS_MAX, HANDSHAKE_DATAGRAMS, LAYERS_PER_TRACK_MAX, MEDIA_BYTES_MAX, SLOTS_PER_PEER_MAX, TRACKS_PER_PEER_MAX,
};

const _: () = assert!(SLOTS_PER_PEER_MAX <= 64, "a set of slots is a u64");
use crate::metrics::DropReason;
use crate::room::Forward;
use crate::rtp::{Codec, Kind, Packet};

/// Outputs of one drain. A connection has never been seen to need more than some hundred; more means a loop, and the next tick goes on.
const OUTPUTS_PER_DRAIN_MAX: usize = 10_000;
/// Datagrams of str0m that wait for the end of the tick; a data channel burst is the largest. More: dropped, SCTP and DTLS repeat.
const TRANSMITS_MAX: usize = 4_096;

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp(_) => Protocol::Tcp,
    }
}

/// DTLS that is neither data nor encrypted as DTLS 1.3 does it: handshakes, alerts and what else is read before it is known whose it is.
fn is_handshake(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=22 | 24..=31))
}

impl Peer {
    /// A datagram for this peer. The caller has made sure that it is STUN, or comes over a proven path.
    pub fn handle_datagram(&mut self, path: Path, datagram: &[u8], now: Instant) {
        if self.closed {
            return;
        }
        #[cfg(test)]
        assert!(!std::mem::take(&mut self.poisoned), "poisoned by a test");
        if let Err(reason) = self.admit(path, datagram, now) {
            self.drops.count(reason);
            return;
        }
        if is_rtcp(datagram) && self.connected {
            // One datagram may ask a hundred times; each slot is told once.
            let mut asked = 0u64;
            if self.egress.handle_rtcp(datagram, now, |slot| asked |= 1 << slot.0) {
                self.route.on_feedback(path, now);
            }
            let slots = (0..SLOTS_PER_PEER_MAX as u16).filter(|slot| asked >> slot & 1 == 1);
            self.events.extend(slots.map(|slot| PeerEvent::KeyframeRequest(SlotIndex(slot))));
            self.report(now);
            if self.sections.is_empty() {
                return; // str0m has nothing to learn from it, and walks all its streams to find that out
            }
        }
        let nominates = stun::nominates(datagram);
        let Ok(receive) = Receive::new(protocol(path.transport), path.remote, path.local, datagram) else {
            self.drops.count(DropReason::Malformed);
            return;
        };
        self.handled = Some((path, false));
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            // One bad packet never ends a connection: anybody can send one.
            tracing::debug!(%error, "datagram refused");
            self.drops.count(DropReason::Malformed);
        }
        self.drain(now);
        if self.handled.take() == Some((path, true)) {
            self.route.on_check(path, stun::transaction(datagram), now);
            self.events.push_back(PeerEvent::Checked { path, nominates });
        }
    }

    /// What costs too much is not even decrypted.
    fn admit(&mut self, path: Path, datagram: &[u8], now: Instant) -> Result<(), DropReason> {
        if stun::is_stun(datagram) {
            if !stun::is_check(datagram) {
                return Err(DropReason::Malformed);
            }
            return self.route.admit_check(path.source(), stun::transaction(datagram), now);
        }
        if is_handshake(datagram) && !self.handshake_budget.take(1.0, HANDSHAKE_DATAGRAMS, now) {
            return Err(DropReason::Rate);
        }
        let is_media = is_rtp(datagram) || is_rtcp(datagram);
        let fits = !is_media || self.media_budget.take(datagram.len() as f64, self.limits.publish_bytes(), now);
        if fits { Ok(()) } else { Err(DropReason::Rate) }
    }

    /// When [`Peer::handle_timeout`] or [`Peer::poll`] has something to do.
    pub fn timeout(&self) -> Instant {
        if !self.events.is_empty() {
            return self.born; // long ago: at once
        }
        [self.egress.timeout(), self.deadline, self.route.timeout()].into_iter().flatten().fold(self.timeout, Instant::min)
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
        if self.route.handle_timeout(now) {
            tracing::debug!("no check came for too long: nothing is sent");
        }
        self.egress.handle_timeout(now);
        self.report(now);
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
        if !self.connected || self.closed || self.route.path().is_none() {
            return Err(DropReason::NotConnected);
        }
        let sent = self.egress.send(forward, packet, now);
        self.ask_for_broken();
        sent
    }

    /// What the room would like to send to this receiver, in bits a second. 0: nothing.
    pub fn want(&mut self, bps: u64, now: Instant) {
        self.egress.want(bps, now);
        self.report(now);
    }

    /// What is known of the way to the receiver.
    pub fn estimate(&self) -> Estimate {
        self.egress.estimate()
    }

    /// What the send side has to say.
    fn report(&mut self, now: Instant) {
        self.ask_for_broken();
        self.events.extend(self.egress.poll_estimate(now).map(PeerEvent::Estimate));
    }

    /// Slots whose video waited too long.
    #[inline]
    fn ask_for_broken(&mut self) {
        let broken = self.egress.take_broken();
        if broken != 0 {
            let slots = (0..SLOTS_PER_PEER_MAX as u16).filter(|slot| broken >> slot & 1 == 1);
            self.events.extend(slots.map(|slot| PeerEvent::KeyframeRequest(SlotIndex(slot))));
        }
    }

    /// What happened; ask until there is nothing more.
    pub fn poll(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Hands out all that waits: (path, bytes, segment size), a run of at most `run_max` datagrams of that size, of which the last may be shorter.
    pub fn take_datagrams(&mut self, run_max: usize, mut send: impl FnMut(Path, &[u8], usize)) {
        let here = self.route.path();
        while let Some((path, bytes)) = self.transmits.pop_front() {
            match path.or(here) {
                Some(path) => send(path, &bytes, bytes.len()),
                None => self.drops.count(DropReason::NotConnected),
            }
        }
        if self.egress.outbox.is_empty() {
            return;
        }
        self.egress.outbox.drain(run_max, |bytes, size| match here {
            Some(path) => send(path, bytes, size),
            None => self.drops.count(DropReason::NotConnected),
        });
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
                Ok(Output::Transmit(t)) => self.on_transmit(&t),
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

    fn on_transmit(&mut self, transmit: &Transmit) {
        let datagram: &[u8] = &transmit.contents;
        // str0m follows a changed address late, and believes in every one: only what is STUN goes where it says.
        let answer_to = if stun::is_stun(datagram) {
            let Some(path) = self.answer(transmit) else { return self.drops.count(DropReason::NotConnected) };
            Some(path)
        } else {
            None
        };
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
        self.transmits.push_back((answer_to, datagram.to_vec()));
    }

    /// The path of STUN that str0m sends. It is ICE-lite and asks nobody, so this answers what is handled now, and by the same connection: str0m
    /// knows TCP by its addresses only.
    fn answer(&mut self, transmit: &Transmit) -> Option<Path> {
        let (path, answered) = self.handled.as_mut().filter(|(path, _)| path.remote == transmit.destination)?;
        *answered |= stun::is_success(&transmit.contents);
        Some(*path)
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.on_connected(now),
            Event::RtpPacket(packet) => self.on_packet(packet),
            Event::ChannelOpen(id, label) => self.on_channel(id, &label),
            Event::ChannelData(data) => self.on_data(data, now),
            Event::ChannelClose(id) => {
                self.channels.open.retain(|open| *open != id);
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

    fn on_connected(&mut self, now: Instant) {
        let Some(session) = self.keys.take().and_then(|exported| Session::new(&exported)) else {
            self.close(CloseReason::NoProfile);
            return;
        };
        self.egress.connect(session);
        self.connected = true;
        self.deadline = None;
        self.events.push_back(PeerEvent::Connected);
        self.report(now);
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
        let (ssrc, pt) = (*packet.header.ssrc, *packet.header.payload_type);
        let wrapped = self.redundancy.wraps(pt);
        let codec = if wrapped { Some(Codec::Opus) } else { self.codecs.iter().find(|(known, _)| *known == pt).map(|(_, codec)| *codec) };
        let Some(codec) = codec else {
            self.drops.count(DropReason::Codec);
            return;
        };
        let mut packet = translate::packet(packet, codec, &mut self.clock);
        if let Some(time) = &mut packet.extensions.capture_time {
            // Whoever forwards says how far the capturing clock is ahead of the clock of its own reports.
            time.offset = Some(time.ntp.wrapping_sub(self.egress.ntp(packet.captured)).cast_signed());
        }
        let events = &mut self.events;
        let mut tell = |packet| events.push_back(PeerEvent::Packet { track, layer, packet });
        match codec.kind() {
            Kind::Video => tell(packet),
            Kind::Audio => {
                if let Err(reason) = self.redundancy.receive(ssrc, wrapped, packet, tell) {
                    self.drops.count(reason);
                }
            }
        }
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

    fn on_channel(&mut self, id: ChannelId, label: &str) {
        if self.channels.open.len() == DATA_CHANNELS_MAX {
            self.drops.count(DropReason::Data);
            self.rtc.direct_api().close_data_channel(id);
            return;
        }
        self.channels.open.push(id);
        match label {
            "reliable" => self.channels.reliable = Some(id),
            "lossy" => self.channels.lossy = Some(id),
            _ => {}
        }
    }

    /// Takes from what the client may send through data channels; what is too much is counted. A message to many costs more than one to few,
    /// and whoever knows how many charges the rest.
    pub fn take_data(&mut self, cost: f64, now: Instant) -> bool {
        let may = self.data_budget.take(cost, self.limits.data_messages(), now);
        if !may {
            self.drops.count(DropReason::Rate);
        }
        may
    }

    fn on_data(&mut self, data: ChannelData, now: Instant) {
        if !self.take_data(1.0, now) {
            return;
        }
        let reliable = self.channels.reliable == Some(data.id);
        let known = reliable || self.channels.lossy == Some(data.id);
        let Some((to, payload)) = data.data.split_first_chunk::<4>().filter(|(_, p)| known && p.len() <= DATA_BYTES_MAX) else {
            self.drops.count(DropReason::Data);
            return;
        };
        self.events.push_back(PeerEvent::Data { reliable, to: u32::from_be_bytes(*to), payload: payload.to_vec() });
    }
}
