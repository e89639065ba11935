//! Wishes, estimates, newcomers: what each receiver is given and what publishers need not send.

use super::*;
use crate::limits::{ENCODING_LINGER, LAYER_BEHIND, NEWCOMER_GRACE, PAUSED_MIN, SHORT_MAX, STARVE_MAX, WISH_EXPECTED};

const FRAME: Duration = Duration::from_micros(33_333);
/// Bytes of a frame of each encoding: at 30 a second 100, 290 and 820 kbit/s with headers.
const FRAME_BYTES: [usize; 3] = [350, 1_150, 3_350];

/// A camera that sends three encodings of 320×180 up to 1280×720, thirty frames a second in the pattern 0 2 1 2.
struct Camera {
    track: TrackId,
    frame: u64,
    active: [bool; 3],
    keyframes: [bool; 3],
    seqs: [u64; 3],
}

fn picture(seq: u64, frame: u64, encoding: usize, keyframe: bool, now: Instant) -> Packet {
    let temporal = if keyframe { 0 } else { [0u8, 2, 1, 2][frame as usize % 4] };
    let tl0 = (frame / 4) as u8;
    let sync = u8::from(frame % 4 < 3) << 5;
    let id = (frame as u16 & 0x7fff) | 0x8000;
    let mut payload = vec![0x90, 0xe0, (id >> 8) as u8, id as u8, tl0, temporal << 6 | sync, u8::from(!keyframe)];
    if keyframe {
        let (width, height) = (320u16 << encoding, 180u16 << encoding);
        payload.extend([0, 0, 0x9d, 0x01, 0x2a]);
        payload.extend(width.to_le_bytes());
        payload.extend(height.to_le_bytes());
    }
    payload.resize(FRAME_BYTES[encoding].min(1_200), 0);
    let extensions = Extensions::default();
    let timestamp = frame as u32 * 3_000;
    Packet { seq, timestamp, marker: true, codec: Codec::Vp8, extensions, payload: payload.into(), red: None, captured: now, received: now }
}

impl Camera {
    fn new(track: TrackId) -> Camera {
        Camera { track, frame: 0, active: [true; 3], keyframes: [true; 3], seqs: [10, 20, 30] }
    }

    /// Sends for so long, answers requests, and returns what went out with the encoding it came from.
    fn run(&mut self, stage: &mut Stage, time: Duration) -> Vec<(usize, Forward)> {
        run(stage, std::slice::from_mut(self), time)
    }

    fn send(&mut self, stage: &mut Stage) -> Vec<(usize, Forward)> {
        let mut sent = Vec::new();
        self.frame += 1;
        for encoding in (0..3).filter(|encoding| self.active[*encoding]) {
            let keyframe = std::mem::take(&mut self.keyframes[encoding]);
            for part in 0..FRAME_BYTES[encoding].div_ceil(1_200) {
                self.seqs[encoding] += 1;
                let mut packet = picture(self.seqs[encoding], self.frame, encoding, keyframe, stage.now);
                if part > 0 {
                    let mut payload = packet.payload.to_vec();
                    payload[0] = 0x80;
                    packet.payload = payload.into();
                }
                sent.extend(stage.send(self.track, encoding as u8, packet).into_iter().map(|forward| (encoding, forward)));
            }
        }
        sent
    }

    fn obey(&mut self, output: &Output) {
        match output {
            Output::RequestKeyframe { track, layer, .. } if *track == self.track => self.keyframes[usize::from(layer.0)] = true,
            Output::Encodings { track, active, .. } if *track == self.track => {
                for (encoding, active) in active.iter().enumerate() {
                    self.keyframes[encoding] |= *active && !self.active[encoding];
                    self.active[encoding] = *active;
                }
            }
            _ => {}
        }
    }
}

