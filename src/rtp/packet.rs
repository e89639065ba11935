//! One received RTP packet, decrypted, in our words.

use std::sync::Arc;
use std::time::Instant;

/// A codec with what must agree between sender and receiver. Two of them match when they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628, with its profile-id.
    Vp9 {
        /// `profile-id` of the format parameters; 0 where it is absent.
        profile: u8,
    },
    /// RFC 6184, with the profile that a decoder must know.
    H264 {
        /// `profile_idc` and the constraint flags of `profile-level-id`, reduced to a comparable number.
        profile: u16,
        /// `packetization-mode`: 0 or 1.
        mode: u8,
    },
    /// AV1 RTP payload format 1.0.
    Av1 {
        /// `profile`; 0 (Main) where it is absent.
        profile: u8,
    },
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 48 kHz clock.
    Audio,
    /// 90 kHz clock.
    Video,
}

impl Codec {
    /// Lower case, as in `video_codec`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Opus => "opus",
            Codec::Vp8 => "vp8",
            Codec::Vp9 { .. } => "vp9",
            Codec::H264 { .. } => "h264",
            Codec::Av1 { .. } => "av1",
        }
    }
}

impl Kind {
    /// RTP clock ticks a second.
    pub fn clock_rate(self) -> u32 {
        match self {
            Kind::Audio => 48_000,
            Kind::Video => 90_000,
        }
    }
}

impl Codec {
    /// Audio or video.
    pub fn kind(self) -> Kind {
        match self {
            Codec::Opus => Kind::Audio,
            Codec::Vp8 | Codec::Vp9 { .. } | Codec::H264 { .. } | Codec::Av1 { .. } => Kind::Video,
        }
    }
}

/// Absolute capture time (the capturing NTP clock, 32.32 fixed point), passed on as it came; the offset is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureTime {
    /// 64-bit NTP time.
    pub ntp: u64,
    /// By how much the capturing clock is ahead of that of the sender's reports, 32.32 fixed point, if the sender knows it.
    pub offset: Option<i64>,
}

/// The header extensions that survive forwarding. Those of one hop (mid, rid, transport numbers, send time) do not appear here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extensions {
    /// RFC 6464 level: 0 is loudest, 127 is silence (in −dBov).
    pub audio_level: Option<u8>,
    /// RFC 6464 voice bit.
    pub voice: bool,
    /// 3GPP coordination of video orientation, the raw byte.
    pub orientation: Option<u8>,
    /// Absolute capture time.
    pub capture_time: Option<CaptureTime>,
    /// AV1 dependency descriptor, raw (used by AV1, and by VP9 where negotiated).
    pub descriptor: Option<Arc<[u8]>>,
}

/// A packet as it came from the publisher. Shared (`Arc`) by everything that forwards or keeps it; nothing in it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The publisher's sequence number, extended so that it never wraps.
    pub seq: u64,
    /// The publisher's RTP timestamp, in ticks of the codec's clock.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// What the payload is.
    pub codec: Codec,
    /// Extensions that travel on.
    pub extensions: Extensions,
    /// RTP payload without header and padding.
    pub payload: Arc<[u8]>,
    /// Of sound that came with redundancy (RFC 2198): all of it, `payload` included, for receivers that want it so.
    pub red: Option<Arc<[u8]>>,
    /// When it arrived here.
    pub received: Instant,
    /// When its first sample was captured, on our clock; never after `received`.
    pub captured: Instant,
}
