//! A room under random inputs, with publishers that behave like encoders, a network that loses, repeats and reorders, and a model of the
//! decoder at the far end of each slot. A failing seed is printed; `NINEFOLD_SEED=n` runs that one, `NINEFOLD_SEEDS=n` so many.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::limits::KEYFRAME_REPEAT;
use crate::rtp::{Facts, PictureId};

const TICK: Duration = Duration::from_millis(5);
/// Ticks with random inputs; a calm time follows.
const WILD_TICKS: u32 = 1_200;
const CALM_TICKS: u32 = 600;

/// One encoder of a publisher.
struct Encoder {
    seq: u64,
    picture: u16,
    timestamp_offset: u32,
    /// Numbers before and after a restart have nothing to do with each other.
    epoch: u32,
    keyframe_at: Option<Instant>,
    silent_until: Instant,
    asked: Option<Instant>,
    /// Nobody said that it is not watched.
    active: bool,
}

/// A published track with what was sent of it.
struct Source {
    kind: Kind,
    codec: Codec,
    encoders: Vec<Encoder>,
    next_frame: Instant,
    /// Packets that reached the room, and when first: layer, epoch, number.
    delivered: HashMap<(u8, u32, u64), Instant>,
    talking: bool,
}

/// A packet between publisher and room.
struct Flight {
    track: TrackId,
    layer: u8,
    epoch: u32,
    packet: Packet,
}

/// What arrived in a slot.
#[derive(Clone, Copy)]
struct Arrived {
    origin: (TrackId, u8, u32),
    /// Beginnings of the slot before it.
    run: u32,
    seq_in: u64,
    timestamp: u32,
    keyframe: bool,
    picture: Option<u16>,
    at: Instant,
    /// It only closes a hole.
    empty: bool,
}

/// The far end of a slot.
struct Receiver {
    kind: Kind,
    state: SlotState,
    /// How often the slot had to begin anew.
    run: u32,
    /// How often it began with kept pictures: they may be older than the time in which they are shown.
    replays: u32,
    /// When it last had to.
    begun: Instant,
    packets: BTreeMap<u64, Arrived>,
}

struct World {
    rng: fastrand::Rng,
    room: Room,
    start: Instant,
    now: Instant,
    peers: Vec<PeerId>,
    next_peer: u32,
    sources: BTreeMap<TrackId, Source>,
    /// Of all tracks that ever were, for the judgement at the end.
    gone: BTreeMap<TrackId, Source>,
    receivers: BTreeMap<(PeerId, SlotIndex), Receiver>,
    flights: BTreeMap<(Instant, u64), Flight>,
    flight: u64,
    out: Vec<Forward>,
    calm: bool,
}