/// All cameras send for so long and do as they are told.
fn run(stage: &mut Stage, cameras: &mut [Camera], time: Duration) -> Vec<(usize, Forward)> {
    let end = stage.now + time;
    let mut sent = Vec::new();
    while stage.now < end {
        for camera in cameras.iter_mut() {
            sent.extend(camera.send(stage));
        }
        for output in stage.outputs() {
            cameras.iter_mut().for_each(|camera| camera.obey(&output));
        }
        stage.wait(FRAME);
    }
    sent
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A publisher, one receiver with so many slots, and the camera warmed up.
fn call(slots: usize) -> (Stage, Camera, PeerId) {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let track = stage.publish(ada, video_spec(3));
    let bo = stage.join(2, slots, 0);
    let mut camera = Camera::new(track);
    camera.run(&mut stage, seconds(4));
    (stage, camera, bo)
}

fn sent(stage: &Stage, peer: PeerId) -> Option<(u8, u8)> {
    let layers = stage.room.layers(peer, stage.now);
    layers[0].sent.map(|info| (info.layer.spatial, info.layer.temporal))
}

fn limit(stage: &Stage, peer: PeerId) -> Option<LayerLimit> {
    stage.room.layers(peer, stage.now)[0].limit
}

#[test]
fn an_estimate_chooses_the_layer() {
    let (mut stage, mut camera, bo) = call(1);
    assert_eq!((sent(&stage, bo), limit(&stage, bo)), (Some((2, 2)), None));
    let info = stage.room.layers(bo, stage.now)[0].sent.unwrap();
    assert_eq!(info.size, Some((1280, 720)));
    assert!((700_000..1_100_000).contains(&info.bps), "{info:?}");
    for (bps, layer) in [(400_000, (1, 2)), (320_000, (1, 2)), (220_000, (1, 1)), (120_000, (0, 2)), (80_000, (0, 1)), (40_000, (0, 0))] {
        stage.tell(Input::Estimate { peer: bo, bps });
        camera.run(&mut stage, seconds(2));
        assert_eq!((sent(&stage, bo), limit(&stage, bo)), (Some(layer), Some(LayerLimit::Bandwidth)), "{bps}");
    }
    stage.tell(Input::Estimate { peer: bo, bps: 3_000_000 });
    camera.run(&mut stage, seconds(1));
    assert_eq!(sent(&stage, bo), Some((2, 2)), "up again within a second");
}

#[test]
fn a_little_too_little_is_borne_for_a_moment() {
    let (mut stage, mut camera, bo) = call(1);
    stage.tell(Input::Estimate { peer: bo, bps: 400_000 });
    camera.run(&mut stage, seconds(2));
    let info = stage.room.layers(bo, stage.now)[0].sent.unwrap();
    assert_eq!((info.layer.spatial, info.layer.temporal), (1, 2));
    stage.tell(Input::Estimate { peer: bo, bps: info.bps * 9 / 10 });
    camera.run(&mut stage, SHORT_MAX - LAYERS);
    assert_eq!(sent(&stage, bo), Some((1, 2)), "an estimate that fell to drain a queue is up again soon");
    camera.run(&mut stage, LAYERS * 2);
    assert_eq!(sent(&stage, bo), Some((1, 1)), "this one is not");
    stage.tell(Input::Estimate { peer: bo, bps: 400_000 });
    camera.run(&mut stage, seconds(10));
    assert_eq!(sent(&stage, bo), Some((1, 2)));
    stage.tell(Input::Estimate { peer: bo, bps: info.bps * 7 / 10 });
    camera.run(&mut stage, LAYERS);
    assert_eq!(sent(&stage, bo), Some((1, 1)), "much too little is too much at once");
}

#[test]
fn a_small_encoding_that_misses_frames_has_not_stopped() {
    let (mut stage, mut camera, bo) = call(1);
    stage.tell(Input::Estimate { peer: bo, bps: 120_000 });
    camera.run(&mut stage, seconds(2));
    camera.active[0] = false; // the encoder leaves them out, and nobody told it to
    assert!(camera.run(&mut stage, LAYER_BEHIND + LAYERS).is_empty());
    camera.active[0] = true;
    assert!(!camera.run(&mut stage, LAYERS).is_empty());
    assert_eq!((stage.state(bo, 0).reason, sent(&stage, bo)), (None, Some((0, 2))));
}

#[test]
fn what_is_left_out_leaves_no_hole() {
    let (mut stage, mut camera, bo) = call(1);
    let mut last = None;
    for bps in [3_000_000, 400_000, 220_000, 80_000, 40_000, 220_000, 3_000_000, 80_000] {
        stage.tell(Input::Estimate { peer: bo, bps });
        for (_, forward) in camera.run(&mut stage, seconds(2)) {
            let seq = forward.header.seq;
            assert!(last.is_none_or(|last| seq == last + 1), "{seq} after {last:?}");
            last = Some(seq);
        }
    }
}

#[test]
fn a_way_that_carries_nothing_is_told_and_comes_back() {
    let (mut stage, mut camera, bo) = call(1);
    stage.tell(Input::Estimate { peer: bo, bps: 10_000 });
    assert!(!camera.run(&mut stage, STARVE_MAX + LAYERS).is_empty(), "not for a dip of the estimate");
    assert_eq!(stage.state(bo, 0).reason, Some(SlotReason::Bandwidth));
    assert!(camera.run(&mut stage, seconds(1)).is_empty());
    assert_eq!(limit(&stage, bo), Some(LayerLimit::Slot(SlotReason::Bandwidth)));
    stage.tell(Input::Estimate { peer: bo, bps: 100_000 });
    assert!(camera.run(&mut stage, PAUSED_MIN / 3).is_empty(), "not at once");
    camera.run(&mut stage, PAUSED_MIN);
    assert_eq!((stage.state(bo, 0).reason, sent(&stage, bo).map(|(spatial, _)| spatial)), (None, Some(0)));
    assert!(stage.state(bo, 0).first_timestamp.is_some());
}

#[test]
fn a_newcomer_sees_something_before_its_way_is_known() {
    let (mut stage, mut camera, _) = call(1);
    let cy = stage.join(3, 1, 0);
    stage.tell(Input::Estimate { peer: cy, bps: 1_000 });
    assert_eq!(stage.state(cy, 0).reason, None);
    camera.run(&mut stage, NEWCOMER_GRACE + STARVE_MAX + LAYERS);
    assert_eq!(stage.state(cy, 0).reason, Some(SlotReason::Bandwidth));
}

const LAYERS: Duration = Duration::from_millis(300);

#[test]
fn a_small_picture_is_sent_small_and_a_hidden_one_not() {
    let (mut stage, mut camera, bo) = call(1);
    let wish = |width, height| Wish { size: (Some(width), Some(height)), ..Wish::default() };
    let (peer, slot, track) = (bo, SlotIndex(0), camera.track);
    for (wish, spatial) in [(wish(320, 180), 0), (wish(700, 400), 1), (wish(1_900, 1_000), 2), (wish(100, 60), 0)] {
        stage.tell(Input::Wish { peer, slot, track, wish });
        camera.run(&mut stage, seconds(1));
        assert_eq!(sent(&stage, bo).map(|(spatial, _)| spatial), Some(spatial), "{wish:?}");
    }
    assert_eq!(limit(&stage, bo), Some(LayerLimit::Size));
    stage.tell(Input::Wish { peer, slot, track: TrackId(99), wish: wish(1_900, 1_000) });
    camera.run(&mut stage, seconds(1));
    assert_eq!(limit(&stage, bo), Some(LayerLimit::Size), "it was meant for another track");
    stage.tell(Input::Wish { peer, slot, track, wish: Wish { visible: false, ..Wish::default() } });
    assert_eq!(stage.state(bo, 0).reason, Some(SlotReason::Paused));
    assert!(camera.run(&mut stage, seconds(1)).is_empty());
    stage.tell(Input::Wish { peer, slot, track, wish: Wish::default() });
    assert!(!camera.run(&mut stage, seconds(1)).is_empty());
    assert_eq!(stage.state(bo, 0).reason, None);
}

#[test]
fn what_nobody_watches_is_turned_off_and_on_again_at_once() {
    let (mut stage, mut camera, bo) = call(1);
    assert_eq!(camera.active, [true; 3]);
    let (peer, slot, track) = (bo, SlotIndex(0), camera.track);
    let small = Wish { size: (Some(160), Some(90)), ..Wish::default() };
    stage.tell(Input::Wish { peer, slot, track, wish: small });
    camera.run(&mut stage, ENCODING_LINGER - LAYERS);
    assert_eq!(camera.active, [true; 3], "for a while it may be wanted again");
    camera.run(&mut stage, LAYERS * 3);
    assert_eq!(camera.active, [true, false, false]);
    stage.tell(Input::Wish { peer, slot, track, wish: Wish::default() });
    camera.run(&mut stage, FRAME);
    assert_eq!(camera.active, [true; 3]);
    camera.run(&mut stage, seconds(1));
    assert_eq!(sent(&stage, bo), Some((2, 2)));
    stage.tell(Input::Leave { peer });
    camera.run(&mut stage, ENCODING_LINGER + LAYERS);
    assert_eq!(camera.active, [false; 3], "alone");
    // Not connected yet, and the camera is on already.
    let cy = PeerId(3);
    stage.tell(Input::Join { peer: cy });
    stage.tell(Input::AddSlots { peer: cy, slots: slots(Kind::Video, 1) });
    camera.run(&mut stage, FRAME * 3);
    assert!(camera.active[0]);
    stage.tell(Input::Connected { peer: cy });
    assert!(!camera.run(&mut stage, FRAME * 4).is_empty());
}

#[test]
fn who_is_alone_sends_nothing() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 1, 1);
    let tracks = [stage.publish(ada, video_spec(3)), stage.publish(ada, audio_spec())];
    let told = |stage: &mut Stage| -> Vec<(TrackId, Vec<bool>)> {
        let encodings = |output| if let Output::Encodings { track, active, .. } = output { Some((track, active)) } else { None };
        stage.outputs().into_iter().filter_map(encodings).collect()
    };
    assert_eq!(told(&mut stage), [(tracks[0], vec![false; 3]), (tracks[1], vec![false])]);
    let bo = PeerId(2);
    stage.tell(Input::Join { peer: bo });
    stage.tell(Input::AddSlots { peer: bo, slots: [slots(Kind::Video, 1), slots(Kind::Audio, 1)].concat() });
    let mut on = told(&mut stage);
    on.sort_by_key(|(track, _)| *track);
    assert_eq!(on, [(tracks[0], vec![true, false, false]), (tracks[1], vec![true])]);
    stage.tell(Input::Connected { peer: bo });
    assert_eq!(told(&mut stage), [], "the page has not said yet how large it is");
    stage.wait(WISH_EXPECTED);
    assert_eq!(told(&mut stage), [(tracks[0], vec![true; 3])]);
    stage.tell(Input::Leave { peer: bo });
    stage.wait(ENCODING_LINGER + LAYERS);
    assert_eq!(told(&mut stage).len(), 2);
}

