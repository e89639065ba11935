//! A participant: a str0m client that publishes made media and checks all that it receives.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::slot::Slot;
use crate::id::PeerId;
use crate::room::{SlotReason, SlotState};

const AUDIO_EVERY: Duration = Duration::from_millis(20);
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// Rids of the made simulcast, smallest first.
const RIDS: [&str; 3] = ["q", "h", "f"];

/// What a client brings.
#[derive(Clone, Copy, Debug)]
pub struct Kit {
    /// Camera with so many layers; 0: none.
    pub layers: usize,
    /// Microphone.
    pub microphone: bool,
    /// Receive slots.
    pub video_slots: usize,
    /// Receive slots.
    pub audio_slots: usize,
    /// The one video codec that it offers, both ways: VP8 or VP9.
    pub video: Codec,
    /// It offers VP8 and VP9.
    pub both_codecs: bool,
}

/// What a client has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Video packets by publisher.
    pub video: BTreeMap<PeerId, u64>,
    /// Audio packets by publisher.
    pub audio: BTreeMap<PeerId, u64>,
    /// Data messages: sender and payload.
    pub data: Vec<(bool, u32, Vec<u8>)>,
}

/// A participant.
pub struct Client {
    pub address: SocketAddr,
    pub server: Option<PeerId>,
    rtc: Rtc,
    kit: Kit,
    pending: Option<SdpPendingOffer>,
    camera: Option<Mid>,
    microphone: Option<Mid>,
    slots: HashMap<Mid, Slot>,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    timeout: Instant,
    start: Instant,
    /// Publishes from then on.
    connected: Option<Instant>,
    next_audio: Instant,
    next_frame: Instant,
    frame: u32,
    keyframe_wanted: [bool; 3],
    audio_seq: u64,
    video_seq: [u64; 3],
    /// From frame to frame, and from one audio packet to the next.
    pub pace: (Duration, Duration),
    /// Packets of a frame beyond those that it needs, a kilobyte each.
    pub surplus: usize,
    /// Every other frame has the other codec.
    pub flips: bool,
    /// Another sender of ours for the camera: how one SSRC is changed for another.
    forged: Option<Ssrc>,
    /// Speaks: sends audio above silence.
    pub speaking: bool,
    /// Keyframe requests that came for the camera.
    pub keyframes_asked: u32,
    pub seen: Seen,
    channels: Vec<(ChannelId, bool)>,
    /// What is wrong with what was received; empty in a good run.
    pub faults: Vec<String>,
}

impl Client {
    pub fn new(address: SocketAddr, kit: Kit, now: Instant) -> (Client, String) {
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(kit.video == Codec::Vp8 || kit.both_codecs)
            .enable_vp9(kit.video == Codec::Vp9 || kit.both_codecs)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        let mut changes = rtc.sdp_api();
        let send = |on: bool| if on { Direction::SendOnly } else { Direction::Inactive };
        let microphone = kit.microphone.then(|| changes.add_media(MediaKind::Audio, send(true), None, None, None));
        let camera = (kit.layers > 0).then(|| changes.add_media(MediaKind::Video, send(true), None, None, simulcast(kit.layers)));
        let mut slots = HashMap::new();
        for (kind, count) in [(MediaKind::Audio, kit.audio_slots), (MediaKind::Video, kit.video_slots)] {
            for _ in 0..count {
                let mid = changes.add_media(kind, Direction::RecvOnly, None, None, None);
                slots.insert(mid, Slot { video: kind == MediaKind::Video, ..Slot::default() });
            }
        }
        let channels = vec![(changes.add_channel("reliable".into()), true)];
        let (offer, pending) = changes.apply().expect("something to offer");
        let client = Client {
            address,
            server: None,
            rtc,
            kit,
            pending: Some(pending),
            camera,
            microphone,
            slots,
            outbox: VecDeque::new(),
            timeout: now,
            start: now,
            connected: None,
            next_audio: now,
            next_frame: now,
            frame: 0,
            keyframe_wanted: [true; 3],
            audio_seq: 60_000,
            video_seq: [65_000, 100, 30_000],
            pace: (FRAME_EVERY, AUDIO_EVERY),
            surplus: 0,
            flips: false,
            forged: None,
            speaking: true,
            keyframes_asked: 0,
            seen: Seen::default(),
            channels,
            faults: vec![],
        };
        (client, offer.to_sdp_string())
    }

