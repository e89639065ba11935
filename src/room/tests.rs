//! What a room promises, by example; `random` asks thousands of seeds.

mod adapt;
mod random;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::limits::{TRACKS_PER_PEER_MAX, WISH_EXPECTED};
use crate::metrics::DropReason;
use crate::rtp::{Codec, Extensions, Packet};

const MS: Duration = Duration::from_millis(1);

/// A room with its own clock.
struct Stage {
    room: Room,
    now: Instant,
    out: Vec<Forward>,
}

fn video_spec(layers: u8) -> TrackSpec {
    TrackSpec { kind: Kind::Video, screen: false, layers, muted: false }
}

fn audio_spec() -> TrackSpec {
    TrackSpec { kind: Kind::Audio, screen: false, layers: 1, muted: false }
}

fn slots(kind: Kind, count: usize) -> Vec<SlotSpec> {
    let codecs = match kind {
        Kind::Audio => vec![Codec::Opus],
        Kind::Video => vec![Codec::Vp8],
    };
    vec![SlotSpec { kind, codecs }; count]
}

fn vp8(seq: u64, timestamp: u32, keyframe: bool, now: Instant) -> Packet {
    let payload = [0x90, 0x80, 0x80, seq as u8, u8::from(!keyframe)];
    let extensions = Extensions::default();
    Packet { seq, timestamp, marker: true, codec: Codec::Vp8, extensions, payload: payload.into(), red: None, received: now, captured: now }
}

fn opus(seq: u64, level: u8, now: Instant) -> Packet {
    let extensions = Extensions { audio_level: Some(level), ..Extensions::default() };
    let timestamp = seq as u32 * 960;
    Packet {
        seq,
        timestamp,
        marker: false,
        codec: Codec::Opus,
        extensions,
        payload: [1u8; 3].into(),
        red: None,
        received: now,
        captured: now,
    }
}

impl Stage {
    fn new(filler: Filler) -> Stage {
        let room = Room::new(RoomConfig { filler, voices: 3 }, fastrand::Rng::with_seed(1));
        Stage { room, now: Instant::now(), out: Vec::new() }
    }

    fn tell(&mut self, input: Input) {
        self.room.handle(input, self.now).unwrap();
        self.room.check_invariants();
    }

    /// A connected peer with video and audio slots.
    fn join(&mut self, peer: u32, video: usize, audio: usize) -> PeerId {
        let peer = PeerId(peer);
        self.tell(Input::Join { peer });
        let slots = [slots(Kind::Video, video), slots(Kind::Audio, audio)].concat();
        self.tell(Input::AddSlots { peer, slots });
        self.tell(Input::Connected { peer });
        peer
    }

    fn publish(&mut self, peer: PeerId, spec: TrackSpec) -> TrackId {
        let track = self.room.new_track_id();
        self.tell(Input::Publish { peer, track, spec });
        track
    }

    fn send(&mut self, track: TrackId, layer: u8, packet: Packet) -> Vec<Forward> {
        self.out.clear();
        self.room.forward(track, LayerIndex(layer), &Arc::new(packet), self.now, &mut self.out);
        self.room.check_invariants();
        self.out.clone()
    }

    fn vp8(&mut self, track: TrackId, layer: u8, seq: u64, keyframe: bool) -> usize {
        let packet = vp8(seq, seq as u32 * 3_000, keyframe, self.now);
        self.send(track, layer, packet).len()
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.room.timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.room.handle_timeout(self.now);
            self.room.check_invariants();
        }
        self.now = end;
    }

    fn outputs(&mut self) -> Vec<Output> {
        let list: Vec<Output> = std::iter::from_fn(|| self.room.poll()).collect();
        self.room.check_invariants();
        list
    }

    fn requests(&mut self) -> Vec<(TrackId, u8)> {
        let mut list = Vec::new();
        for output in self.outputs() {
            match output {
                Output::RequestKeyframe { track, layer, .. } => list.push((track, layer.0)),
                Output::Slot { .. } | Output::Encodings { .. } | Output::Want { .. } | Output::Replay(_) | Output::Speakers(_) => {}
            }
        }
        list
    }

    fn state(&self, peer: PeerId, slot: u16) -> SlotState {
        self.room.slot_state(peer, SlotIndex(slot)).unwrap()
    }

    fn sources(&self, peer: PeerId, slots: std::ops::Range<u16>) -> Vec<Option<TrackId>> {
        slots.map(|slot| self.state(peer, slot).source.map(|(track, _)| track)).collect()
    }

    fn view(&mut self, peer: PeerId, view: View) {
        self.tell(Input::View { peer, view });
    }
}

