//! Made SVC encoders with the dependencies of libwebrtc's scalability structures (`modules/video_coding/svc`), and the descriptors that tell
//! them: templates are what two rounds of the encoder need, in the descriptor's order.

use std::time::Instant;

use super::made::Made;
use crate::rtp::{Codec, Extensions, Layer, Packet};

/// How spatial layers depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each on the one below, in every picture: L3T3.
    Full,
    /// Only in keyframes: L3T3_KEY.
    Key,
    /// Never: S3T3.
    Apart,
}

/// What the stream tells of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A dependency descriptor.
    Descriptor,
    /// The payload only.
    Payload,
}

/// A frame without its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub layer: Layer,
    /// For each decode target `-`, `D`, `S` or `R`.
    pub indications: Vec<char>,
    /// How far back are the frames that it refers to.
    pub references: Vec<u64>,
    chains: Vec<u64>,
    key: bool,
}

/// The dependencies alone.
#[derive(Clone, Debug)]
struct Dependencies {
    mode: Mode,
    spatial: u8,
    temporal: u8,
    number: u64,
    step: u64,
    last: [[Option<u64>; 2]; 3],
    chains: [Option<u64>; 3],
}

impl Dependencies {
    fn new(mode: Mode, spatial: u8, temporal: u8) -> Dependencies {
        Dependencies { mode, spatial, temporal, number: 0, step: 0, last: [[None; 2]; 3], chains: [None; 3] }
    }

    fn picture(&mut self, key: bool, layers: u8) -> Vec<Frame> {
        if key {
            (self.step, self.last, self.chains) = (0, [[None; 2]; 3], [None; 3]);
        }
        let temporal = match self.temporal {
            1 => 0,
            2 => (self.step % 2) as u8,
            _ => [0, 2, 1, 2][self.step as usize % 4],
        };
        self.step += 1;
        (0..layers).map(|spatial| self.frame(key, Layer { spatial, temporal })).collect()
    }

    fn frame(&mut self, key: bool, layer: Layer) -> Frame {
        let Layer { spatial, temporal } = layer;
        let number = self.number;
        let [t0, t1] = &mut self.last[usize::from(spatial)];
        let mut references: Vec<u64> = match temporal {
            _ if key => None,
            2 => t1.or(*t0),
            _ => *t0,
        }
        .into_iter()
        .collect();
        match temporal {
            0 => (*t0, *t1) = (Some(number), None),
            1 => *t1 = Some(number),
            _ => {}
        }
        if spatial > 0 && (self.mode == Mode::Full || self.mode == Mode::Key && key) {
            references.push(number - 1);
        }
        let mut indications = Vec::new();
        for target in (0..self.spatial).flat_map(|s| (0..self.temporal).map(move |t| Layer { spatial: s, temporal: t })) {
            indications.push(self.indication(key, layer, target));
        }
        let chains = (0..self.spatial).map(|chain| self.chains[usize::from(chain)].map_or(0, |last| number - last)).collect();
        for chain in 0..self.spatial {
            let upward = self.mode == Mode::Full || self.mode == Mode::Key && key;
            if temporal == 0 && (chain == spatial || upward && chain > spatial) {
                self.chains[usize::from(chain)] = Some(number);
            }
        }
        self.number += 1;
        Frame { layer, indications, references: references.iter().map(|reference| number - reference).collect(), chains, key }
    }

    fn indication(&self, key: bool, frame: Layer, target: Layer) -> char {
        let above = target.spatial > frame.spatial;
        match self.mode {
            _ if target.spatial < frame.spatial || target.temporal < frame.temporal => '-',
            Mode::Full | Mode::Key if above && key => 'S',
            Mode::Full if above => 'R',
            Mode::Key | Mode::Apart if above => '-',
            _ if target.temporal == frame.temporal && frame.temporal > 0 => 'D',
            _ => 'S',
        }
    }
}

/// An encoder with all its counters.
#[derive(Debug)]
pub struct Svc {
    pub origin: u32,
    pub codec: Codec,
    pub told: Told,
    /// VP9's flexible mode.
    pub flexible: bool,
    /// Spatial layers that are encoded at present.
    pub active: u8,
    dependencies: Dependencies,
    templates: Vec<Frame>,
    first_number: u16,
    first_id: u16,
    offset: u8,
    seq: u64,
    timestamp: u32,
    pictures: u64,
    tl0: u8,
    packets_max: u64,
}

