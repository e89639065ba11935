//! Made publishers, and a network that loses, repeats, delays and mends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtp::{Codec, Extensions, Layer, Packet};

/// One packet with what its encoder knows of it.
#[derive(Clone, Debug)]
pub struct Made {
    pub packet: Packet,
    /// Which encoder, counted over restarts.
    pub origin: u32,
    /// Number of the picture, which never wraps.
    pub picture: u64,
    /// Number of the frame, which is the picture's but for SVC.
    pub frame: u64,
    pub layer: Layer,
    /// Frames that it is predicted from.
    pub needs: Vec<u64>,
    /// Packets of the frame.
    pub size: u64,
}

/// VP8 in three temporal layers, in libvpx's order: 0 2 1 2, with sync points in the first half of each eight.
#[derive(Debug)]
pub struct Vp8 {
    origin: u32,
    seq: u64,
    timestamp: u32,
    picture: u64,
    first_picture_id: u16,
    wide: bool,
    tl0: u8,
    /// Where in the eight.
    step: u64,
    packets_max: u64,
}

impl Vp8 {
    pub fn new(origin: u32, rng: &mut fastrand::Rng) -> Vp8 {
        Vp8 {
            origin,
            seq: rng.u64(1..60_000),
            timestamp: rng.u32(..),
            picture: 0,
            first_picture_id: rng.u16(..),
            wide: rng.u8(0..4) > 0,
            tl0: rng.u8(..),
            step: 0,
            packets_max: rng.u64(1..6),
        }
    }

    /// The next picture; a keyframe on wish.
    pub fn picture(&mut self, key: bool, now: Instant, rng: &mut fastrand::Rng) -> Vec<Made> {
        let key = key || self.picture == 0;
        if key {
            self.step = 0;
        }
        let (temporal, sync, back): (u8, bool, &[u64]) = match self.step % 8 {
            0 | 4 => (0, false, if key { &[] } else { &[4] }),
            1 => (2, true, &[1]),
            2 => (1, true, &[2]),
            3 => (2, false, &[1, 2]),
            5 => (2, false, &[1, 2]),
            6 => (1, false, &[2, 4]),
            _ => (2, false, &[1, 2]),
        };
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let size = if key { 6 } else { rng.u64(1..=self.packets_max) };
        let id = self.first_picture_id.wrapping_add(self.picture as u16);
        let needs: Vec<u64> = back.iter().map(|back| self.picture - back).collect();
        let made = (0..size).map(|index| {
            let mut payload = vec![if index == 0 { 0x90 } else { 0x80 }, 0xe0];
            if self.wide {
                payload.extend((id | 0x8000).to_be_bytes());
            } else {
                payload.push((id & 0x7f) as u8);
            }
            payload.extend([self.tl0, temporal << 6 | u8::from(sync) << 5, u8::from(!key), index as u8]);
            let packet = Packet {
                seq: self.seq + index,
                timestamp: self.timestamp,
                marker: index + 1 == size,
                codec: Codec::Vp8,
                extensions: Extensions::default(),
                payload: payload.into(),
                red: None,
                received: now,
                captured: now,
            };
            let (origin, picture) = (self.origin, self.picture);
            Made { packet, origin, picture, frame: picture, layer: Layer { spatial: 0, temporal }, needs: needs.clone(), size }
        });
        let made = made.collect();
        self.seq += size;
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.picture += 1;
        self.step += 1;
        made
    }
}

/// What arrives when.
#[derive(Debug, Default)]
pub struct Network {
    arrivals: BTreeMap<(Instant, u64), Made>,
    sent: u64,
}

impl Network {
    /// Some are lost and most of these are sent again, later; some are late, some come twice.
    pub fn send(&mut self, made: Made, now: Instant, rng: &mut fastrand::Rng) {
        let chance = rng.u32(0..1_000);
        let ms = |rng: &mut fastrand::Rng, range| Duration::from_millis(rng.u64(range));
        match chance {
            0..10 => {}
            10..40 => self.arrive(made, now + ms(rng, 20..400)),
            40..90 => self.arrive(made, now + ms(rng, 0..60)),
            90..110 => {
                self.arrive(made.clone(), now + ms(rng, 0..300));
                self.arrive(made, now);
            }
            110..112 => self.arrive(made, now + ms(rng, 400..9_000)),
            _ => self.arrive(made, now),
        }
    }

    /// Without a fault.
    pub fn arrive(&mut self, made: Made, at: Instant) {
        self.sent += 1;
        self.arrivals.insert((at, self.sent), made);
    }

    /// The next one until then.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, Made)> {
        let entry = self.arrivals.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), made) = entry.remove_entry();
        Some((at, made))
    }
}
