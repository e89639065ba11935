//! What a receiver gets of SVC streams: all that it needs and nothing above, in every structure that browsers make, whoever tells the layers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::made::Made;
use super::svc::{Mode, Svc, Told, size};
use crate::rtp::{Choice, Codec, Facts, Layer, Reader, Selector};

const AV1: Codec = Codec::Av1 { profile: 0 };
const VP9: Codec = Codec::Vp9 { profile: 0 };

const STRUCTURES: [(Mode, u8, u8); 9] = [
    (Mode::Full, 1, 1),
    (Mode::Full, 1, 2),
    (Mode::Full, 1, 3),
    (Mode::Full, 2, 2),
    (Mode::Full, 3, 1),
    (Mode::Full, 3, 3),
    (Mode::Key, 2, 2),
    (Mode::Key, 3, 3),
    (Mode::Apart, 3, 3),
];

fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

/// One publisher, one receiver, nothing lost.
struct Call {
    rng: fastrand::Rng,
    encoder: Svc,
    reader: Reader,
    selector: Selector,
    begun: bool,
    now: Instant,
    /// Frames that went out as a whole.
    sent: BTreeSet<u64>,
    /// Layers of what came, by picture.
    pictures: Vec<Vec<Layer>>,
}

impl Call {
    fn new(seed: u64, codec: Codec, told: Told, structure: (Mode, u8, u8)) -> Call {
        let mut rng = fastrand::Rng::with_seed(seed);
        let encoder = Svc::new(1, codec, told, structure, &mut rng);
        Call {
            rng,
            encoder,
            reader: Reader::default(),
            selector: Selector::default(),
            begun: false,
            now: Instant::now(),
            sent: BTreeSet::new(),
            pictures: Vec::new(),
        }
    }

    /// One picture. What went out of it can be decoded, frames are whole, and its last packet says so.
    fn picture(&mut self, key: bool, aim: Layer) -> Vec<Layer> {
        self.now += Duration::from_millis(33);
        let made = self.encoder.picture(key, self.now, &mut self.rng);
        let mut frames: BTreeMap<u64, u64> = BTreeMap::new();
        let mut markers = Vec::new();
        for one in &made {
            let facts = self.reader.read(&one.packet);
            if !self.begun && facts.keyframe {
                self.begun = true;
                self.selector.begin(&facts, aim);
            }
            assert!(self.begun, "the first packet starts a keyframe");
            if let Choice::Send { marker } = self.selector.choose(&facts, &one.packet) {
                *frames.entry(one.frame).or_default() += 1;
                markers.push(marker);
            }
        }
        let mut layers = Vec::new();
        for (frame, packets) in frames {
            let one = made.iter().find(|made| made.frame == frame).expect("it was made");
            assert_eq!(packets, one.size, "all of a frame or nothing");
            for need in &one.needs {
                assert!(self.sent.contains(need), "frame {frame} {:?} needs {need} ({:?})", one.layer, self.selector);
            }
            self.sent.insert(frame);
            layers.push(one.layer);
        }
        if let Some((last, before)) = markers.split_last() {
            assert!(*last, "the last packet of the picture is marked");
            // Going up within a picture marks what was the last until then.
            let climbs = layers.windows(2).filter(|pair| pair[0].spatial < pair[1].spatial).count();
            assert!(before.iter().filter(|marker| **marker).count() <= climbs);
        }
        self.pictures.push(layers.clone());
        layers
    }

    fn run(&mut self, pictures: usize) {
        for _ in 0..pictures {
            self.picture(false, Layer::MAX);
        }
    }

    /// The highest layers of the last eight pictures.
    fn lately(&self) -> Layer {
        let recent = &self.pictures[self.pictures.len() - 8..];
        recent.iter().flatten().fold(Layer::default(), |all, layer| all.max_each(*layer))
    }
}