impl Svc {
    pub fn new(origin: u32, codec: Codec, told: Told, (mode, spatial, temporal): (Mode, u8, u8), rng: &mut fastrand::Rng) -> Svc {
        let mut dependencies = Dependencies::new(mode, spatial, temporal);
        let mut templates: Vec<Frame> = Vec::new();
        for picture in 0..9 {
            for frame in dependencies.picture(picture == 0, spatial) {
                if !templates.iter().any(|template| Frame { key: frame.key, ..template.clone() } == frame) {
                    templates.push(frame);
                }
            }
        }
        templates.sort_by_key(|frame| frame.layer);
        Svc {
            origin,
            codec,
            told,
            flexible: rng.bool(),
            active: spatial,
            dependencies: Dependencies::new(mode, spatial, temporal),
            templates,
            first_number: rng.u16(..),
            first_id: rng.u16(..),
            offset: rng.u8(0..64),
            seq: rng.u64(1..60_000),
            timestamp: rng.u32(..),
            pictures: 0,
            tl0: rng.u8(..),
            packets_max: rng.u64(1..4),
        }
    }

    /// The next picture, its frames one after another.
    pub fn picture(&mut self, key: bool, now: Instant, rng: &mut fastrand::Rng) -> Vec<Made> {
        let key = key || self.pictures == 0;
        let frames = self.dependencies.picture(key, self.active);
        if frames[0].layer.temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let first = self.dependencies.number - frames.len() as u64;
        let mut out = Vec::new();
        for (number, frame) in (first..).zip(&frames) {
            let size = rng.u64(1..=self.packets_max);
            for index in 0..size {
                let (start, end) = (index == 0, index + 1 == size);
                let marker = end && number + 1 == self.dependencies.number;
                let mut extensions = Extensions::default();
                if self.told == Told::Descriptor {
                    extensions.descriptor = Some(self.descriptor(frame, number, start, end, rng).into());
                }
                let payload = match self.codec {
                    Codec::Av1 { .. } => self.av1(frame, start),
                    _ => self.vp9(frame, start, end),
                };
                let packet = Packet {
                    seq: self.seq,
                    timestamp: self.timestamp,
                    marker,
                    codec: self.codec,
                    extensions,
                    payload: payload.into(),
                    red: None,
                    received: now,
                    captured: now,
                };
                let needs = frame.references.iter().map(|back| number - back).collect();
                out.push(Made { packet, origin: self.origin, picture: self.pictures, frame: number, layer: frame.layer, needs, size });
                self.seq += 1;
            }
        }
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.pictures += 1;
        out
    }

    pub fn structure(&self) -> &[Frame] {
        &self.templates
    }

    fn av1(&self, frame: &Frame, start: bool) -> Vec<u8> {
        let new_sequence = start && frame.key && frame.layer.spatial == 0;
        if !start {
            return vec![0x90, 0xaa, 0xbb];
        }
        vec![0x10 | u8::from(new_sequence) << 3, 0x34, frame.layer.temporal << 5 | frame.layer.spatial << 3, 0xaa]
    }

    fn vp9(&self, frame: &Frame, start: bool, end: bool) -> Vec<u8> {
        let Layer { spatial, temporal } = frame.layer;
        let inter_layer = spatial > 0 && frame.references.contains(&1);
        let before: Vec<u64> = frame.references.iter().copied().filter(|back| !(inter_layer && *back == 1)).collect();
        let predicted = !before.is_empty();
        let id = self.first_id.wrapping_add(self.pictures as u16) | 0x8000;
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let mut payload = vec![0xa0 | bit(predicted, 0x40) | bit(self.flexible, 0x10) | bit(start, 0x08) | bit(end, 0x04)];
        payload.extend(id.to_be_bytes());
        // Nothing refers across a base layer picture, so one may always go up after it, and after T1 as well.
        payload.push(temporal << 5 | bit(temporal < 2, 0x10) | spatial << 1 | u8::from(inter_layer));
        if !self.flexible {
            payload.push(self.tl0);
        } else if predicted {
            payload.push(2);
        }
        payload.extend([0xaa, 0xbb]);
        payload
    }