#[test]
fn a_newcomer_is_shown_what_is_kept() {
    let (mut stage, mut camera, _) = call(1);
    camera.keyframes = [true; 3];
    camera.run(&mut stage, seconds(1));
    stage.outputs();
    let cy = stage.join(3, 1, 0);
    stage.tell(Input::Estimate { peer: cy, bps: 1_000_000 });
    let replayed: Vec<Forward> = stage
        .outputs()
        .into_iter()
        .filter_map(|output| if let Output::Replay(packets) = output { Some(packets) } else { None })
        .flatten()
        .map(|(forward, _)| forward)
        .collect();
    assert!((7..10).contains(&replayed.len()), "{} of a second's pictures in the lowest layer of time", replayed.len());
    assert!(replayed.windows(2).all(|pair| pair[1].header.seq == pair[0].header.seq + 1));
    assert!(replayed.windows(2).all(|pair| pair[1].header.timestamp == pair[0].header.timestamp + 1), "in no time");
    let last = replayed[replayed.len() - 1].header;
    assert_eq!(stage.state(cy, 0).first_timestamp, Some(replayed[0].header.timestamp));
    let goes_on: Vec<Forward> = camera.run(&mut stage, FRAME * 4).into_iter().map(|(_, f)| f).filter(|f| f.peer == cy).collect();
    assert_eq!(goes_on[0].header.seq, last.seq + 1);
    assert!(goes_on[0].header.timestamp.wrapping_sub(last.timestamp) < 90_000);
}

