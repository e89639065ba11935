//! What forwarding must know of a payload: does a keyframe start here, which temporal layer is it, and where stand the numbers that are
//! continuous per slot.
//!
//! It reads payload descriptors and the first bytes behind them, never a picture. Total: strangers wrote the bytes, so what cannot be read
//! says "no keyframe, nothing to patch". The room parses each packet once, before it looks at the slots.
//!
//! | codec | source | keyframe starts when |
//! |---|---|---|
//! | Opus | RFC 7587 | always |
//! | VP8 | RFC 7741 §4.2, §4.3 | S, partition 0, P of the frame header is 0 |
//! | VP9 | RFC 9628 §4.2 | B, not P, spatial layer 0 |
//! | H.264 | RFC 6184 §5.6–5.8 | SPS or IDR: alone, inside a STAP-A, or the first of an FU-A |
//! | AV1 | AV1 RTP payload 1.0 §4.4, appendix A | N, or a descriptor that brings its structure |

use super::packet::Codec;

/// What one payload says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A decoder can start with this packet.
    pub keyframe: bool,
    /// A frame starts here. For H.264, where the payload alone cannot say it: a NAL unit starts here.
    pub frame_start: bool,
    /// Temporal layer, 0 being the base.
    pub temporal: u8,
    /// Picture id of VP8 or VP9.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX of VP8 or VP9: offset in the payload and value.
    pub tl0_picture_index: Option<(u8, u8)>,
    /// The mandatory part of the dependency descriptor.
    pub descriptor: Option<Descriptor>,
}

/// A picture id as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Offset in the payload.
    pub offset: u8,
    /// 7 or 15 bits.
    pub value: u16,
    /// 15 bits in two bytes.
    pub wide: bool,
}

/// The mandatory part of a dependency descriptor (three bytes) and whether a structure follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of its frame.
    pub start: bool,
    /// Last packet of its frame.
    pub end: bool,
    /// Template id, relative to the structure in force.
    pub template: u8,
    /// Frame number, wraps at 16 bits.
    pub frame_number: u16,
    /// The template structure is in it, which is so at keyframes.
    pub structure: bool,
}