    /// Fields of its own are used where no template fits, and at times without need.
    fn descriptor(&self, frame: &Frame, number: u64, start: bool, end: bool, rng: &mut fastrand::Rng) -> Vec<u8> {
        let fits = |template: &&Frame, chains: bool, references: bool| {
            template.layer == frame.layer
                && template.indications == frame.indications
                && (template.chains == frame.chains || !chains)
                && (template.references == frame.references || !references)
        };
        let at = |chains, references| self.templates.iter().position(|template| fits(&template, chains, references));
        let found = at(true, true).or(at(false, true)).or(at(true, false)).or(at(false, false));
        let index = found.or(self.templates.iter().position(|template| template.layer == frame.layer)).unwrap();
        let template = &self.templates[index];
        let custom = [
            template.indications != frame.indications || rng.u8(0..20) == 0,
            template.references != frame.references || rng.u8(0..20) == 0,
            template.chains != frame.chains || rng.u8(0..20) == 0,
        ];
        let structure = start && frame.key && (frame.layer.spatial == 0 || self.dependencies.mode == Mode::Apart);
        let fewer = self.active < self.dependencies.spatial;
        let mut bits = Writer::default();
        bits.put(u64::from(start), 1);
        bits.put(u64::from(end), 1);
        bits.put((u64::from(self.offset) + index as u64) % 64, 6);
        bits.put(u64::from(self.first_number.wrapping_add(number as u16)), 16);
        let has_active = fewer || rng.u8(0..10) == 0;
        if structure || has_active || custom != [false; 3] {
            bits.put(u64::from(structure), 1);
            bits.put(u64::from(has_active), 1);
            for custom in custom {
                bits.put(u64::from(custom), 1);
            }
            if structure {
                self.write_structure(&mut bits);
            }
            let targets = u32::from(self.dependencies.spatial * self.dependencies.temporal);
            if has_active {
                let filled = u32::from(self.active * self.dependencies.temporal);
                bits.put((1 << filled) - 1, targets);
            }
            if custom[0] {
                bits.put_indications(&frame.indications);
            }
            if custom[1] {
                for back in &frame.references {
                    let nibbles = if *back <= 16 && rng.bool() { 1 } else { rng.u32(2..4) };
                    bits.put(u64::from(nibbles), 2);
                    bits.put(back - 1, 4 * nibbles);
                }
                bits.put(0, 2);
            }
            if custom[2] {
                for chain in &frame.chains {
                    bits.put(*chain & 0xff, 8);
                }
            }
        }
        bits.bytes()
    }

    fn write_structure(&self, bits: &mut Writer) {
        let (spatial, temporal) = (self.dependencies.spatial, self.dependencies.temporal);
        let targets = u64::from(spatial * temporal);
        bits.put(u64::from(self.offset), 6);
        bits.put(targets - 1, 5);
        for (index, template) in self.templates.iter().enumerate() {
            let next = self.templates.get(index + 1).map(|next| next.layer);
            let step = match next {
                None => 3,
                Some(next) if next == template.layer => 0,
                Some(next) if next.spatial == template.layer.spatial => 1,
                Some(_) => 2,
            };
            bits.put(step, 2);
        }
        for template in &self.templates {
            bits.put_indications(&template.indications);
        }
        for template in &self.templates {
            for back in &template.references {
                bits.put(1, 1);
                bits.put(back - 1, 4);
            }
            bits.put(0, 1);
        }
        bits.put_non_symmetric(u64::from(spatial), targets + 1);
        for target in 0..targets {
            bits.put_non_symmetric(target / u64::from(temporal), u64::from(spatial));
        }
        for chain in self.templates.iter().flat_map(|template| &template.chains) {
            bits.put(*chain, 4);
        }
        bits.put(1, 1);
        for layer in 0..spatial {
            let (width, height) = size(spatial, layer);
            bits.put(u64::from(width) - 1, 16);
            bits.put(u64::from(height) - 1, 16);
        }
    }
}

/// The size of a spatial layer among so many.
pub fn size(spatial: u8, layer: u8) -> (u16, u16) {
    let smaller = spatial - 1 - layer;
    (1280 >> smaller, 720 >> smaller)
}

#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn put(&mut self, value: u64, count: u32) {
        assert!(value >> count == 0, "{value} in {count} bits");
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn put_non_symmetric(&mut self, value: u64, n: u64) {
        let width = n.ilog2() + 1;
        let short = (1 << width) - n;
        match value < short {
            true => self.put(value, width - 1),
            false => self.put(value + short, width),
        }
    }

    fn put_indications(&mut self, indications: &[char]) {
        for indication in indications {
            self.put("-DSR".find(*indication).expect("one of four") as u64, 2);
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.0.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |all, (bit, on)| all | u8::from(*on) << (7 - bit))).collect()
    }
}