/// A picture of two layers in space: the upper one refers to the lower one, in a keyframe or always as the format has it.
fn vp9_picture(number: u64, now: Instant) -> [Packet; 2] {
    let packet = |spatial: u64| {
        let start: u8 = if number == 0 { 0xac } else { 0xec }; // I L B E, and P but in a keyframe
        let payload = [start, number as u8, (spatial << 1 | spatial) as u8, number as u8, 0x82];
        let extensions = Extensions::default();
        let (seq, timestamp) = (100 + 2 * number + spatial, number as u32 * 3_000);
        let codec = Codec::Vp9 { profile: 0 };
        Packet {
            seq,
            timestamp,
            marker: spatial == 1,
            codec,
            extensions,
            payload: payload.as_slice().into(),
            red: None,
            received: now,
            captured: now,
        }
    };
    [packet(0), packet(1)]
}

#[test]
fn a_newcomer_misses_nothing_of_layers_that_are_left_out() {
    let mut stage = Stage::new(Filler::Conference);
    let ada = stage.join(1, 0, 0);
    let camera = stage.publish(ada, video_spec(1));
    let join = |stage: &mut Stage, peer: PeerId| {
        stage.tell(Input::Join { peer });
        stage.tell(Input::AddSlots { peer, slots: vec![SlotSpec { kind: Kind::Video, codecs: vec![Codec::Vp9 { profile: 0 }] }] });
        stage.tell(Input::Connected { peer });
    };
    join(&mut stage, PeerId(2));
    for number in 0..8 {
        for packet in vp9_picture(number, stage.now) {
            stage.send(camera, 0, packet);
        }
        stage.wait(FRAME);
    }
    stage.outputs();
    join(&mut stage, PeerId(3));
    let kept = |output| if let Output::Replay(packets) = output { Some(packets) } else { None };
    let replayed: Vec<u64> = stage.outputs().into_iter().filter_map(kept).flatten().map(|(forward, _)| forward.header.seq).collect();
    assert_eq!(replayed.len(), 8, "the lower layer");
    assert!(replayed.windows(2).all(|pair| pair[1] == pair[0] + 1), "and no hole: {replayed:?}");
}

