//! A camera's encoder as far as a network sees one: frames of which size, when, and which refers to which. No pictures.
//!
//! Three encodings of one source (simulcast), each in three temporal layers (L1T3): 0-2-1-2 and so on. Each frame of layer 1 and the first of
//! layer 2 refer to the base frame alone, so that a receiver may go up there; the second of layer 2 refers to layer 1 as well. Shares of the
//! rate are libvpx's for three layers: 40 % of it are the base, 60 % the two lower ones.
//!
//! A stream that has several spatial layers (SVC) would be another set of encodings here, and another descriptor in `payload`.

use std::time::{Duration, Instant};

/// Frames in a second.
pub const RATE: u32 = 30;
/// Bits per second of the encodings, smallest first.
pub const BITRATES: [u64; 3] = [150_000, 500_000, 1_700_000];
/// How many of four frames, and their share of the mean size, of each temporal layer.
pub const TEMPORAL: [(u32, f64); 3] = [(1, 1.6), (1, 0.8), (2, 0.8)];
/// From a request to the keyframe.
const KEYFRAME_AFTER: Duration = Duration::from_millis(80);
/// A keyframe in mean frames.
const KEYFRAME_SIZE: f64 = 5.0;
/// Frame sizes vary by so much, both ways.
const SPREAD: f64 = 0.2;
/// So much of a frame may go to pay back what a keyframe took.
const REPAID: f64 = 0.5;

/// One frame of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which encoding; 0 is the smallest.
    pub layer: u8,
    /// Counts the frames of the source, so it is equal in all encodings.
    pub number: u32,
    pub temporal: u8,
    pub key: bool,
    /// Refers to its base frame only.
    pub sync: bool,
    pub picture_id: u16,
    pub tl0: u8,
    pub bytes: usize,
    /// The frames that it refers to are so many behind it; 0: none.
    pub back: [u8; 2],
}

/// Three encodings of one camera.
pub struct Encoder {
    rng: fastrand::Rng,
    encodings: [Encoding; 3],
    start: Instant,
    number: u32,
}

struct Encoding {
    on: bool,
    /// A keyframe is due then.
    key_at: Option<Instant>,
    /// Bytes that a keyframe took from the frames behind it.
    debt: f64,
    /// Where in the four frames of the pattern.
    phase: u8,
    picture_id: u16,
    tl0: u8,
}

impl Encoder {
    pub fn new(seed: u64, start: Instant) -> Encoder {
        let mut rng = fastrand::Rng::with_seed(seed);
        let encodings = [(); 3].map(|()| Encoding {
            on: true,
            key_at: Some(start),
            debt: 0.0,
            phase: 0,
            picture_id: rng.u16(..0x8000),
            tl0: rng.u8(..),
        });
        Encoder { rng, encodings, start, number: 0 }
    }

    /// One that was asked for while one is due is the same.
    pub fn request_keyframe(&mut self, layer: usize, now: Instant) {
        self.encodings[layer].key_at.get_or_insert(now + KEYFRAME_AFTER);
    }

    /// Which encodings are made from now on (dynacast). One that begins again begins with a keyframe.
    pub fn set_encodings(&mut self, on: &[bool], now: Instant) {
        for (encoding, on) in self.encodings.iter_mut().zip(on) {
            if *on && !encoding.on {
                encoding.key_at = Some(now + KEYFRAME_AFTER);
                encoding.debt = 0.0;
            }
            encoding.on = *on;
        }
    }

    /// When the next frame is due.
    pub fn due(&self) -> Instant {
        self.start + Duration::from_secs(1) * self.number / RATE
    }

    /// The frames of all encodings, if they are due.
    pub fn poll(&mut self, now: Instant) -> Vec<Frame> {
        if now < self.due() {
            return vec![];
        }
        self.number += 1;
        (0..3).filter_map(|layer| self.encode(layer, now)).collect()
    }

    /// On the camera's clock of 90 kHz.
    pub fn timestamp(frame: &Frame) -> u32 {
        // Encodings do not agree on where their clocks begin.
        frame.number.wrapping_mul(90_000 / RATE).wrapping_add(u32::from(frame.layer) * 77_777)
    }