impl Facts {
    /// Reads `payload` as `codec`, and the dependency descriptor where the packet has one.
    pub fn parse(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> Facts {
        let descriptor = descriptor.and_then(Descriptor::parse);
        let facts = match codec {
            Codec::Opus => Facts { keyframe: true, frame_start: true, ..Facts::default() },
            Codec::Vp8 => vp8(payload).unwrap_or_default(),
            Codec::Vp9 { .. } => vp9(payload).unwrap_or_default(),
            Codec::H264 { .. } => h264(payload).unwrap_or_default(),
            Codec::Av1 { .. } => av1(payload, descriptor).unwrap_or_default(),
        };
        Facts { descriptor, ..facts }
    }
}

impl Descriptor {
    fn parse(bytes: &[u8]) -> Option<Descriptor> {
        let [first, high, low, rest @ ..] = bytes else { return None };
        Some(Descriptor {
            start: first & 0x80 != 0,
            end: first & 0x40 != 0,
            template: first & 0x3f,
            frame_number: u16::from_be_bytes([*high, *low]),
            structure: rest.first().is_some_and(|flags| flags & 0x80 != 0),
        })
    }
}

/// Reads the one or two bytes of a picture id at `at`; the offset behind it comes too.
fn picture_id(payload: &[u8], at: usize) -> Option<(PictureId, usize)> {
    let first = *payload.get(at)?;
    let offset = at as u8;
    if first & 0x80 == 0 {
        return Some((PictureId { offset, value: u16::from(first), wide: false }, at + 1));
    }
    let value = u16::from_be_bytes([first & 0x7f, *payload.get(at + 1)?]);
    Some((PictureId { offset, value, wide: true }, at + 2))
}

fn vp8(payload: &[u8]) -> Option<Facts> {
    let first = *payload.first()?;
    let start = first & 0x10 != 0 && first & 0x07 == 0;
    let mut facts = Facts { frame_start: start, ..Facts::default() };
    let mut at = 1;
    if first & 0x80 != 0 {
        let present = *payload.get(at)?;
        at += 1;
        if present & 0x80 != 0 {
            let (id, next) = picture_id(payload, at)?;
            facts.picture_id = Some(id);
            at = next;
        }
        if present & 0x40 != 0 {
            facts.tl0_picture_index = Some((at as u8, *payload.get(at)?));
            at += 1;
        }
        if present & 0x30 != 0 {
            // The byte is there for T or K; only T makes its upper bits a layer.
            let byte = *payload.get(at)?;
            facts.temporal = if present & 0x20 != 0 { byte >> 6 } else { 0 };
            at += 1;
        }
    }
    facts.keyframe = start && payload.get(at)? & 0x01 == 0;
    Some(facts)
}

fn vp9(payload: &[u8]) -> Option<Facts> {
    let first = *payload.first()?;
    let (has_id, predicted, layered, flexible, begins) =
        (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x10 != 0, first & 0x08 != 0);
    let mut facts = Facts { frame_start: begins, ..Facts::default() };
    let mut at = 1;
    let mut spatial = 0;
    if has_id {
        let (id, next) = picture_id(payload, at)?;
        facts.picture_id = Some(id);
        at = next;
    }
    if layered {
        let byte = *payload.get(at)?;
        facts.temporal = byte >> 5;
        spatial = (byte >> 1) & 0x07;
        at += 1;
        if !flexible {
            facts.tl0_picture_index = Some((at as u8, *payload.get(at)?));
            at += 1;
        }
    }
    // A descriptor with nothing behind it is a probe, not a picture.
    facts.keyframe = begins && !predicted && spatial == 0 && payload.len() > at;
    Some(facts)
}

fn h264(payload: &[u8]) -> Option<Facts> {
    let key = |header: u8| matches!(header & 0x1f, 5 | 7);
    let first = *payload.first()?;
    let (frame_start, keyframe) = match first & 0x1f {
        1..=23 => (true, key(first)),
        24 => (true, stap_units(&payload[1..]).any(key)),
        28 => {
            let header = *payload.get(1)?;
            let start = header & 0x80 != 0;
            (start, start && key(header))
        }
        _ => (false, false),
    };
    Some(Facts { frame_start, keyframe, ..Facts::default() })
}

/// The first byte of each unit in a STAP-A, as far as the lengths hold. The loop ends because each step consumes at least two bytes.
fn stap_units(mut rest: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        loop {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let unit = tail.get(..length)?;
            rest = &tail[length..];
            if let Some(first) = unit.first() {
                return Some(*first);
            }
        }
    })
}

