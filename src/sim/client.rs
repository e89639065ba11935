//! A participant: a str0m client that publishes made media and checks all that it receives.

mod offers;
mod publish;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::encoder::{Encoder, Frame};
use super::payload;
use super::slot::Slot;
use crate::id::PeerId;
use crate::room::{SlotReason, SlotState};

const AUDIO_EVERY: Duration = Duration::from_millis(20);
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// 20 ms at 32 kbit/s.
const OPUS_BYTES: usize = 80;
/// Rids of the made simulcast, smallest first.
const RIDS: [&str; 3] = ["q", "h", "f"];

/// What media a client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Ten small frames a second, each one packet: enough to see who is shown, and cheap for hundreds.
    Tiny,
    /// As an encoder makes it (`encoder`), always three layers of VP8, and 32 kbit/s of sound.
    Encoded,
}

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
    /// It offers sound with redundancy (RFC 2198), both ways.
    pub redundancy: bool,
    /// What it makes.
    pub media: Media,
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
    pub kit: Kit,
    pending: Option<SdpPendingOffer>,
    camera: Option<Mid>,
    microphone: Option<Mid>,
    slots: HashMap<Mid, Slot>,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    timeout: Instant,
    start: Instant,
    /// Decides what its encoder's frames are like.
    pub seed: u64,
    /// Publishes from then on.
    connected: Option<Instant>,
    next_audio: Instant,
    next_frame: Instant,
    frame: u32,
    encoder: Option<Encoder>,
    sent_at: [Option<Instant>; 3],
    keyframe_wanted: [bool; 3],
    audio_seq: u64,
    /// Packets that there were or that silence left out.
    audio_count: u32,
    /// Timestamp and payload of the last one, without redundancy.
    last_sound: Option<(u32, Vec<u8>)>,
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
    /// How loud it is then, in dBov.
    pub level: i8,
    /// Keyframe requests that came for the camera.
    pub keyframes_asked: u32,
    /// And when, for which layer.
    pub keyframe_requests: Vec<(Instant, usize)>,
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
            .enable_opus(true, kit.redundancy)
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
                slots.insert(mid, Slot { video: kind == MediaKind::Video, number: slots.len(), ..Slot::default() });
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
            seed: 0,
            connected: None,
            next_audio: now,
            next_frame: now,
            frame: 0,
            encoder: None,
            sent_at: [None; 3],
            keyframe_wanted: [true; 3],
            audio_seq: 60_000,
            audio_count: 0,
            last_sound: None,
            video_seq: [65_000, 100, 30_000],
            pace: (FRAME_EVERY, AUDIO_EVERY),
            surplus: 0,
            flips: false,
            forged: None,
            speaking: true,
            level: -20,
            keyframes_asked: 0,
            keyframe_requests: vec![],
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
            let camera = self.camera.map(|_| self.encoder.as_ref().map_or(self.next_frame, Encoder::due));
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
            self.decode(now);
        }
        if self.timeout <= now {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now);
        }
    }

    /// Decoders that are stuck ask for a keyframe.
    fn decode(&mut self, now: Instant) {
        let stuck: Vec<Mid> = self.slots.iter_mut().filter_map(|(mid, slot)| slot.poll(now).then_some(*mid)).collect();
        self.request_keyframes(&stuck, now);
    }

    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
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
                self.allow_repetitions();
                if self.kit.media == Media::Encoded && self.kit.layers > 0 {
                    self.encoder = Some(Encoder::new(self.seed, now));
                }
            }
            Event::KeyframeRequest(request) => {
                self.keyframes_asked += 1;
                let layer = request.rid.and_then(|rid| RIDS.iter().position(|r| Rid::from(*r) == rid)).unwrap_or(0);
                self.keyframe_wanted[layer] = true;
                self.keyframe_requests.push((now, layer));
                if let Some(encoder) = &mut self.encoder {
                    encoder.request_keyframe(layer, now);
                }
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
        let (pt, redundancy) = (packet.header.payload_type, payload::redundancy(self.rtc.codec_config().params()));
        let Some(slot) = self.slots.get_mut(&mid) else { return self.faults.push("a packet of no slot".into()) };
        let video = slot.video.then(|| {
            let codec = self.rtc.codec_config().params().iter().find(|p| p.pt() == pt).map(|p| p.spec().codec);
            payload::read_video(codec?, &packet.payload)
        });
        let (owner, key, copies) = match (video, redundancy.filter(|(red, _)| *red == pt)) {
            (Some(video), _) => (video.map(|v| v.owner), video.is_some_and(|v| v.key), vec![]),
            (None, None) => (payload::read_sound(&packet.payload), true, vec![]),
            (None, Some((_, sound))) => {
                let (owner, copies) = payload::read_redundant(*sound, &packet.payload).unzip();
                (owner, true, copies.unwrap_or_default())
            }
        };
        let Some(owner) = owner else { return self.faults.push("a payload that nobody made".into()) };
        for fault in slot.check(packet, owner, key) {
            self.faults.push(format!("slot {mid}: {fault}"));
        }
        slot.packets += 1;
        slot.last_frame = Some(now);
        slot.handle_media(packet, video.flatten(), owner, (self.start, now));
        copies.into_iter().for_each(|back| slot.listener.handle_copy(*packet.seq_no - back));
        let counts = if slot.video { &mut self.seen.video } else { &mut self.seen.audio };
        *counts.entry(owner).or_default() += 1;
    }

    /// Asks for a keyframe in every video slot, as a decoder in trouble does.
    pub fn ask_keyframes(&mut self, now: Instant) {
        let mids: Vec<Mid> = self.slots.iter().filter(|(_, s)| s.video).map(|(mid, _)| *mid).collect();
        self.request_keyframes(&mids, now);
    }

    fn request_keyframes(&mut self, mids: &[Mid], now: Instant) {
        for mid in mids {
            if let Some(rx) = self.rtc.direct_api().stream_rx_by_mid(*mid, None) {
                rx.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        if !mids.is_empty() {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now);
        }
    }

    /// Which of its camera's encodings it makes from now on (dynacast).
    pub fn set_encodings(&mut self, on: &[bool], now: Instant) {
        // Of its tracks the camera has several.
        if let Some(encoder) = self.encoder.as_mut().filter(|_| on.len() == self.kit.layers && on.len() > 1) {
            encoder.set_encodings(on, now);
        }
    }

    /// Its receive sections in the order of the offer.
    pub fn receives(&self) -> Vec<(Mid, &Slot)> {
        let mut slots: Vec<(Mid, &Slot)> = self.slots.iter().map(|(mid, slot)| (*mid, slot)).collect();
        slots.sort_by_key(|(_, slot)| slot.number);
        slots
    }

    /// When it last sent a frame of this encoding.
    pub fn sent_at(&self, layer: usize) -> Option<Instant> {
        self.sent_at[layer]
    }

    /// When it was connected.
    pub fn connected_at(&self) -> Option<Instant> {
        self.connected
    }
}

fn simulcast(layers: usize) -> Option<Simulcast> {
    let layer = |rid: &&str| SimulcastLayer { rid: Rid::from(*rid), attributes: None };
    (layers > 1).then(|| Simulcast { send: RIDS.iter().take(layers).map(layer).collect(), recv: vec![] })
}