    fn encode(&mut self, layer: usize, now: Instant) -> Option<Frame> {
        let (number, swing) = (self.number, 1.0 + SPREAD * (2.0 * self.rng.f64() - 1.0));
        let encoding = &mut self.encodings[layer];
        // Switched on again, it makes nothing before its first keyframe.
        let waits = encoding.key_at.is_some_and(|at| now < at) && encoding.phase == u8::MAX;
        if !encoding.on || waits {
            encoding.phase = u8::MAX;
            return None;
        }
        let key = encoding.key_at.take_if(|at| *at <= now).is_some();
        encoding.phase = if key { 0 } else { (encoding.phase + 1) % 4 };
        let (temporal, sync, back) =
            [(0, false, [4, 0]), (2, true, [1, 0]), (1, true, [2, 0]), (2, false, [1, 3])][usize::from(encoding.phase)];
        encoding.picture_id = (encoding.picture_id + 1) & 0x7fff;
        encoding.tl0 = encoding.tl0.wrapping_add(u8::from(temporal == 0));
        let mean = BITRATES[layer] as f64 / 8.0 / f64::from(RATE);
        let target = mean * swing * if key { KEYFRAME_SIZE } else { TEMPORAL[usize::from(temporal)].1 };
        let repaid = if key { 0.0 } else { encoding.debt.min(target * REPAID) };
        encoding.debt += if key { target - mean * TEMPORAL[0].1 } else { -repaid };
        Some(Frame {
            layer: layer as u8,
            number,
            temporal,
            key,
            sync,
            picture_id: encoding.picture_id,
            tl0: encoding.tl0,
            bytes: (target - repaid) as usize,
            back: if key { [0, 0] } else { back },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Milliseconds and frame.
    fn run(encoder: &mut Encoder, from: u32, to: u32) -> Vec<(u32, Frame)> {
        let start = encoder.start;
        (from..to).flat_map(|ms| encoder.poll(start + MS * ms).into_iter().map(move |f| (ms, f))).collect()
    }

    fn of(frames: &[(u32, Frame)], layer: u8) -> Vec<(u32, Frame)> {
        frames.iter().copied().filter(|(_, f)| f.layer == layer).collect()
    }

    #[test]
    fn rates_are_what_they_are_called() {
        let mut encoder = Encoder::new(1, Instant::now());
        for second in 1..5 {
            let now = encoder.start + Duration::from_secs(second * 10);
            encoder.request_keyframe(1, now);
        }
        let frames = run(&mut encoder, 0, 60_000);
        for (layer, bitrate) in BITRATES.iter().enumerate() {
            let frames = of(&frames, layer as u8);
            assert_eq!(frames.len(), 1_800);
            let bits: usize = frames.iter().map(|(_, f)| f.bytes * 8).sum();
            assert!((bits as f64 / 60.0 / *bitrate as f64 - 1.0).abs() < 0.03, "{bits}");
            let base: usize = frames.iter().filter(|(_, f)| f.temporal == 0).map(|(_, f)| f.bytes * 8).sum();
            assert!((0.38..0.42).contains(&(base as f64 / bits as f64)), "{base} of {bits}");
        }
    }

    #[test]
    fn every_reference_is_there_and_no_higher() {
        let mut encoder = Encoder::new(2, Instant::now());
        let frames = of(&run(&mut encoder, 0, 10_000), 0);
        let pattern: Vec<u8> = frames.iter().take(9).map(|(_, f)| f.temporal).collect();
        assert_eq!(pattern, [0, 2, 1, 2, 0, 2, 1, 2, 0]);
        for (n, (_, frame)) in frames.iter().enumerate().skip(1) {
            for back in frame.back.iter().filter(|back| **back > 0) {
                let other = frames[n - usize::from(*back)].1;
                assert!(other.temporal <= frame.temporal && (!frame.sync || other.temporal == 0), "{frame:?} {other:?}");
            }
            assert_eq!(frame.picture_id, (frames[n - 1].1.picture_id + 1) & 0x7fff);
            assert_eq!(frame.tl0.wrapping_sub(frames[n - 1].1.tl0), u8::from(frame.temporal == 0));
        }
    }

    #[test]
    fn a_keyframe_comes_after_its_time_and_is_repaid() {
        let mut encoder = Encoder::new(3, Instant::now());
        run(&mut encoder, 0, 1_000);
        let now = encoder.start + MS * 1_000;
        encoder.request_keyframe(2, now);
        encoder.request_keyframe(2, now + MS * 50);
        let frames = of(&run(&mut encoder, 1_000, 2_000), 2);
        let keys: Vec<&(u32, Frame)> = frames.iter().filter(|(_, f)| f.key).collect();
        assert_eq!(keys.len(), 1);
        assert!((1_080..1_114).contains(&keys[0].0), "{keys:?}");
        let mean = 1_700_000.0 / 8.0 / 30.0;
        assert!((4.0..6.0).contains(&(keys[0].1.bytes as f64 / mean)));
        let bits: usize = frames.iter().map(|(_, f)| f.bytes * 8).sum();
        assert!((bits as f64 / 1_700_000.0 - 1.0).abs() < 0.1, "{bits}");
    }

    #[test]
    fn an_encoding_stops_and_begins_again_with_a_keyframe() {
        let mut encoder = Encoder::new(4, Instant::now());
        run(&mut encoder, 0, 1_000);
        let start = encoder.start;
        encoder.set_encodings(&[true, true, false], start + MS * 1_000);
        assert!(of(&run(&mut encoder, 1_000, 2_000), 2).is_empty());
        encoder.set_encodings(&[true, true, true], start + MS * 2_000);
        let frames = of(&run(&mut encoder, 2_000, 3_000), 2);
        assert!(frames[0].1.key && (2_080..2_114).contains(&frames[0].0), "{:?}", frames[0]);
        assert_eq!(frames.iter().filter(|(_, f)| f.key).count(), 1);
    }
}
