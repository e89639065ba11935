//! The yardstick: the same scenario with str0m's own estimator, pacer and send path in place of the server's.
//!
//! It knows all that a sender could wish to know: the encoders stand beside it, and after each estimate it takes the best set of layers that fits,
//! found by trying all (`best`). What is compared is thus estimation, pacing and repair, and little else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::{Bitrate, BweKind};
use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{KeyframeRequest, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::best::{Point, SOUND_WIRE, best, points};
use super::client::{Client, Kit};
use super::encoder::{Encoder, Frame, RATE};
use super::link::{Conditions, Parcel, Way};
use super::measure::Run;
use super::payload;
use super::steps::{Change, Scenario};
use crate::id::{PeerId, TrackId};
use crate::room::SlotState;

const STEP: Duration = Duration::from_millis(1);
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 255, 0, 1)), 10_000);
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 4_000);
const INITIAL: u64 = 300_000;

/// A picture on its way to one slot.
struct Picture {
    mid: Mid,
    owner: PeerId,
    encoder: Encoder,
    /// What the estimate has room for; `None`: nothing.
    aim: Option<Point>,
    /// What is sent, since a keyframe of it.
    layer: Option<u8>,
    temporal: u8,
    seq: u64,
    picture_id: u16,
    tl0: u8,
}

impl Picture {
    /// The frame as it goes out, if it does.
    fn choose(&mut self, frame: Frame) -> Option<Frame> {
        let aim = self.aim?;
        if frame.key && frame.layer == aim.layer {
            (self.layer, self.temporal) = (Some(frame.layer), aim.temporal);
        }
        if self.layer != Some(frame.layer) {
            return None;
        }
        // While it waits for a keyframe of a smaller layer, the least of the larger one.
        let most = match frame.layer.cmp(&aim.layer) {
            std::cmp::Ordering::Less => 2,
            std::cmp::Ordering::Equal => aim.temporal,
            std::cmp::Ordering::Greater => 0,
        };
        if frame.sync && most > self.temporal {
            self.temporal = most;
        }
        self.temporal = self.temporal.min(most);
        if frame.temporal > self.temporal {
            return None;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(frame.temporal == 0));
        Some(Frame { picture_id: self.picture_id, tl0: self.tl0, ..frame })
    }

    fn aim(&mut self, aim: Option<Point>, now: Instant) {
        self.aim = aim;
        if let Some(aim) = aim
            && self.layer != Some(aim.layer)
        {
            self.encoder.request_keyframe(aim.layer.into(), now);
        }
        if aim.is_none() {
            self.layer = None;
        }
    }
}

struct Sender {
    rtc: Rtc,
    client: Client,
    up: Way,
    down: Way,
    pictures: Vec<Picture>,
    /// Sound: section and next sequence number.
    voices: Vec<(Mid, u64)>,
    next_sound: Instant,
    connected: bool,
    timeout: Instant,
    now: Instant,
    start: Instant,
    estimates: Vec<(f64, u64)>,
}

/// Runs a scenario with str0m's send path.
pub fn run(scenario: &Scenario, seed: u64) -> Run {
    let mut sender = Sender::new(scenario, seed);
    let mut steps = scenario.steps.iter().peekable();
    while sender.now - sender.start < Duration::from_secs(scenario.length) {
        let time = sender.now - sender.start;
        while let Some((_, change)) = steps.next_if(|(at, _)| Duration::from_millis(*at) <= time) {
            match change {
                Change::Rate(rate) => sender.down.conditions().rate = Some(*rate),
                Change::Outage(ms) => sender.down.cut(sender.now + Duration::from_millis(*ms)),
                Change::Join(..) | Change::Murmur(_) | Change::Loud(..) | Change::Encodings(_) | Change::Wish(_) => {
                    panic!("only its network changes")
                }
            }
        }
        sender.step();
    }
    let down = sender.down.traffic.take().expect("watched");
    Run { estimates: sender.estimates, ..Run::of(&sender.client, scenario, down) }
}

impl Sender {
    fn new(scenario: &Scenario, seed: u64) -> Sender {
        let now = Instant::now();
        let voices = scenario.voices();
        let kit = Kit { video_slots: scenario.pictures, audio_slots: voices, ..scenario.receiver };
        let (mut client, offer) = Client::new(CLIENT, kit, now);
        let config =
            RtcConfig::new().set_rtp_mode(true).set_ice_lite(true).clear_codecs().enable_opus(true, kit.redundancy).enable_vp8(true);
        let mut rtc = config.enable_bwe(Some(Bitrate::from(INITIAL))).build(now);
        rtc.add_local_candidate(Candidate::host(SERVER, "udp").expect("an address"));
        let offer = SdpOffer::from_sdp_string(&offer).expect("an offer");
        let answer = rtc.sdp_api().accept_offer(offer).expect("an answer");
        client.accept(PeerId(1), &answer.to_sdp_string(), now);
        let mids = |video| client.receives().into_iter().filter(move |(_, slot)| slot.video == video).map(|(mid, _)| mid);
        let picture = |(n, mid)| Picture {
            mid,
            owner: PeerId(100 + n as u32),
            encoder: Encoder::new(seed << 32 | n as u64, now),
            aim: None,
            layer: None,
            temporal: 0,
            seq: 1_000,
            picture_id: 77,
            tl0: 7,
        };
        let pictures = mids(true).enumerate().map(picture).collect();
        let voices = mids(false).map(|mid| (mid, 1_000)).collect();
        let mut down = Way::new(scenario.network, seed << 32 | 1);
        down.watch(now);
        let up = Way::new(Conditions { rate: None, ..scenario.network }, seed << 32);
        let (next_sound, timeout) = (now, now);
        Sender { rtc, client, up, down, pictures, voices, next_sound, connected: false, timeout, now, start: now, estimates: vec![] }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        while let Some(Parcel(from, bytes)) = self.up.poll(now) {
            let receive = Receive::new(Protocol::Udp, from, SERVER, &bytes).expect("a datagram");
            self.rtc.handle_input(Input::Receive(now, receive)).expect("input");
            self.drain();
        }
        if self.connected && self.send() || self.timeout <= now {
            self.rtc.handle_input(Input::Timeout(now)).expect("input");
            self.drain();
        }
        while let Some(Parcel(_, bytes)) = self.down.poll(now) {
            self.client.handle_datagram(SERVER, &bytes, now);
        }
        self.client.step(now);
        while let Some((_, bytes)) = self.client.poll_datagram() {
            self.up.send(now, Parcel(CLIENT, bytes));
        }
    }

