//! str0m's words for codecs, extensions and packets, in ours.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use str0m::RtcConfig;
use str0m::config::DtlsCert;
use str0m::format::PayloadParams;
use str0m::media::Media;
use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues, RtpPacket};

use super::egress::PayloadTypes;
use super::header::ExtensionIds;
use crate::limits::DATA_BYTES_READ_MAX;
use crate::rtp::{Arrival, CaptureClock, CaptureTime, Codec, Extensions, Packet, SenderReport};

const DESCRIPTOR_URI: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
/// Seconds from 1900 (NTP) to 1970 (Unix).
pub const NTP_TO_UNIX_SECS: u64 = 2_208_988_800;

/// What every peer's `Rtc` is built from. Extension ids are only our wishes: the offer's are taken.
pub fn config(certificate: DtlsCert) -> RtcConfig {
    RtcConfig::new()
        .set_dtls_cert(certificate)
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_stats_interval(None)
        .set_sctp_max_message_size(DATA_BYTES_READ_MAX as u32)
        .set_extension(5, Extension::AbsoluteCaptureTime)
        .set_extension(12, Extension::with_serializer(DESCRIPTOR_URI, RawDescriptor))
        .clear_codecs()
        .enable_opus(true, true)
        .enable_vp8(true)
        .enable_vp9(true)
        .enable_h264(true)
        .enable_av1(true)
}

/// `None`: a codec that we do not forward.
pub fn codec(params: &PayloadParams) -> Option<Codec> {
    use str0m::format::Codec as Theirs;
    let format = params.spec().format;
    Some(match params.spec().codec {
        Theirs::Opus => Codec::Opus,
        Theirs::Vp8 => Codec::Vp8,
        Theirs::Vp9 => Codec::Vp9 { profile: format.profile_id.unwrap_or(0) as u8 },
        // The level (lowest byte) is what a sender stays under, not what must agree.
        Theirs::H264 => Codec::H264 {
            profile: (format.profile_level_id.unwrap_or(0x42_0000) >> 8) as u16,
            mode: format.packetization_mode.unwrap_or(0),
        },
        Theirs::Av1 => Codec::Av1 { profile: format.profile.unwrap_or(0) },
        _ => return None,
    })
}

/// The codecs that the other side of an m-line listed, in its order, with its numbers. `red` is what it listed for sound with redundancy, which
/// str0m knows for the whole connection only.
pub fn payload_types(media: &Media, params: &[PayloadParams], red: Option<u8>) -> Vec<PayloadTypes> {
    let listed = media.remote_pts().iter().filter_map(|pt| params.iter().find(|p| p.pt() == *pt));
    let types = |p: &PayloadParams| {
        let red = p.red().map(|pt| *pt).filter(|pt| red == Some(*pt));
        Some(PayloadTypes { codec: codec(p)?, pt: *p.pt(), rtx: p.resend().map(|pt| *pt), red })
    };
    listed.filter_map(types).collect()
}

/// The payload type of sound with redundancy, and that of the sound within.
pub fn redundancy(params: &[PayloadParams]) -> Option<(u8, u8)> {
    params.iter().find_map(|p| Some((*p.red()?, *p.pt())))
}

/// The other side's numbers for the extensions of an m-line.
pub fn extension_ids(media: &Media) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (id, extension) in media.remote_extmap().iter() {
        match extension {
            Extension::RtpMid => ids.mid = id,
            Extension::AbsoluteSendTime => ids.abs_send_time = id,
            Extension::TransportSequenceNumber => ids.transport = id,
            Extension::AudioLevel => ids.audio_level = id,
            Extension::VideoOrientation => ids.orientation = id,
            Extension::AbsoluteCaptureTime => ids.capture_time = id,
            other if other.as_uri() == DESCRIPTOR_URI => ids.descriptor = id,
            _ => {}
        }
    }
    ids
}

/// A received packet in our words; `clock` is its publisher's.
pub fn packet(p: RtpPacket, codec: Codec, clock: &mut CaptureClock) -> Packet {
    let timestamp = p.header.timestamp;
    let report = p.last_sender_info.map(|info| SenderReport { ntp: ntp_time(info.ntp_time), timestamp: info.rtp_time.numer() as u32 });
    let arrival = Arrival { stream: *p.header.ssrc, timestamp, clock_rate: codec.kind().clock_rate(), received: p.timestamp };
    let values = &p.header.ext_vals;
    let extensions = Extensions {
        audio_level: values.audio_level.map(|level| level.unsigned_abs().min(127)),
        voice: values.voice_activity.unwrap_or(false),
        orientation: values.video_orientation.map(|o| o as u8),
        capture_time: values.abs_capture_time.map(|t| CaptureTime { ntp: ntp_time(t.capture_time), offset: t.clock_offset }),
        descriptor: values.user_values.get::<Descriptor>().map(|d| d.0.clone()),
    };
    Packet {
        seq: *p.seq_no,
        timestamp,
        marker: p.header.marker,
        codec,
        extensions,
        payload: p.payload,
        red: None,
        received: p.timestamp,
        captured: clock.captured(arrival, report),
    }
}

/// 32.32 fixed-point seconds since 1900.
pub fn ntp_time(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((since.as_secs() + NTP_TO_UNIX_SECS) << 32) | fraction
}

/// Milliseconds since 1970 of an NTP time.
pub fn ntp_time_to_unix_ms(ntp: u64) -> u64 {
    let millis = ((ntp & 0xffff_ffff) * 1_000) >> 32;
    (ntp >> 32).saturating_sub(NTP_TO_UNIX_SECS) * 1_000 + millis
}

/// A dependency descriptor, kept as it came.
struct Descriptor(Arc<[u8]>);

/// Hands the descriptor's bytes through; they are read in `rtp`.
#[derive(Debug)]
struct RawDescriptor;

impl ExtensionSerializer for RawDescriptor {
    fn write_to(&self, buf: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(Descriptor(bytes)) = values.user_values.get() else { return 0 };
        let Some(room) = buf.get_mut(..bytes.len()) else { return 0 };
        room.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, buf: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(buf.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values.user_values.get::<Descriptor>().is_some_and(|d| d.0.len() > 16)
    }
}