    pub fn accept(&mut self, peer: PeerId, answer: &str, now: Instant) {
        self.server = Some(peer);
        let answer = SdpAnswer::from_sdp_string(answer).expect("our answer parses");
        self.rtc.sdp_api().accept_answer(self.pending.take().expect("one answer for one offer"), answer).expect("our answer fits");
        self.drain(now);
    }

    /// One slot more, without ICE or media being disturbed.
    pub fn offer_more(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        self.slots.insert(mid, Slot { video: true, ..Slot::default() });
        offer.to_sdp_string()
    }

    /// The camera's section stops sending.
    pub fn offer_without_camera(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.set_direction(self.camera.take().expect("a camera"), Direction::Inactive);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// The first video slot stops, or receives again.
    pub fn offer_slot(&mut self, open: bool) -> String {
        let mid = *self.slots.iter().filter(|(_, s)| s.video).map(|(mid, _)| mid).min().expect("a slot");
        let mut changes = self.rtc.sdp_api();
        changes.set_direction(mid, if open { Direction::RecvOnly } else { Direction::Inactive });
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// New ICE credentials.
    pub fn offer_restart(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// Which a=mid carries the camera and the microphone.
    pub fn sections(&self) -> Vec<(String, bool)> {
        let named = |mid: Option<Mid>, video| mid.map(|m| (m.to_string(), video));
        named(self.microphone, false).into_iter().chain(named(self.camera, true)).collect()
    }

    /// Signalling told what a slot shows.
    pub fn told(&mut self, mid: &str, state: SlotState) {
        let Some(slot) = self.slots.get_mut(&Mid::from(mid)) else { return self.faults.push(format!("no slot {mid}")) };
        slot.source = state.source.map(|(track, _)| track.0);
        slot.reason = state.reason;
        if let (Some((track, peer)), Some(first)) = (state.source, state.first_timestamp) {
            slot.said.push((first, track, peer));
        }
    }

    /// Why video slots show nothing, where there is a reason.
    pub fn reasons(&self) -> Vec<SlotReason> {
        self.slots.values().filter_map(|s| s.reason).collect()
    }

    /// How many video slots show something that came within `since`.
    pub fn fresh_videos(&self, now: Instant, since: Duration) -> usize {
        self.slots.values().filter(|s| s.video && s.source.is_some() && s.last_frame.is_some_and(|at| now - at <= since)).count()
    }

    /// Packets of somebody that never came, where they are shown now.
    pub fn missing_of(&self, owner: PeerId) -> usize {
        let shows = |slot: &&Slot| slot.said.last().is_some_and(|(_, _, peer)| *peer == owner);
        self.slots.values().filter(shows).map(|s| s.missing).sum()
    }

    /// How many video slots show somebody, with a packet within `since`.
    pub fn sees(&self, owner: PeerId, now: Instant, since: Duration) -> bool {
        let fresh = |slot: &Slot| slot.video && slot.source.is_some() && slot.last_frame.is_some_and(|at| now - at <= since);
        self.slots.values().any(|slot| fresh(slot) && slot.said.last().is_some_and(|(_, _, peer)| *peer == owner))
    }

    /// When media or a timer is due.
    pub fn due(&self) -> Instant {
        let media = self.connected.into_iter().flat_map(|_| {
            let camera = self.camera.map(|_| self.next_frame);
            let microphone = self.microphone.map(|_| self.next_audio);
            camera.into_iter().chain(microphone)
        });
        media.fold(self.timeout, Instant::min)
    }

    /// It publishes.
    pub fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Receive slots.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The SSRC of the camera.
    pub fn camera_ssrc(&mut self) -> u32 {
        let (mid, rid) = (self.camera.expect("a camera"), (self.kit.layers > 1).then(|| Rid::from(RIDS[0])));
        *self.rtc.direct_api().stream_tx_by_mid(mid, rid).expect("a stream").ssrc()
    }

    /// Sends the camera's packets by this SSRC from now on.
    pub fn forge(&mut self, ssrc: u32) {
        let mid = self.camera.expect("a camera");
        let mut direct = self.rtc.direct_api();
        let own = direct.stream_tx_by_mid(mid, None).expect("a stream").ssrc();
        direct.remove_stream_tx(own);
        direct.declare_stream_tx(ssrc.into(), None, mid, None);
        self.forged = Some(ssrc.into());
    }

    /// Opens data channels, as many as this, that nobody asked for.
    pub fn open_channels(&mut self, count: usize, now: Instant) {
        for n in 0..count {
            self.rtc.direct_api().create_data_channel(ChannelConfig { label: format!("mine {n}"), ..ChannelConfig::default() });
        }
        let _ = self.rtc.handle_input(Input::Timeout(now));
        self.drain(now);
    }

    /// Packets that never came, over all slots.
    pub fn missing(&self) -> usize {
        self.slots.values().map(|s| s.missing).sum()
    }

    pub fn send_data(&mut self, to: u32, text: &str, now: Instant) {
        if !self.try_data(to, text, now) {
            self.faults.push("the data channel took nothing".into());
        }
    }

    /// `false`: the channel takes nothing now.
    pub fn try_data(&mut self, to: u32, text: &str, now: Instant) -> bool {
        let message: Vec<u8> = to.to_be_bytes().into_iter().chain(text.bytes()).collect();
        let id = self.channels[0].0;
        let sent = self.rtc.channel(id).is_some_and(|mut c| c.write(true, &message).unwrap_or(false));
        self.drain(now);
        sent
    }

    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, bytes) else {
            return self.faults.push("unreadable datagram".into());
        };
        if let Err(e) = self.rtc.handle_input(Input::Receive(now, receive)) {
            self.faults.push(format!("datagram refused: {e}"));
        }
        self.drain(now);
    }

    /// Lets time pass: media that is due, timers that are due.
    pub fn step(&mut self, now: Instant) {
        if self.connected.is_some() {
            self.publish(now);
        }
        if self.timeout <= now {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now);
        }
    }

    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    fn publish(&mut self, now: Instant) {
        let mut wrote = false;
        if let Some(mid) = self.microphone
            && self.next_audio <= now
        {
            self.next_audio += self.pace.1;
            if self.speaking {
                self.audio_seq += 1;
                let time = (self.audio_seq * 960) as u32;
                let level = ExtensionValues { audio_level: Some(-20), voice_activity: Some(true), ..ExtensionValues::default() };
                self.write(mid, None, Codec::Opus, self.audio_seq, time, true, made(self.server, self.audio_seq as u32, 60), level);
                wrote = true;
            }
        }
        if let Some(mid) = self.camera
            && self.next_frame <= now
        {
            self.next_frame += self.pace.0;
            self.frame += 1;
            for layer in 0..self.kit.layers {
                self.publish_frame(mid, layer);
            }
            wrote = true;
        }
        if wrote {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now);
        }
    }

    /// One frame of one layer: a keyframe has three packets, another one.
    fn publish_frame(&mut self, mid: Mid, layer: usize) {
        let key = std::mem::take(&mut self.keyframe_wanted[layer]);
        let codec = if self.flips && self.frame % 2 == 1 { Codec::Vp9 } else { self.kit.video };
        let parts = if key { 3 } else { 1 } + self.surplus;
        let len = if self.surplus > 0 { 1_000 } else { 100 + 60 * layer };
        let rid = (self.kit.layers > 1).then(|| Rid::from(RIDS[layer]));
        let time = self.frame.wrapping_mul(9_000).wrapping_add(layer as u32 * 77_777);
        for part in 0..parts {
            self.video_seq[layer] += 1;
            let (first, last) = (part == 0, part == parts - 1);
            let mut payload = match codec {
                Codec::Vp9 => vp9_head(self.frame, first, last, key),
                _ => vp8_head(self.frame, first, key),
            };
            payload.extend(made(self.server, self.frame, len));
            let seq = self.video_seq[layer];
            self.write(mid, rid, codec, seq, time, last, payload, ExtensionValues::default());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one packet")]
    fn write(
        &mut self,
        mid: Mid,
        rid: Option<Rid>,
        codec: Codec,
        seq: u64,
        time: u32,
        marker: bool,
        payload: Vec<u8>,
        ext: ExtensionValues,
    ) {
        let Some(pt) = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec).map(|p| p.pt()) else { return };
        let at = self.start;
        let mut direct = self.rtc.direct_api();
        let tx = match self.forged {
            Some(ssrc) if codec != Codec::Opus => direct.stream_tx(&ssrc),
            _ => direct.stream_tx_by_mid(mid, rid),
        };
        if let Some(tx) = tx {
            tx.write_rtp(RtpWrite::new(pt, seq.into(), time, at, payload).marker(marker).ext_vals(ext).nackable(codec != Codec::Opus));
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at > now => {
                    self.timeout = at;
                    return;
                }
                Ok(Output::Timeout(_)) => {
                    let _ = self.rtc.handle_input(Input::Timeout(now));
                }
                Ok(Output::Transmit(t)) => self.outbox.push_back((t.destination, t.contents.to_vec())),
                Ok(Output::Event(event)) => self.on_event(event, now),
                // str0m, told goodbye before its data channels were ready, or twice.
                Err(e) if ["non-Established state", "connection closed"].iter().any(|text| e.to_string().contains(text)) => return,
                Err(e) => return self.faults.push(format!("poll: {e}")),
            }
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => {
                self.connected = Some(now);
                (self.next_audio, self.next_frame) = (now, now);
            }
            Event::KeyframeRequest(request) => {
                self.keyframes_asked += 1;
                let layer = request.rid.and_then(|rid| RIDS.iter().position(|r| Rid::from(*r) == rid)).unwrap_or(0);
                self.keyframe_wanted[layer] = true;
            }
            Event::ChannelData(data) => {
                let reliable = self.channels.iter().any(|(id, reliable)| *id == data.id && *reliable);
                let from = data.data.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b));
                self.seen.data.push((reliable, from, data.data.get(4..).unwrap_or_default().to_vec()));
            }
            Event::RtpPacket(packet) => self.on_packet(&packet, now),
            _ => {}
        }
    }

    fn on_packet(&mut self, packet: &RtpPacket, now: Instant) {
        let Some(mid) = self.rtc.direct_api().stream_rx(&packet.header.ssrc).map(|s| s.mid()) else {
            return self.faults.push("a packet of no stream".into());
        };
        let Some(slot) = self.slots.get_mut(&mid) else { return self.faults.push("a packet of no slot".into()) };
        let body = if slot.video { packet.payload.get(5..) } else { packet.payload.get(..) };
        let Some(owner) = body.and_then(|b| b.first_chunk::<4>()).map(|b| PeerId(u32::from_be_bytes(*b))) else {
            return self.faults.push("a payload that nobody made".into());
        };
        for fault in slot.check(packet, owner) {
            self.faults.push(format!("slot {mid}: {fault}"));
        }
        slot.packets += 1;
        slot.last_frame = Some(now);
        let counts = if slot.video { &mut self.seen.video } else { &mut self.seen.audio };
        *counts.entry(owner).or_default() += 1;
    }

    /// Asks for a keyframe in every video slot, as a decoder in trouble does.
    pub fn ask_keyframes(&mut self, now: Instant) {
        let mids: Vec<Mid> = self.slots.iter().filter(|(_, s)| s.video).map(|(mid, _)| *mid).collect();
        for mid in mids {
            if let Some(rx) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
                rx.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        let _ = self.rtc.handle_input(Input::Timeout(now));
        self.drain(now);
    }
}