    /// Media that is due; `true`: there was some.
    fn send(&mut self) -> bool {
        let mut sent = vec![];
        for picture in &mut self.pictures {
            for frame in picture.encoder.poll(self.now) {
                if let Some(frame) = picture.choose(frame) {
                    let (mid, owner, first) = (picture.mid, picture.owner, picture.seq);
                    let packets = payload::packets(&frame, Some(owner));
                    picture.seq += packets.len() as u64;
                    sent.push((mid, owner, Codec::Vp8, first, frame.number * (90_000 / RATE), packets));
                }
            }
        }
        if self.next_sound <= self.now {
            self.next_sound += Duration::from_millis(20);
            let redundancy = payload::redundancy(self.rtc.codec_config().params());
            for (n, (mid, seq)) in self.voices.iter_mut().enumerate() {
                let (owner, number) = (PeerId(200 + n as u32), *seq as u32);
                let (sound, before) = (payload::sound(Some(owner), number, 80), payload::sound(Some(owner), number - 1, 80));
                let payload = match redundancy {
                    Some((_, pt)) => payload::redundant(*pt, number * 960, Some(&((number - 1) * 960, before)), &sound),
                    None => sound,
                };
                sent.push((*mid, owner, Codec::Opus, *seq, number * 960, vec![payload]));
                *seq += 1;
            }
        }
        for (mid, owner, codec, first, time, packets) in &sent {
            self.write((*mid, *owner), *codec, (*first, *time), packets);
        }
        !sent.is_empty()
    }

    fn write(&mut self, (mid, owner): (Mid, PeerId), codec: Codec, (first, time): (u64, u32), packets: &[Vec<u8>]) {
        let params = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec).expect("a codec");
        let pt = params.red().unwrap_or(params.pt());
        if first == 1_000 {
            let source = Some((TrackId(owner.0), owner));
            self.client.told(&mid.to_string(), SlotState { source, first_timestamp: Some(time), reason: None });
        }
        let mut direct = self.rtc.direct_api();
        let tx = direct.stream_tx_by_mid(mid, None).expect("a stream");
        for (n, packet) in packets.iter().enumerate() {
            let write = RtpWrite::new(pt, (first + n as u64).into(), time, self.now, packet.clone());
            tx.write_rtp(write.marker(n + 1 == packets.len()).csrc(&[owner.0]).nackable(codec != Codec::Opus));
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("output") {
                Output::Timeout(at) if at > self.now => {
                    self.timeout = at;
                    return;
                }
                Output::Timeout(_) => self.rtc.handle_input(Input::Timeout(self.now)).expect("input"),
                Output::Transmit(t) => self.down.send(self.now, Parcel(t.destination, t.contents.to_vec())),
                Output::Event(event) => self.handle_event(&event),
            }
        }
    }

    fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.next_sound = self.now;
                self.allocate(INITIAL);
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.estimates.push(((self.now - self.start).as_secs_f64(), estimate.as_u64()));
                self.allocate(estimate.as_u64());
            }
            Event::KeyframeRequest(KeyframeRequest { mid, .. }) => {
                let picture = self.pictures.iter_mut().find(|p| p.mid == *mid);
                if let Some((picture, aim)) = picture.and_then(|p| p.aim.map(|aim| (p, aim))) {
                    picture.encoder.request_keyframe(aim.layer.into(), self.now);
                }
            }
            _ => {}
        }
    }

    fn sound(&self) -> u64 {
        self.voices.len() as u64 * SOUND_WIRE
    }

    fn allocate(&mut self, estimate: u64) {
        let set = best(estimate.saturating_sub(self.sound()), self.pictures.len());
        for (n, picture) in self.pictures.iter_mut().enumerate() {
            picture.aim(set.get(n).copied(), self.now);
        }
        // As its documentation says: pad up to where the next layer begins, so that the estimate can grow, and wish for all of it.
        let all = points().last().map_or(0, |p| p.wire) * self.pictures.len() as u64 + self.sound();
        let sent = set.iter().map(|p| p.wire).sum::<u64>() + self.sound();
        let first = set.first().copied();
        let next = points().into_iter().find(|p| first.is_none_or(|first| p.wire > first.wire));
        let more = next.map_or(0, |next| next.wire - first.map_or(0, |first| first.wire));
        self.rtc.bwe().set_bitrate(Bitrate::from(sent + more), Bitrate::from(all));
    }
}
