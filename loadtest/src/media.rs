//! Made media: packets that a server takes for VP8 and Opus, and that say whose they are and which.
//!
//! ```text
//! VP8 payload   X S | I | picture id (15 bits) | frame: first bit "no keyframe" | owner u32 | frame u32 | filling
//! Opus payload                                                                    owner u32 | number u32 | filling
//! ```
//!
//! Nothing can be decoded: a receiver judges by owner, number and arrival. Timing and sizes follow a [`Camera`].

use std::time::{Duration, Instant};

use ninefold::api::protocol::Source;
use str0m::media::{Mid, Rid};

/// Rids of simulcast, the smallest first.
pub const RIDS: [&str; 3] = ["q", "h", "f"];
/// Time between two Opus packets.
pub const AUDIO_EVERY: Duration = Duration::from_millis(20);
const AUDIO_BYTES: usize = 80;
/// Payload of one video packet: with all headers it fits into 1,200 bytes.
const VIDEO_BYTES: usize = 1_100;
/// Bytes before the owner in a video payload.
const VP8_BYTES: usize = 5;
const OWNER_BYTES: usize = 8;
/// The bit S: a frame begins here.
const VP8_START: u8 = 0x10;
/// A keyframe is so many times as large as another frame.
const KEYFRAME_FACTOR: usize = 4;
/// Beyond this a source has lost its time (the machine stood still) and goes on from now instead of catching up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// What a camera makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Simulcast layers, 1 to 3.
    pub layers: usize,
    /// Frames in a second.
    pub fps: u32,
    /// Of the best layer; each smaller one has a quarter of the next.
    pub bitrate_bps: u32,
}

impl Default for Camera {
    fn default() -> Camera {
        Camera { layers: 1, fps: 20, bitrate_bps: 160_000 }
    }
}

/// One made packet, before it has a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The layer's rid where there are several.
    pub rid: Option<Rid>,
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub time: u32,
    /// Last of its frame.
    pub marker: bool,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A published video section.
#[derive(Debug)]
pub struct Video {
    /// Its section.
    pub mid: Mid,
    /// What it is said to be.
    pub source: Source,
    /// What it makes.
    pub camera: Camera,
    /// Keyframes that are due, by layer.
    pub keyframe_wanted: [bool; 3],
    frame: u32,
    seq: [u64; 3],
    next: Option<Instant>,
}

impl Video {
    /// Nothing made yet.
    pub fn new(mid: Mid, source: Source, camera: Camera) -> Video {
        // Numbers near their ends, so that every run sees them wrap.
        Video { mid, source, camera, keyframe_wanted: [true; 3], frame: 0, seq: [65_000, 100, 30_000], next: None }
    }

    /// When the next frame is due, once it has begun.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Begins, or goes on from `now`.
    pub fn begin(&mut self, now: Instant) {
        self.next = Some(now);
    }

    /// The next frame in all its layers, if it is due.
    pub fn make(&mut self, owner: u32, now: Instant) -> Vec<Made> {
        let every = Duration::from_secs(1) / self.camera.fps.max(1);
        if !advance(&mut self.next, every, now) {
            return vec![];
        }
        self.frame = self.frame.wrapping_add(1);
        (0..self.camera.layers).flat_map(|layer| self.make_layer(layer, owner)).collect()
    }

    fn make_layer(&mut self, layer: usize, owner: u32) -> Vec<Made> {
        let Camera { layers, fps, bitrate_bps } = self.camera;
        let key = std::mem::take(&mut self.keyframe_wanted[layer]);
        let smaller = 4_usize.pow((layers - 1 - layer) as u32);
        let bytes = bitrate_bps as usize / 8 / fps.max(1) as usize / smaller * if key { KEYFRAME_FACTOR } else { 1 };
        let parts = bytes.div_ceil(VIDEO_BYTES).max(1);
        let size = (bytes / parts).max(VP8_BYTES + OWNER_BYTES);
        let time = self.frame.wrapping_mul(90_000 / fps.max(1)).wrapping_add(layer as u32 * 77_777);
        let rid = (layers > 1).then(|| Rid::from(RIDS[layer]));
        let make = |part| {
            self.seq[layer] += 1;
            let picture = (self.frame as u16 & 0x7fff) | 0x8000;
            let start = if part == 0 { VP8_START } else { 0 };
            let mut payload = vec![0x80 | start, 0x80, (picture >> 8) as u8, picture as u8, u8::from(!key)];
            fill(&mut payload, owner, self.frame, size);
            Made { rid, seq: self.seq[layer], time, marker: part == parts - 1, payload }
        };
        (0..parts).map(make).collect()
    }
}