fn av1(payload: &[u8], descriptor: Option<Descriptor>) -> Option<Facts> {
    let first = *payload.first()?;
    let continues = first & 0x80 != 0;
    let sequence_start = first & 0x08 != 0 && !continues && payload.len() > 1;
    let structure = descriptor.is_some_and(|d| d.start && d.structure);
    let frame_start = descriptor.map_or(!continues, |d| d.start);
    Some(Facts { keyframe: sequence_start || structure, frame_start, ..Facts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VP9: Codec = Codec::Vp9 { profile: 0 };
    const H264: Codec = Codec::H264 { profile: 0x42e0, mode: 1 };
    const AV1: Codec = Codec::Av1 { profile: 0 };

    fn key(codec: Codec, payload: &[u8]) -> bool {
        Facts::parse(codec, payload, None).keyframe
    }

    #[test]
    fn vp8_descriptor_in_all_its_widths() {
        // X, S; I L T K; picture id 0x1234 wide; TL0 7; TID 2; P = 0.
        let facts = Facts::parse(Codec::Vp8, &[0x90, 0xf0, 0x92, 0x34, 7, 0x80, 0x00], None);
        assert!(facts.keyframe && facts.frame_start);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 2, value: 0x1234, wide: true }));
        assert_eq!(facts.tl0_picture_index, Some((4, 7)));
        assert_eq!(facts.temporal, 2);
        // Narrow picture id and nothing else; P = 1.
        let facts = Facts::parse(Codec::Vp8, &[0x90, 0x80, 0x11, 0x01], None);
        assert!(!facts.keyframe && facts.frame_start);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 2, value: 0x11, wide: false }));
        // No extension at all; then a later partition, then the middle of one.
        assert!(key(Codec::Vp8, &[0x10, 0x00]));
        assert!(!key(Codec::Vp8, &[0x11, 0x00]));
        assert!(!key(Codec::Vp8, &[0x00, 0x00]));
        // K alone: its byte is skipped and is no temporal layer.
        let facts = Facts::parse(Codec::Vp8, &[0x90, 0x10, 0xff, 0x00], None);
        assert!(facts.keyframe);
        assert_eq!(facts.temporal, 0);
    }

    #[test]
    fn vp9_descriptor() {
        // I, L, B; wide id 5; TID 1, SID 0; TL0 9; data.
        let facts = Facts::parse(VP9, &[0xa8, 0x80, 5, 0x20, 9, 0xff], None);
        assert!(facts.keyframe && facts.frame_start);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 1, value: 5, wide: true }));
        assert_eq!((facts.temporal, facts.tl0_picture_index), (1, Some((4, 9))));
        assert!(!key(VP9, &[0xe8, 0x80, 5, 0x20, 9, 0xff]), "predicted");
        assert!(!key(VP9, &[0xa8, 0x80, 5, 0x22, 9, 0xff]), "spatial layer 1");
        assert!(!key(VP9, &[0xa0, 0x80, 5, 0x20, 9, 0xff]), "not the beginning");
        // Flexible mode has no TL0PICIDX.
        assert_eq!(Facts::parse(VP9, &[0xb8, 5, 0x20, 0xff], None).tl0_picture_index, None);
    }

    #[test]
    fn h264_units() {
        assert!(key(H264, &[0x67, 1]));
        assert!(key(H264, &[0x65, 1]));
        assert!(!key(H264, &[0x68, 1]), "PPS alone");
        assert!(!key(H264, &[0x41, 1]));
        assert!(key(H264, &[0x18, 0, 1, 0x09, 0, 2, 0x67, 0]), "STAP-A: AUD, SPS");
        assert!(!key(H264, &[0x18, 0, 1, 0x41, 0, 9, 0x67]), "the length lies");
        assert!(!key(H264, &[0x18, 0, 0, 0, 0, 0]), "empty units");
        assert!(key(H264, &[0x7c, 0x85, 1]), "FU-A start of an IDR");
        assert!(!key(H264, &[0x7c, 0x05, 1]), "FU-A middle");
        assert!(!key(H264, &[0x7c, 0x81, 1]));
    }

    #[test]
    fn av1_and_its_descriptor() {
        assert!(key(AV1, &[0x18, 0x0a]));
        assert!(!key(AV1, &[0x10, 0x0a]));
        let facts = Facts::parse(AV1, &[0x10, 0x32], Some(&[0xc2, 0x12, 0x34, 0x80]));
        assert!(facts.keyframe);
        let expected = Descriptor { start: true, end: true, template: 2, frame_number: 0x1234, structure: true };
        assert_eq!(facts.descriptor, Some(expected));
        assert!(!Facts::parse(AV1, &[0x10, 0x32], Some(&[0x42, 0x12, 0x34, 0x80])).keyframe, "not its first packet");
        assert_eq!(Facts::parse(AV1, &[0x10], Some(&[1, 2])).descriptor, None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut rng = fastrand::Rng::with_seed(7);
        for codec in [Codec::Opus, Codec::Vp8, VP9, H264, AV1] {
            for _ in 0..20_000 {
                let payload: Vec<u8> = (0..rng.usize(0..12)).map(|_| rng.u8(..)).collect();
                let descriptor: Vec<u8> = (0..rng.usize(0..6)).map(|_| rng.u8(..)).collect();
                let facts = Facts::parse(codec, &payload, Some(&descriptor));
                if let Some(id) = facts.picture_id {
                    assert!(usize::from(id.offset) + usize::from(id.wide) < payload.len());
                }
                if let Some((offset, value)) = facts.tl0_picture_index {
                    assert_eq!(payload[usize::from(offset)], value);
                }
            }
        }
    }
}