#[test]
fn nothing_before_connected_then_a_keyframe_is_asked_for() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    let bo = PeerId(2);
    stage.tell(Input::Join { peer: bo });
    stage.tell(Input::AddSlots { peer: bo, slots: slots(Kind::Video, 1) });
    assert_eq!(stage.vp8(camera, 0, 1, false), 0);
    assert_eq!(stage.room.counters().drops.get(DropReason::NoReceiver), 1);
    assert_eq!(stage.requests(), []);
    stage.tell(Input::Connected { peer: bo });
    let state = SlotState { source: Some((camera, ada)), first_timestamp: None, reason: None };
    let asked = Output::RequestKeyframe { publisher: ada, track: camera, layer: LayerIndex(0) };
    let outputs = stage.outputs();
    assert!(outputs.contains(&Output::Slot { peer: bo, slot: SlotIndex(0), state }), "{outputs:?}");
    assert_eq!(outputs.iter().filter(|output| **output == asked).count(), 1);
    assert_eq!(stage.vp8(camera, 0, 2, false), 0);
    assert_eq!(stage.room.counters().drops.get(DropReason::WaitKeyframe), 1);
    assert_eq!(stage.vp8(camera, 0, 3, true), 1);
    let first = stage.out[0].header.timestamp;
    assert_eq!(stage.state(bo, 0).first_timestamp, Some(first));
    assert_eq!(stage.outputs().len(), 1);
    assert_eq!(stage.vp8(camera, 0, 4, false), 1);
    assert!(stage.outputs().is_empty());
}

#[test]
fn a_keyframe_sent_again_is_none_to_begin_with() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    stage.join(2, 1, 0);
    assert_eq!(stage.vp8(camera, 0, 11, false), 0);
    assert_eq!(stage.vp8(camera, 0, 10, true), 0, "packet 11 would be missing for ever");
    assert_eq!(stage.vp8(camera, 0, 12, true), 1);
}

#[test]
fn keyframes_are_asked_for_rarely_and_until_they_come() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    stage.vp8(camera, 0, 1, false);
    for peer in 2..52 {
        stage.join(peer, 1, 0);
    }
    assert_eq!(stage.requests(), [(camera, 0)]);
    for seq in 2..40 {
        stage.vp8(camera, 0, seq, false);
    }
    assert!(stage.requests().is_empty());
    stage.wait(299 * MS);
    assert!(stage.requests().is_empty());
    stage.wait(2 * MS);
    assert_eq!(stage.requests(), [(camera, 0)], "again, since none came");
    assert_eq!(stage.vp8(camera, 0, 40, true), 50);
    stage.wait(100 * MS);
    let (peer, slot) = (PeerId(2), SlotIndex(0));
    stage.tell(Input::KeyframeRequest { peer, slot });
    stage.tell(Input::KeyframeRequest { peer: PeerId(3), slot });
    assert!(stage.requests().is_empty(), "half a second between two");
    stage.vp8(camera, 0, 41, false);
    stage.wait(401 * MS);
    assert_eq!(stage.requests(), [(camera, 0)]);
    stage.view(peer, View::Tracks(vec![]));
    stage.vp8(camera, 0, 42, true);
    stage.wait(2_000 * MS);
    stage.tell(Input::KeyframeRequest { peer, slot });
    assert!(stage.requests().is_empty(), "a slot without a source");
}