/// A published audio section.
#[derive(Debug)]
pub struct Audio {
    /// Its section.
    pub mid: Mid,
    /// Somebody speaks: silence is not sent.
    pub speaking: bool,
    seq: u64,
    next: Option<Instant>,
}

impl Audio {
    /// Nothing made yet.
    pub fn new(mid: Mid) -> Audio {
        Audio { mid, speaking: true, seq: 65_400, next: None }
    }

    /// When the next packet is due, once it has begun.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Begins, or goes on from `now`.
    pub fn begin(&mut self, now: Instant) {
        self.next = Some(now);
    }

    /// The next packet, if it is due and somebody speaks.
    pub fn make(&mut self, owner: u32, now: Instant) -> Option<Made> {
        if !advance(&mut self.next, AUDIO_EVERY, now) || !self.speaking {
            return None;
        }
        self.seq += 1;
        let mut payload = vec![];
        fill(&mut payload, owner, self.seq as u32, AUDIO_BYTES);
        Some(Made { rid: None, seq: self.seq, time: (self.seq as u32).wrapping_mul(960), marker: false, payload })
    }
}

/// What can be read in a payload that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Who made it.
    pub owner: u32,
    /// Begins a frame.
    pub start: bool,
    /// Part of a keyframe.
    pub keyframe: bool,
}

/// Reads a payload that somebody here made.
pub fn read(video: bool, payload: &[u8]) -> Option<Read> {
    let body = if video { payload.get(VP8_BYTES..)? } else { payload };
    let owner = u32::from_be_bytes(*body.first_chunk()?);
    Some(Read { owner, start: video && payload[0] & VP8_START != 0, keyframe: video && payload[VP8_BYTES - 1] & 1 == 0 })
}

fn fill(payload: &mut Vec<u8>, owner: u32, number: u32, size: usize) {
    payload.extend(owner.to_be_bytes());
    payload.extend(number.to_be_bytes());
    payload.resize(size.max(payload.len()), number as u8);
}

/// Whether `next` has come; then it is the time after it.
fn advance(next: &mut Option<Instant>, every: Duration, now: Instant) -> bool {
    let Some(due) = *next else { return false };
    if due > now {
        return false;
    }
    *next = Some(if now - due > BEHIND_MAX { now + every } else { due + every });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_read() {
        let (mut now, mid) = (Instant::now(), Mid::from("1"));
        let camera = Camera { layers: 3, fps: 25, bitrate_bps: 1_500_000 };
        let mut video = Video::new(mid, Source::Camera, camera);
        assert!(video.make(7, now).is_empty(), "nothing before it begins");
        video.begin(now);
        let first = video.make(7, now);
        let starts = |made: &[Made]| made.iter().filter(|made| read(true, &made.payload).is_some_and(|read| read.start)).count();
        assert!(first.iter().all(|made| read(true, &made.payload).is_some_and(|read| read.owner == 7 && read.keyframe)));
        assert_eq!(starts(&first), 3);
        assert_eq!(first.iter().filter(|made| made.marker).count(), 3);
        assert!(video.make(7, now).is_empty(), "the next is not due");
        let mut bytes = 0;
        for _ in 0..25 {
            now += Duration::from_millis(40);
            let frame = video.make(7, now);
            assert!(frame.iter().all(|made| read(true, &made.payload).is_some_and(|read| read.owner == 7 && !read.keyframe)));
            assert_eq!(starts(&frame), 3);
            bytes += frame.iter().filter(|made| made.rid == Some("f".into())).map(|made| made.payload.len()).sum::<usize>();
        }
        assert!((180_000..=188_000).contains(&bytes), "{bytes} in a second of 1.5 Mbit/s");
    }

    #[test]
    fn silence_is_not_sent_and_time_goes_on() {
        let now = Instant::now();
        let mut audio = Audio::new("0".into());
        audio.begin(now);
        audio.speaking = false;
        assert_eq!(audio.make(7, now), None);
        assert_eq!(audio.due(), Some(now + AUDIO_EVERY));
        audio.speaking = true;
        let made = audio.make(7, now + AUDIO_EVERY).expect("it is due");
        assert_eq!(read(false, &made.payload), Some(Read { owner: 7, start: false, keyframe: false }));
    }
}