#[test]
fn descriptors_are_read_as_they_were_written() {
    for structure in STRUCTURES {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut encoder = Svc::new(1, AV1, Told::Descriptor, structure, &mut rng);
            let (_, spatial, temporal) = structure;
            let mut reader = Reader::default();
            let now = Instant::now();
            for picture in 0..200 {
                let made = encoder.picture(picture % 60 == 0, now, &mut rng);
                for (index, one) in made.iter().enumerate() {
                    let facts = reader.read(&one.packet);
                    check(&facts, one, &encoder, spatial);
                    assert_eq!(facts.frame_start, index == 0 || made[index - 1].frame != one.frame);
                    assert_eq!(facts.frame_end, index + 1 == made.len() || made[index + 1].frame != one.frame);
                }
                assert!(reader.layers().within(layer(spatial - 1, temporal - 1)));
            }
            assert_eq!(reader.layers(), layer(spatial - 1, temporal - 1));
        }
    }
}

fn check(facts: &Facts, one: &Made, encoder: &Svc, spatial: u8) {
    let targets = facts.targets.expect("it is readable");
    assert_eq!(facts.layer, one.layer);
    assert_eq!(facts.size, Some(size(spatial, one.layer.spatial)));
    let references = one.needs.iter().fold(0u64, |all, need| all | 1 << (one.frame - need - 1));
    assert_eq!(targets.references, references);
    let frame = encoder.structure().iter().find(|frame| {
        let back: Vec<u64> = one.needs.iter().map(|need| one.frame - need).collect();
        frame.layer == one.layer && frame.references == back
    });
    for (target, indication) in frame.expect("a template").indications.iter().enumerate() {
        let bit = |mask: u32| mask >> target & 1 == 1;
        let read = match (bit(targets.present), bit(targets.discardable), bit(targets.switch)) {
            (false, false, false) => '-',
            (true, true, false) => 'D',
            (true, false, true) => 'S',
            (true, false, false) => 'R',
            other => panic!("{other:?}"),
        };
        assert_eq!(read, *indication, "target {target} of {one:?}");
    }
    // Each layer has a target of its own, in the order of the layers; above them the highest serves.
    let best = targets.serving.get(Layer::MAX).expect("there is one");
    assert_eq!(usize::from(best.index) + 1, encoder.structure()[0].indications.len());
}

#[test]
fn everything_goes_to_who_wants_everything() {
    for (codec, told) in [(AV1, Told::Descriptor), (VP9, Told::Descriptor), (AV1, Told::Payload), (VP9, Told::Payload)] {
        for structure in STRUCTURES {
            let (mode, spatial, temporal) = structure;
            let mut call = Call::new(1, codec, told, structure);
            call.run(40);
            assert_eq!(call.lately(), layer(spatial - 1, temporal - 1), "{codec:?} {structure:?}");
            for (index, picture) in call.pictures.iter().enumerate() {
                // With a descriptor a receiver of L3T3_KEY gets one layer of each picture but the first; of S3T3 too, but it begins with the
                // lowest, which brings the structure.
                let expected = match (told, mode, index) {
                    (Told::Payload, _, _) | (_, Mode::Full, _) | (_, Mode::Key, 0) => spatial,
                    (_, Mode::Apart, 0) => 2,
                    _ => 1,
                };
                assert_eq!(picture.len(), usize::from(expected), "{index}");
            }
            assert!(!call.selector.needs_keyframe());
        }
    }
}

#[test]
fn time_goes_down_at_once_and_up_where_one_may() {
    for (codec, told) in [(AV1, Told::Descriptor), (VP9, Told::Descriptor), (VP9, Told::Payload)] {
        for structure in [(Mode::Full, 1, 3), (Mode::Full, 3, 3), (Mode::Key, 3, 3), (Mode::Apart, 3, 3)] {
            for early in 0..4 {
                let mut call = Call::new(2, codec, told, structure);
                call.run(40 + early);
                call.selector.aim(layer(2, 0));
                call.run(8);
                assert_eq!(call.lately(), layer(structure.1 - 1, 0), "{codec:?} {structure:?}");
                call.selector.aim(layer(2, 1));
                call.run(12);
                assert_eq!(call.lately(), layer(structure.1 - 1, 1));
                call.selector.aim(Layer::MAX);
                call.run(12);
                assert_eq!(call.lately(), layer(structure.1 - 1, 2));
                assert!(!call.selector.needs_keyframe());
            }
        }
    }
}