#[test]
fn the_best_layer_received_is_forwarded() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(3));
    stage.join(2, 1, 0);
    stage.wait(WISH_EXPECTED);
    assert_eq!(stage.vp8(camera, 0, 1, true), 1);
    assert_eq!(stage.vp8(camera, 2, 500, false), 0, "no keyframe yet");
    assert_eq!(stage.requests(), [(camera, 2)]);
    assert_eq!(stage.vp8(camera, 0, 2, false), 1, "the lower one goes on");
    assert_eq!(stage.vp8(camera, 2, 501, true), 1);
    assert_eq!(stage.vp8(camera, 0, 3, false), 0);
    assert_eq!(stage.vp8(camera, 3, 1, true), 0, "there are three");
    assert_eq!(stage.room.counters().drops.get(DropReason::Layer), 3);
    for seq in 4..30 {
        stage.wait(100 * MS);
        stage.vp8(camera, 0, seq, false);
    }
    assert!(stage.requests().contains(&(camera, 0)), "layer 2 stopped");
    assert_eq!(stage.vp8(camera, 0, 30, true), 1);
    assert_eq!(stage.vp8(camera, 0, 31, false), 1);
}

#[test]
fn a_muted_track_is_silent_and_comes_back_without_a_hole() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    let bo = stage.join(2, 1, 0);
    stage.view(bo, View::Tracks(vec![camera]));
    stage.vp8(camera, 0, 1, true);
    let last = stage.out[0].header.seq;
    stage.tell(Input::Mute { track: camera, muted: true });
    assert_eq!(stage.state(bo, 0).reason, Some(SlotReason::Muted));
    assert_eq!(stage.vp8(camera, 0, 2, false), 0);
    assert_eq!(stage.room.counters().drops.get(DropReason::Muted), 1);
    stage.outputs();
    stage.tell(Input::Mute { track: camera, muted: false });
    assert_eq!(stage.requests(), [(camera, 0)]);
    assert_eq!(stage.state(bo, 0), SlotState { source: Some((camera, ada)), first_timestamp: None, reason: None });
    assert_eq!(stage.vp8(camera, 0, 3, false), 0);
    assert_eq!(stage.vp8(camera, 0, 4, true), 1);
    assert_eq!(stage.out[0].header.seq, last + 1);
    // In the automatic view it gives its slot away.
    stage.view(bo, View::Auto { offset: 0, limit: None, pinned: vec![] });
    stage.tell(Input::Mute { track: camera, muted: true });
    assert_eq!(stage.sources(bo, 0..1), [None]);
}

#[test]
fn what_cannot_be_decoded_is_not_sent() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    let bo = stage.join(2, 1, 0);
    let mut packet = vp8(1, 0, true, stage.now);
    packet.codec = Codec::Av1 { profile: 0 };
    assert!(stage.send(camera, 0, packet).is_empty());
    assert_eq!(stage.state(bo, 0).reason, Some(SlotReason::Codec));
    assert_eq!(stage.room.counters().drops.get(DropReason::Codec), 1);
    let cy = stage.join(3, 1, 0);
    assert_eq!(stage.state(cy, 0).reason, Some(SlotReason::Codec), "known from the start");
    assert_eq!(stage.vp8(camera, 0, 2, true), 2, "the publisher changed its codec");
    assert_eq!(stage.state(bo, 0).reason, None);
}

