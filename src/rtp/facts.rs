//! What forwarding must know of a payload: does a keyframe start here, which layer is it, may a receiver go up here, and where stand the
//! numbers that are continuous per slot.
//!
//! It reads payload descriptors and the first bytes behind them, never a picture. Total: strangers wrote the bytes, so what cannot be read
//! says "no keyframe, base layer, nothing to patch". The room reads each packet once, before it looks at the slots.
//!
//! | codec | file | keyframe starts when | layers, and where one may go up |
//! |---|---|---|---|
//! | Opus | (RFC 7587) | always | none |
//! | VP8 | `vp8.rs` | S, partition 0, P of the frame header is 0 | TID; Y |
//! | VP9 | `vp9.rs` | B, not P, spatial layer 0 | TID and SID; U, and in space where P is 0; or the descriptor |
//! | H.264 | `h264.rs` | SPS or IDR: alone, inside a STAP-A, or the first of an FU-A | none in the payload; the descriptor |
//! | AV1 | `av1.rs` | N, or a descriptor that brings its structure | the OBU extension, temporal only; or the descriptor |

use super::packet::Codec;
use super::targets::Targets;
use super::{av1, h264, vp8, vp9};

/// The highest spatial and the highest temporal layer, counted from 0: no encoder of a browser makes more.
pub const LAYER_MAX: u8 = 2;

/// A place in a track's layers. `spatial` is the spatial layer inside one stream (SVC); simulcast encodings are told apart outside.
///
/// The order is by space first. Layers above [`LAYER_MAX`] count as that one: they go where it goes, so what is left out is never needed by
/// what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer {
    /// 0 is the smallest picture.
    pub spatial: u8,
    /// 0 is the lowest frame rate.
    pub temporal: u8,
}

impl Layer {
    /// Everything.
    pub const MAX: Layer = Layer { spatial: LAYER_MAX, temporal: LAYER_MAX };

    /// As a stranger wrote it.
    pub fn clamped(spatial: u8, temporal: u8) -> Layer {
        Layer { spatial: spatial.min(LAYER_MAX), temporal: temporal.min(LAYER_MAX) }
    }

    /// The lower of both, in space and in time.
    pub fn min_each(self, other: Layer) -> Layer {
        Layer { spatial: self.spatial.min(other.spatial), temporal: self.temporal.min(other.temporal) }
    }

    /// The higher of both, in space and in time.
    pub fn max_each(self, other: Layer) -> Layer {
        Layer { spatial: self.spatial.max(other.spatial), temporal: self.temporal.max(other.temporal) }
    }

    /// In space and in time.
    pub fn within(self, limit: Layer) -> bool {
        self.spatial <= limit.spatial && self.temporal <= limit.temporal
    }
}

/// What one packet says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A decoder can start with this packet: the first of a keyframe, of its base layer if it has several.
    pub keyframe: bool,
    /// A frame starts here. For H.264, where the payload alone cannot say it: a NAL unit starts here.
    pub frame_start: bool,
    /// A frame of one spatial layer ends here.
    pub frame_end: bool,
    /// Where the frame belongs.
    pub layer: Layer,
    /// Here one may go up in time: VP8's Y (this frame needs the base layer only), VP9's U (what follows needs nothing above this layer from
    /// before), a descriptor's "switch", a keyframe.
    pub sync: bool,
    /// Here one may go up in space from the layer below: VP9 without P (nothing from before is needed), a keyframe.
    pub spatial_sync: bool,
    /// Width and height of this packet's layer, where the packet tells them.
    pub size: Option<(u16, u16)>,
    /// Who needs the frame, by its dependency descriptor. Only [`super::Reader`] knows: the structure came in another packet.
    pub targets: Option<Targets>,
    /// Picture id of VP8 or VP9.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX of VP8 or VP9: offset in the payload and value.
    pub tl0_picture_index: Option<(u8, u8)>,
    /// The mandatory part of the dependency descriptor.
    pub descriptor: Option<Descriptor>,
}

impl Facts {
    /// Whether one who has this layer gets the frame. Decode targets say it where they are known: of L3T3_KEY one gets a single spatial layer.
    pub fn serves(&self, layer: Layer) -> bool {
        match &self.targets {
            Some(targets) => targets.serving.get(layer).is_some_and(|target| target.is_in(targets.present)),
            None => self.layer.within(layer),
        }
    }
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

impl PictureId {
    /// Bits that count.
    pub fn bits(self) -> u32 {
        if self.wide { 15 } else { 7 }
    }
}

impl Facts {
    /// Reads `payload` as `codec`, and the dependency descriptor where the packet has one, without what other packets said: that adds
    /// [`super::Reader`].
    pub fn parse(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> Facts {
        let descriptor = descriptor.and_then(Descriptor::parse);
        let facts = match codec {
            Codec::Opus => Facts { keyframe: true, frame_start: true, frame_end: true, sync: true, spatial_sync: true, ..Facts::default() },
            Codec::Vp8 => vp8::read(payload).unwrap_or_default(),
            Codec::Vp9 { .. } => vp9::read(payload).unwrap_or_default(),
            Codec::H264 { .. } => h264::read(payload).unwrap_or_default(),
            Codec::Av1 { .. } => av1::read(payload, descriptor).unwrap_or_default(),
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
pub(super) fn picture_id(payload: &[u8], at: usize) -> Option<(PictureId, usize)> {
    let first = *payload.get(at)?;
    let offset = at as u8;
    if first & 0x80 == 0 {
        return Some((PictureId { offset, value: u16::from(first), wide: false }, at + 1));
    }
    let value = u16::from_be_bytes([first & 0x7f, *payload.get(at + 1)?]);
    Some((PictureId { offset, value, wide: true }, at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_survived() {
        let mut rng = fastrand::Rng::with_seed(7);
        let codecs =
            [Codec::Opus, Codec::Vp8, Codec::Vp9 { profile: 0 }, Codec::H264 { profile: 0x42e0, mode: 1 }, Codec::Av1 { profile: 0 }];
        for codec in codecs {
            for _ in 0..20_000 {
                let payload: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
                let descriptor: Vec<u8> = (0..rng.usize(0..6)).map(|_| rng.u8(..)).collect();
                let facts = Facts::parse(codec, &payload, Some(&descriptor));
                if let Some(id) = facts.picture_id {
                    assert!(usize::from(id.offset) + usize::from(id.wide) < payload.len());
                }
                if let Some((offset, value)) = facts.tl0_picture_index {
                    assert_eq!(payload[usize::from(offset)], value);
                }
                assert!(facts.layer.within(Layer::MAX));
            }
        }
    }
}