#[test]
fn space_goes_down_at_once_where_the_lower_layers_went_out() {
    let at_once = [(AV1, Told::Descriptor, Mode::Full), (VP9, Told::Payload, Mode::Full), (VP9, Told::Payload, Mode::Key)];
    for (codec, told, mode) in at_once {
        let mut call = Call::new(3, codec, told, (mode, 3, 3));
        call.run(41);
        call.selector.aim(layer(0, 2));
        assert!(!call.selector.needs_keyframe(), "{codec:?} {mode:?}");
        call.run(8);
        assert_eq!(call.lately(), layer(0, 2));
        assert_eq!(call.selector.current(), layer(0, 2));
        // Up again: only a keyframe leads there.
        call.selector.aim(layer(1, 2));
        assert!(call.selector.needs_keyframe());
        call.run(60);
        assert_eq!(call.lately(), layer(0, 2));
        call.picture(true, Layer::MAX);
        call.run(8);
        assert_eq!(call.lately(), layer(1, 2));
        assert!(!call.selector.needs_keyframe());
    }
}

#[test]
fn space_waits_for_a_keyframe_where_the_lower_layer_was_left_out() {
    for (codec, mode) in [(AV1, Mode::Key), (VP9, Mode::Key), (AV1, Mode::Apart)] {
        let mut call = Call::new(4, codec, Told::Descriptor, (mode, 3, 3));
        call.run(41);
        call.selector.aim(layer(0, 0));
        assert!(call.selector.needs_keyframe());
        call.run(20);
        assert_eq!(call.lately(), layer(2, 0), "the frame rate falls at once, {mode:?}");
        assert!(call.selector.needs_keyframe());
        call.picture(true, Layer::MAX);
        assert_eq!(call.selector.current(), layer(0, 0));
        call.run(8);
        assert_eq!(call.lately(), layer(0, 0));
        assert!(!call.selector.needs_keyframe());
        call.selector.aim(layer(2, 2));
        call.run(40);
        assert_eq!(call.lately(), layer(0, 2), "the frame rate rises");
        assert!(call.selector.needs_keyframe());
        call.picture(true, Layer::MAX);
        call.run(8);
        assert_eq!(call.lately(), layer(2, 2));
    }
}

#[test]
fn layers_that_the_encoder_turned_off_are_not_waited_for() {
    for mode in [Mode::Full, Mode::Key] {
        let mut call = Call::new(5, AV1, Told::Descriptor, (mode, 3, 3));
        call.run(41);
        call.encoder.active = 2;
        call.run(1);
        assert_eq!(call.selector.needs_keyframe(), mode == Mode::Key, "of L3T3_KEY nothing would come any more");
        call.picture(mode == Mode::Key, Layer::MAX);
        call.run(8);
        assert_eq!(call.lately(), layer(1, 2));
        assert_eq!(call.selector.current(), layer(1, 2));
        assert_eq!(call.reader.layers().spatial, 1);
        assert!(!call.selector.needs_keyframe());
        call.encoder.active = 3;
        call.picture(true, Layer::MAX);
        call.run(8);
        assert_eq!(call.lately(), layer(2, 2));
    }
}

#[test]
fn whatever_is_wanted_can_be_decoded() {
    let mut switches = 0;
    for seed in 1..=10 {
        for (codec, told) in [(AV1, Told::Descriptor), (VP9, Told::Descriptor), (VP9, Told::Payload), (AV1, Told::Payload)] {
            for structure in STRUCTURES {
                let mut call = Call::new(seed, codec, told, structure);
                let mut current = Layer::default();
                for _ in 0..400 {
                    if call.rng.u8(0..12) == 0 {
                        call.selector.aim(layer(call.rng.u8(0..3), call.rng.u8(0..3)));
                    }
                    let key = call.selector.needs_keyframe() && call.rng.u8(0..10) == 0;
                    call.picture(key, Layer::MAX);
                    switches += u32::from(call.selector.current() != current);
                    current = call.selector.current();
                }
            }
        }
    }
    assert!(switches > 2_000, "{switches}");
}