#[test]
fn pages_and_pins() {
    let mut stage = Stage::new(Filler::Conference);
    let mut cameras = Vec::new();
    for peer in 1..=5 {
        let peer = stage.join(peer, 0, 0);
        cameras.push(stage.publish(peer, video_spec(1)));
    }
    let me = stage.join(6, 2, 0);
    let own = stage.publish(me, video_spec(1));
    let some = |tracks: &[usize]| tracks.iter().map(|t| Some(cameras[*t])).collect::<Vec<_>>();
    assert_eq!(stage.sources(me, 0..2), some(&[0, 1]));
    stage.view(me, View::Auto { offset: 2, limit: None, pinned: vec![] });
    assert_eq!(stage.sources(me, 0..2), some(&[2, 3]));
    stage.view(me, View::Auto { offset: 4, limit: None, pinned: vec![] });
    assert_eq!(stage.sources(me, 0..2), [Some(cameras[4]), None]);
    stage.view(me, View::Auto { offset: 0, limit: Some(1), pinned: vec![] });
    assert_eq!(stage.sources(me, 0..2), [Some(cameras[0]), None]);
    stage.view(me, View::Auto { offset: 0, limit: None, pinned: vec![cameras[3], cameras[3], own, TrackId(99)] });
    assert_eq!(stage.sources(me, 0..2), some(&[0, 3]), "what is there stays in its place");
    let screen = TrackSpec { screen: true, ..video_spec(1) };
    let screen = stage.publish(PeerId(5), screen);
    assert_eq!(stage.sources(me, 0..2), [Some(screen), Some(cameras[3])]);
    stage.view(me, View::Tracks(vec![cameras[4], TrackId(99), cameras[2]]));
    assert_eq!(stage.sources(me, 0..2), some(&[4, 2]));
    stage.tell(Input::Leave { peer: PeerId(5) });
    assert_eq!(stage.sources(me, 0..2), [None, Some(cameras[2])]);
    stage.tell(Input::CloseSlot { peer: me, slot: SlotIndex(1) });
    assert_eq!(stage.sources(me, 0..2), [Some(cameras[2]), None]);
}

#[test]
fn sound_and_picture_stand_side_by_side() {
    let mut stage = Stage::new(Filler::Conference);
    let me = stage.join(1, 3, 3);
    let (ada, bo, cy) = (stage.join(2, 0, 0), stage.join(3, 0, 0), stage.join(4, 0, 0));
    let ada_sound = stage.publish(ada, audio_spec());
    // No sound goes with it yet, so it takes the last place.
    let bo_picture = stage.publish(bo, video_spec(1));
    let cy_sound = stage.publish(cy, audio_spec());
    let bo_sound = stage.publish(bo, audio_spec());
    let cy_picture = stage.publish(cy, video_spec(1));
    assert_eq!(stage.sources(me, 3..6), [Some(ada_sound), Some(cy_sound), Some(bo_sound)]);
    assert_eq!(stage.sources(me, 0..3), [None, Some(cy_picture), Some(bo_picture)]);
    // A newcomer to a standing room gets pairs from the start.
    let new = stage.join(5, 3, 3);
    assert_eq!(stage.sources(new, 0..3), [Some(bo_picture), Some(cy_picture), None]);
    assert_eq!(stage.sources(new, 3..6), [Some(bo_sound), Some(cy_sound), Some(ada_sound)]);
    // A page of one place, turned there and back.
    for (offset, seen, heard) in [(0, bo_picture, bo_sound), (1, cy_picture, cy_sound), (0, bo_picture, bo_sound)] {
        stage.view(new, View::Auto { offset, limit: Some(1), pinned: vec![] });
        let (pictures, sounds) = (stage.sources(new, 0..3), stage.sources(new, 3..6));
        let at = pictures.iter().position(|source| *source == Some(seen)).unwrap();
        assert_eq!((sounds[at], pictures.iter().flatten().count(), sounds.iter().flatten().count()), (Some(heard), 1, 3));
    }
}