#[test]
fn a_thousand_newcomers_are_one_question() {
    let (mut stage, mut camera, _) = call(1);
    let before = stage.now;
    let mut asked = [0; 3];
    for peer in 3..1_003 {
        stage.join(peer, 1, 0);
        if peer % 50 == 0 {
            for output in stage.outputs() {
                if let Output::RequestKeyframe { layer, .. } = output {
                    asked[usize::from(layer.0)] += 1;
                    camera.keyframes[usize::from(layer.0)] = true;
                }
            }
            camera.run(&mut stage, FRAME);
        }
    }
    assert!(stage.now - before < seconds(1));
    assert!(asked.iter().all(|asked| *asked <= 2), "{asked:?}");
}

#[test]
fn every_slot_has_a_base_layer_before_any_has_more() {
    let mut stage = Stage::new(Filler::Conference);
    let mut cameras: Vec<Camera> = Vec::new();
    for peer in 1..=4 {
        let peer = stage.join(peer, 0, 0);
        cameras.push(Camera::new(stage.publish(peer, video_spec(3))));
    }
    let me = stage.join(9, 4, 0);
    run(&mut stage, &mut cameras, seconds(4));
    let layers = |stage: &Stage| -> Vec<u8> {
        stage.room.layers(me, stage.now).iter().map(|slot| slot.sent.map_or(9, |sent| sent.layer.spatial)).collect()
    };
    stage.tell(Input::Estimate { peer: me, bps: 450_000 });
    run(&mut stage, &mut cameras, seconds(2));
    assert_eq!(layers(&stage), [0; 4]);
    stage.view(me, View::Auto { offset: 0, limit: None, pinned: vec![cameras[2].track] });
    stage.tell(Input::Estimate { peer: me, bps: 750_000 });
    run(&mut stage, &mut cameras, seconds(2));
    let layers = layers(&stage);
    assert!(layers[2] > 0 && [layers[0], layers[1], layers[3]] == [0; 3], "the pinned one first: {layers:?}");
}