fn simulcast(layers: usize) -> Option<Simulcast> {
    let layer = |rid: &&str| SimulcastLayer { rid: Rid::from(*rid), attributes: None };
    (layers > 1).then(|| Simulcast { send: RIDS.iter().take(layers).map(layer).collect(), recv: vec![] })
}

/// VP8 (RFC 7741): X and S, a 15-bit picture id, then the frame whose first bit says "no keyframe".
fn vp8_head(frame: u32, first: bool, key: bool) -> Vec<u8> {
    let [high, low] = (frame as u16 | 0x8000).to_be_bytes();
    vec![0x80 | if first { 0x10 } else { 0 }, 0x80, high, low, u8::from(!key)]
}

/// VP9 (RFC 9628), one layer: I, P on all but keyframes, B and E, a 15-bit picture id; then two bytes so that both heads are of one length.
fn vp9_head(frame: u32, first: bool, last: bool, key: bool) -> Vec<u8> {
    let [high, low] = (frame as u16 | 0x8000).to_be_bytes();
    let bits = [(0x80, true), (0x40, !key), (0x08, first), (0x04, last)];
    let flags = bits.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum();
    vec![flags, high, low, 0, u8::from(!key)]
}

/// Made media says whose it is, and which.
fn made(owner: Option<PeerId>, number: u32, len: usize) -> Vec<u8> {
    let mut body: Vec<u8> = owner.map_or(0, |p| p.0).to_be_bytes().to_vec();
    body.extend(number.to_be_bytes());
    body.resize(len, number as u8);
    body
}