#[test]
fn the_loudest_are_heard_and_a_speaker_is_seen() {
    let mut stage = Stage::new(Filler::Conference);
    let (mut cameras, mut voices) = (Vec::new(), Vec::new());
    for peer in 1..=5 {
        let peer = stage.join(peer, 0, 0);
        cameras.push(stage.publish(peer, video_spec(1)));
        voices.push(stage.publish(peer, audio_spec()));
    }
    let me = stage.join(9, 2, 2);
    let mut seq = 0;
    let mut talk = |stage: &mut Stage, who: &[usize], time: u64| {
        for _ in 0..time / 20 {
            seq += 1;
            for (at, voice) in voices.iter().enumerate() {
                let level = if who.contains(&at) { 25 } else { 127 };
                let packet = opus(seq, level, stage.now);
                stage.send(*voice, 0, packet);
            }
            stage.wait(20 * MS);
        }
    };
    talk(&mut stage, &[], 2_000);
    assert_eq!(stage.sources(me, 2..4), [Some(voices[0]), Some(voices[1])]);
    talk(&mut stage, &[4], 1_000);
    let heard = stage.sources(me, 2..4);
    assert!(heard.contains(&Some(voices[4])), "{heard:?}");
    let seen = stage.sources(me, 0..2);
    assert!(seen.contains(&Some(cameras[4])), "{seen:?}");
    assert_eq!(stage.room.speakers().len(), 1);
    assert_eq!(stage.room.speakers()[0].peer, PeerId(5));
    talk(&mut stage, &[3, 4], 1_000);
    let both = stage.sources(me, 2..4);
    assert!(both.contains(&Some(voices[3])) && both.contains(&Some(voices[4])));
    talk(&mut stage, &[0, 3, 4], 1_000);
    assert_eq!(stage.sources(me, 2..4), both, "nobody who speaks is pushed out");
    let told = stage.outputs().iter().filter(|o| matches!(o, Output::Speakers(_))).count();
    assert_eq!(told, 1, "the list is said once, as it is now");
    talk(&mut stage, &[], 1_000);
    assert!(stage.room.speakers().is_empty());
    assert_eq!(stage.sources(me, 2..4), both, "silence moves nobody");
    stage.wait(Duration::from_secs(20));
    assert_eq!(stage.room.timeout(), None, "a silent room sleeps");
}

#[test]
fn who_becomes_clearly_louder_is_heard_at_once() {
    let mut stage = Stage::new(Filler::Conference);
    let mut voices = Vec::new();
    for peer in 1..=5 {
        let peer = stage.join(peer, 0, 0);
        voices.push(stage.publish(peer, audio_spec()));
    }
    let me = stage.join(9, 0, 3);
    let mut seq = 0;
    let mut talk = |stage: &mut Stage, who: &[usize], packets: u64| {
        for _ in 0..packets {
            stage.wait(20 * MS);
            seq += 1;
            for (at, voice) in voices.iter().enumerate() {
                let loud = if at == 4 { 35 } else { 25 };
                let packet = opus(seq, if who.contains(&at) { loud } else { 127 }, stage.now);
                stage.send(*voice, 0, packet);
            }
        }
        stage.sources(me, 0..3)
    };
    assert_eq!(talk(&mut stage, &[0, 1, 2], 100), [Some(voices[0]), Some(voices[1]), Some(voices[2])]);
    assert_eq!(talk(&mut stage, &[0, 1, 4], 7)[2], Some(voices[2]), "as loud as one that just stopped is not louder");
    // Slots are filled at most once in 20 ms, which may be one packet.
    assert_eq!(talk(&mut stage, &[0, 1, 4], 2)[2], Some(voices[4]));
}

#[test]
fn refusals_change_nothing() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let now = stage.now;
    let mut refused = |input: Input, error: RoomError| {
        assert_eq!(stage.room.handle(input, now), Err(error));
        stage.room.check_invariants();
    };
    let (nobody, track) = (PeerId(9), TrackId(7));
    refused(Input::Join { peer: ada }, RoomError::PeerExists(ada));
    refused(Input::Leave { peer: nobody }, RoomError::NoPeer(nobody));
    refused(Input::Publish { peer: ada, track, spec: video_spec(1) }, RoomError::NoTrack(track));
    refused(Input::Unpublish { track }, RoomError::NoTrack(track));
    refused(Input::CloseSlot { peer: ada, slot: SlotIndex(0) }, RoomError::NoSlot(SlotIndex(0)));
    refused(Input::AddSlots { peer: ada, slots: slots(Kind::Video, 65) }, RoomError::TooManySlots(64));
    for _ in 0..TRACKS_PER_PEER_MAX {
        stage.publish(ada, video_spec(1));
    }
    let track = stage.room.new_track_id();
    let ninth = Input::Publish { peer: ada, track, spec: video_spec(1) };
    assert_eq!(stage.room.handle(ninth, now), Err(RoomError::TooManyTracks(8)));
}