#[test]
fn random_rooms() {
    let of = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match of("NINEFOLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..of("NINEFOLD_SEEDS").unwrap_or(1_000),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        if let Err(panic) = run {
            eprintln!("NINEFOLD_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let filler = if rng.u8(..4) == 0 { Filler::Broadcast } else { Filler::Conference };
        let room = Room::new(RoomConfig { filler, voices: 3 }, rng.fork());
        let now = Instant::now();
        World {
            rng,
            room,
            start: now,
            now,
            peers: Vec::new(),
            next_peer: 0,
            sources: BTreeMap::new(),
            gone: BTreeMap::new(),
            receivers: BTreeMap::new(),
            flights: BTreeMap::new(),
            flight: 0,
            out: Vec::new(),
            calm: false,
        }
    }

    /// Three people who see and hear each other; what comes then is random.
    fn populate(&mut self) {
        for _ in 0..3 {
            self.next_peer += 1;
            let peer = PeerId(self.next_peer);
            self.handle(Input::Join { peer });
            self.handle(Input::AddSlots { peer, slots: [slots(Kind::Video, 2), slots(Kind::Audio, 1)].concat() });
            self.handle(Input::Connected { peer });
            for spec in [video_spec(self.rng.u8(1..=3)), audio_spec()] {
                let track = self.room.new_track_id();
                self.handle(Input::Publish { peer, track, spec });
            }
        }
    }

    fn run(mut self) {
        self.populate();
        for tick in 0..WILD_TICKS + CALM_TICKS {
            if tick == WILD_TICKS {
                self.calm = true;
                self.calm_down();
            }
            self.now += TICK;
            if !self.calm && self.rng.u8(..16) == 0 {
                self.random_input();
            }
            self.encode();
            self.deliver();
            if self.room.timeout().is_some_and(|due| due <= self.now) {
                self.room.handle_timeout(self.now);
                assert!(self.room.timeout().is_none_or(|due| due > self.now), "a timer that fired is gone");
            }
            self.listen();
            self.room.check_invariants();
        }
        for receiver in self.receivers.values() {
            self.judge(receiver);
        }
    }

    fn handle(&mut self, input: Input) {
        // Refusals are welcome: random inputs make no sense half of the time.
        let refused = self.room.handle(input.clone(), self.now).is_err();
        if !refused {
            self.follow(input);
        }
        self.listen();
    }

    /// Keeps the books in step with an input that was accepted.
    fn follow(&mut self, input: Input) {
        match input {
            Input::Join { peer } => self.peers.push(peer),
            Input::Leave { peer } => {
                self.peers.retain(|other| *other != peer);
                let room = &self.room;
                let (sources, gone) = (&mut self.sources, &mut self.gone);
                gone.extend(sources.extract_if(.., |track, _| !room.tracks.contains_key(track)));
                let left: Vec<_> = self.receivers.keys().filter(|(owner, _)| *owner == peer).copied().collect();
                for key in left {
                    if let Some(receiver) = self.receivers.remove(&key) {
                        self.judge(&receiver);
                    }
                }
            }
            Input::Publish { track, spec, .. } => {
                let source = self.new_source(&spec);
                self.sources.insert(track, source);
            }
            Input::Unpublish { track } => self.gone.extend(self.sources.remove_entry(&track)),
            Input::UnpublishAll { tracks } => {
                let gone = tracks.iter().filter_map(|track| self.sources.remove_entry(track));
                self.gone.extend(gone);
            }
            Input::AddSlots { peer, slots } => {
                let first = self.receivers.keys().filter(|(owner, _)| *owner == peer).count();
                for (at, spec) in slots.into_iter().enumerate() {
                    let key = (peer, SlotIndex((first + at) as u16));
                    let receiver = Receiver {
                        kind: spec.kind,
                        state: SlotState::default(),
                        run: 0,
                        replays: 0,
                        begun: self.now,
                        packets: BTreeMap::new(),
                    };
                    self.receivers.insert(key, receiver);
                }
            }
            Input::Connected { .. }
            | Input::Mute { .. }
            | Input::CloseSlot { .. }
            | Input::OpenSlot { .. }
            | Input::View { .. }
            | Input::Wish { .. }
            | Input::Estimate { .. }
            | Input::KeyframeRequest { .. } => {}
        }
    }

    fn new_source(&mut self, spec: &TrackSpec) -> Source {
        let rng = &mut self.rng;
        let encoder = |rng: &mut fastrand::Rng, now: Instant| Encoder {
            seq: rng.u64(..70_000),
            picture: rng.u16(..0x8000),
            timestamp_offset: rng.u32(..),
            epoch: 0,
            keyframe_at: Some(now),
            silent_until: now,
            asked: None,
            active: true,
        };
        let codec = match spec.kind {
            Kind::Audio => Codec::Opus,
            Kind::Video if rng.u8(..10) == 0 => Codec::H264 { profile: 0x42e0, mode: 1 },
            Kind::Video => Codec::Vp8,
        };
        Source {
            kind: spec.kind,
            codec,
            encoders: (0..spec.layers).map(|_| encoder(rng, self.now)).collect(),
            next_frame: self.now,
            delivered: HashMap::new(),
            talking: false,
        }
    }

    fn random_input(&mut self) {
        let rng = &mut self.rng;
        let peer = if self.peers.is_empty() { PeerId(1) } else { self.peers[rng.usize(..self.peers.len())] };
        let tracks: Vec<TrackId> = self.sources.keys().copied().collect();
        let track = if tracks.is_empty() { TrackId(1) } else { tracks[rng.usize(..tracks.len())] };
        let slot = SlotIndex(rng.u16(..5));
        let kind = if rng.bool() { Kind::Video } else { Kind::Audio };
        let input = match rng.u8(..30) {
            0..3 if self.peers.len() < 6 => {
                self.next_peer += 1;
                Input::Join { peer: PeerId(self.next_peer) }
            }
            3..6 => Input::Connected { peer },
            6 if rng.bool() => Input::Leave { peer },
            7..11 if tracks.len() < 10 => {
                let layers = if kind == Kind::Video { rng.u8(1..=3) } else { 1 };
                let spec = TrackSpec { kind, screen: rng.u8(..5) == 0, layers, muted: rng.u8(..10) == 0 };
                Input::Publish { peer, track: self.room.new_track_id(), spec }
            }
            11 if rng.u8(..4) == 0 => Input::UnpublishAll { tracks: vec![track, TrackId(track.0.saturating_sub(1)), track] },
            11 if rng.bool() => Input::Unpublish { track },
            12 | 13 => Input::Mute { track, muted: rng.u8(..3) == 0 },
            14..17 if self.receivers.keys().filter(|(owner, _)| *owner == peer).count() < 6 => {
                Input::AddSlots { peer, slots: slots(kind, rng.usize(1..3)) }
            }
            17 if rng.u8(..4) == 0 => Input::CloseSlot { peer, slot },
            17 if rng.u8(..2) == 0 => Input::OpenSlot { peer, slot, codecs: vec![Codec::Opus, Codec::Vp8] },
            18 => Input::View { peer, view: View::Tracks((0..rng.u8(..4)).map(|_| TrackId(rng.u32(1..12))).collect()) },
            19 => {
                let limit = rng.bool().then(|| rng.usize(..4));
                Input::View { peer, view: View::Auto { offset: rng.usize(..3), limit, pinned: vec![track] } }
            }
            20 | 21 => Input::KeyframeRequest { peer, slot },
            22 | 23 => {
                let size = (Some(rng.u32(..1_500)), Some(rng.u32(..900)));
                let wish = Wish { size, visible: rng.u8(..4) > 0, priority: rng.u8(..3), paused: rng.u8(..8) == 0 };
                Input::Wish { peer, slot, track, wish }
            }
            24..27 => Input::Estimate { peer, bps: rng.u64(..40) * rng.u64(..40) * 100 },
            _ => return self.trouble(track),
        };
        self.handle(input);
    }

    /// Every way carries everything.
    fn calm_down(&mut self) {
        for peer in self.peers.clone() {
            self.handle(Input::Estimate { peer, bps: 100_000_000 });
        }
    }

    /// An encoder that pauses or starts anew, or somebody who begins to talk.
    fn trouble(&mut self, track: TrackId) {
        let Some(source) = self.sources.get_mut(&track) else { return };
        source.talking = !source.talking;
        let at = self.rng.usize(..source.encoders.len());
        let encoder = &mut source.encoders[at];
        if self.rng.bool() {
            encoder.silent_until = self.now + Duration::from_millis(self.rng.u64(200..2_000));
        } else {
            encoder.silent_until = self.now + Duration::from_millis(200);
            encoder.seq = encoder.seq.wrapping_add(self.rng.u64(10_000..60_000)) % 70_000;
            // Two restarts at once must not cancel each other out: then nobody could see them.
            encoder.timestamp_offset = encoder.timestamp_offset.wrapping_add(self.rng.u32(1_000_000_000..1_400_000_000));
            encoder.picture = self.rng.u16(..0x8000);
            encoder.epoch += 1;
            encoder.keyframe_at = Some(self.now);
        }
    }

    fn encode(&mut self) {
        let since = self.now - self.start;
        let calm = self.calm;
        for (track, source) in &mut self.sources {
            if source.next_frame > self.now {
                continue;
            }
            let (frame_ms, rate) = if source.kind == Kind::Video { (33, 90) } else { (20, 48) };
            source.next_frame += Duration::from_millis(frame_ms);
            let ticks = (since.as_millis() as u32).wrapping_mul(rate);
            let level = if source.talking { 20 } else { 127 };
            for (layer, encoder) in source.encoders.iter_mut().enumerate() {
                if encoder.silent_until > self.now || !encoder.active {
                    continue;
                }
                let keyframe = encoder.keyframe_at.is_some_and(|at| at <= self.now);
                if keyframe {
                    encoder.keyframe_at = None;
                }
                encoder.picture = (encoder.picture + 1) & 0x7fff;
                let parts = if source.kind == Kind::Video { self.rng.u8(1..4) } else { 1 };
                for part in 0..parts {
                    encoder.seq += 1;
                    let packet = Packet {
                        seq: encoder.seq,
                        timestamp: ticks.wrapping_add(encoder.timestamp_offset),
                        marker: part + 1 == parts,
                        codec: source.codec,
                        extensions: Extensions { audio_level: Some(level), ..Extensions::default() },
                        payload: payload(source.codec, encoder.picture, keyframe, part == 0),
                        red: None,
                        received: self.now,
                        captured: self.now,
                    };
                    let lost = !calm && self.rng.u8(..100) < 3;
                    let copies = if lost { 0 } else { 1 + u8::from(self.rng.u8(..100) == 0) };
                    for _ in 0..copies {
                        let late = if self.rng.u8(..20) == 0 { self.rng.u64(..60) } else { 0 };
                        self.flight += 1;
                        let flight = Flight { track: *track, layer: layer as u8, epoch: encoder.epoch, packet: packet.clone() };
                        self.flights.insert((self.now + Duration::from_millis(late), self.flight), flight);
                    }
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let Flight { track, layer, epoch, packet } = entry.remove();
            if let Some(source) = self.sources.get_mut(&track) {
                source.delivered.entry((layer, epoch, packet.seq)).or_insert(self.now);
            }
            self.out.clear();
            let before = self.room.counters().clone();
            let packet = Arc::new(packet);
            self.room.forward(track, LayerIndex(layer), &packet, self.now, &mut self.out);
            let after = self.room.counters();
            let (sent, dropped) = (after.forwarded - before.forwarded, after.drops.total() - before.drops.total());
            assert!(sent as usize == self.out.len() && sent + dropped > 0, "each packet is sent or counted");
            let facts = Facts::parse(packet.codec, &packet.payload, None);
            for forward in &self.out {
                let receiver = self.receivers.get_mut(&(forward.peer, forward.slot)).expect("a slot that is there");
                let arrived = Arrived {
                    origin: (track, layer, epoch),
                    run: receiver.run,
                    seq_in: packet.seq,
                    timestamp: forward.header.timestamp,
                    keyframe: facts.keyframe,
                    picture: forward.header.patch.picture_id.map(|patch| patch.value),
                    at: self.now,
                    empty: forward.header.empty,
                };
                receiver.take(forward, arrived);
            }
            self.listen();
        }
    }

    /// Does what the room says.
    fn listen(&mut self) {
        while let Some(output) = self.room.poll() {
            match output {
                Output::RequestKeyframe { track, layer, .. } => {
                    let encoder = &mut self.sources.get_mut(&track).expect("published").encoders[usize::from(layer.0)];
                    let soon = encoder.asked.is_some_and(|at| at + KEYFRAME_REPEAT > self.now);
                    assert!(!soon, "asked twice at once");
                    encoder.asked = Some(self.now);
                    encoder.keyframe_at = encoder.keyframe_at.or(Some(self.now + Duration::from_millis(80)));
                }
                Output::Slot { peer, slot, state } => {
                    let receiver = self.receivers.get_mut(&(peer, slot)).expect("a slot that is there");
                    if state.first_timestamp.is_none() {
                        receiver.run += 1;
                        receiver.begun = self.now;
                    }
                    receiver.state = state;
                }
                Output::Encodings { track, active, .. } => {
                    let encoders = &mut self.sources.get_mut(&track).expect("published").encoders;
                    assert_eq!(encoders.len(), active.len());
                    for (encoder, active) in encoders.iter_mut().zip(active) {
                        if active && !encoder.active {
                            encoder.keyframe_at = Some(self.now);
                        }
                        encoder.active = active;
                    }
                }
                Output::Want { peer, .. } => assert!(self.peers.contains(&peer)),
                Output::Replay(packets) => self.take_replay(&packets),
                Output::Speakers(list) => assert!(list.len() <= crate::limits::SPEAKERS_MAX),
            }
        }
        for ((peer, slot), receiver) in &self.receivers {
            assert_eq!(Some(receiver.state), self.room.slot_state(*peer, *slot), "each change is told");
        }
    }

    /// Kept pictures that a slot begins with.
    fn take_replay(&mut self, packets: &[(Forward, Arc<Packet>)]) {
        let first = packets.first().and_then(|(forward, _)| self.receivers.get_mut(&(forward.peer, forward.slot)));
        first.into_iter().for_each(|receiver| receiver.replays += 1);
        for (forward, packet) in packets {
            // The slot's owner, or the track, may have gone since.
            let Some(receiver) = self.receivers.get_mut(&(forward.peer, forward.slot)) else { continue };
            let source = self.sources.get(&forward.track).or(self.gone.get(&forward.track)).expect("known");
            let epochs = source.delivered.keys().filter(|(layer, _, seq)| (*layer, *seq) == (0, packet.seq)).map(|(_, epoch, _)| *epoch);
            let arrived = Arrived {
                origin: (forward.track, 0, epochs.max().expect("delivered before")),
                run: receiver.run,
                seq_in: packet.seq,
                timestamp: forward.header.timestamp,
                keyframe: Facts::parse(packet.codec, &packet.payload, None).keyframe,
                picture: forward.header.patch.picture_id.map(|patch| patch.value),
                at: self.now,
                empty: false,
            };
            receiver.take(forward, arrived);
        }
    }

    /// Judges all that a slot got.
    fn judge(&self, receiver: &Receiver) {
        let mut packets = receiver.packets.iter();
        let Some((mut last_seq, mut last)) = packets.next() else { return self.judge_progress(receiver, None) };
        let (first, mut switches) = (*last, 1);
        let (mut holes, mut run_end): (Vec<Hole>, Instant) = (Vec::new(), first.at);
        assert!(receiver.kind == Kind::Audio || first.keyframe, "the first packet starts a keyframe");
        assert!(*last_seq < 65_536, "the rollover counter starts at 0");
        for (seq, arrived) in packets {
            if arrived.follows(*seq, last, *last_seq) {
                holes.push(Hole { origin: arrived.origin, between: last.seq_in + 1..arrived.seq_in, numbers: seq - last_seq - 1 });
            } else {
                switches += 1;
                self.judge_holes(&mut holes, run_end);
                run_end = arrived.at;
                assert_eq!(*seq, last_seq + 1, "a switch leaves no hole");
                assert!(receiver.kind == Kind::Audio || arrived.keyframe, "a switch starts a keyframe");
                let (ticks, tag) = (arrived.timestamp.wrapping_sub(last.timestamp) as i32, "time goes forward");
                assert!(ticks > 0, "{tag}: {ticks}");
                if let (Some(new), Some(old), false) = (arrived.picture, last.picture, arrived.empty) {
                    assert!((new.wrapping_sub(old) & 0x7fff) < 0x4000 && new != old, "pictures run on");
                }
            }
            assert!(arrived.timestamp.wrapping_sub(last.timestamp) as i32 >= 0, "time never goes back");
            run_end = run_end.max(arrived.at);
            (last_seq, last) = (seq, arrived);
        }
        self.judge_holes(&mut holes, run_end);
        let rate = f64::from(receiver.kind.clock_rate());
        let played = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / rate;
        let real = (last.at - first.at).as_secs_f64();
        let tolerance = 0.1 + 0.06 * f64::from(switches) + 1.6 * f64::from(receiver.replays);
        assert!((played - real).abs() < tolerance, "{played} s for {real} s after {switches} switches");
        self.judge_progress(receiver, Some(last));
    }

    /// What is missing between two packets of a source did not reach the room before the slot got the last one of that source.
    fn judge_holes(&self, holes: &mut Vec<Hole>, end: Instant) {
        for Hole { origin: (track, layer, epoch), between, numbers } in holes.drain(..) {
            let source = self.sources.get(&track).or(self.gone.get(&track)).expect("known");
            let came = |seq: u64| source.delivered.get(&(layer, epoch, seq)).is_some_and(|at| *at <= end);
            let missing = between.clone().filter(|seq| !came(*seq)).count() as u64;
            assert!(numbers <= missing, "a hole that we made in {between:?} of {track}/{layer} at {:?}", end - self.start);
        }
    }

    /// After the calm time everything that can be shown is shown.
    fn judge_progress(&self, receiver: &Receiver, last: Option<&Arrived>) {
        let able = receiver.state.source.is_some() && receiver.state.reason.is_none();
        if self.calm && able {
            // A speaker may get a slot near the end; the keyframe for it comes after debounce and encoder.
            let since = last.map_or(receiver.begun, |last| last.at.max(receiver.begun));
            assert!(self.now - since < Duration::from_millis(800), "{:?} waits since {:?}", receiver.state, self.now - since);
        }
    }
}

/// Numbers that a slot did not get, and the packets of the source that they may have been.
struct Hole {
    origin: (TrackId, u8, u32),
    between: std::ops::Range<u64>,
    numbers: u64,
}

impl Arrived {
    /// The same numbering goes on.
    fn follows(&self, seq: u64, last: &Arrived, last_seq: u64) -> bool {
        (self.origin, self.run) == (last.origin, last.run) && self.seq_in > last.seq_in && self.seq_in - last.seq_in >= seq - last_seq
    }
}

impl Receiver {
    fn take(&mut self, forward: &Forward, arrived: Arrived) {
        let twin = self.packets.insert(forward.header.seq, arrived);
        let same = twin.is_none_or(|twin| (twin.origin, twin.seq_in) == (arrived.origin, arrived.seq_in));
        assert!(same, "a number given out twice");
    }
}

fn payload(codec: Codec, picture: u16, keyframe: bool, start: bool) -> Arc<[u8]> {
    let [high, low] = picture.to_be_bytes();
    match codec {
        Codec::Opus => [0xfc, 0xff, 0xfe].into(),
        Codec::Vp8 => {
            let first = if start { 0x90 } else { 0x80 };
            // The pattern 0 2 1 2, the last of which needs the one before it in its layer.
            let place = if keyframe { 0 } else { picture as usize % 4 };
            let (temporal, sync) = ([0, 2, 1, 2][place], u8::from(place < 3));
            [first, 0xe0, 0x80 | high, low, (picture / 4) as u8, temporal << 6 | sync << 5, u8::from(!keyframe)].into()
        }
        Codec::Vp9 { .. } | Codec::H264 { .. } | Codec::Av1 { .. } => [if keyframe && start { 0x67 } else { 0x41 }, 0].into(),
    }
}

#[test]
fn the_made_payload_reads_as_meant() {
    let facts = Facts::parse(Codec::Vp8, &payload(Codec::Vp8, 0x1234, true, true), None);
    assert!(facts.keyframe);
    assert_eq!(facts.picture_id, Some(PictureId { offset: 2, value: 0x1234, wide: true }));
    assert!(!Facts::parse(Codec::Vp8, &payload(Codec::Vp8, 1, true, false), None).keyframe);
    assert!(!Facts::parse(Codec::Vp8, &payload(Codec::Vp8, 1, false, true), None).keyframe);
}
