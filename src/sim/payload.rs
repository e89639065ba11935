//! Made media on the wire: a payload descriptor that the server reads and rewrites, and behind it what no server touches: whose packet it is and,
//! for frames of an [`Encoder`](super::encoder), where the frame stands among the others. So a receiver can tell what it was told from what is true.
//!
//! ```text
//! VP8 descriptor │ frame head │ owner │ number │ layer temporal flags back back │ filling
//!                │            └ tiny media end here ┘
//! ```

use str0m::format::{Codec, PayloadParams};
use str0m::media::Pt;

use super::encoder::Frame;
use crate::id::PeerId;
use crate::rtp::Red;

/// Of a payload. With RTP's and ours below it a datagram stays under 1,200 bytes.
pub const PAYLOAD_MAX: usize = 1_100;
/// The descriptor, the head of a frame and what is behind it, at most.
const HEADS_MAX: usize = 6 + 10 + 13;
/// Of one packet of sound.
const TICKS: u32 = 960;
const WITH_LAYER: u8 = 0x80;
const KEY: u8 = 1;

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub key: bool,
    pub owner: PeerId,
    /// Of the frame in its encoding.
    pub number: u32,
    /// Of an encoder's frame.
    pub layered: Option<Layered>,
}

/// A packet of a frame of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layered {
    /// First packet of its frame, as the descriptor says.
    pub start: bool,
    /// As the descriptor says.
    pub picture_id: u16,
    /// As the descriptor says.
    pub tl0: u8,
    /// As the descriptor says.
    pub temporal: u8,
    /// As the descriptor says: refers to its base layer frame only.
    pub sync: bool,
    /// As it is: of the simulcast.
    pub layer: u8,
    /// As it is: the frames that it refers to are so many behind it; 0: none.
    pub back: [u8; 2],
}

/// The number of an encoder's layer as pixels.
pub fn height(layer: u8) -> u16 {
    180 << layer.min(2)
}

/// Sound: whose it is, and which.
pub fn sound(owner: Option<PeerId>, number: u32, len: usize) -> Vec<u8> {
    let mut body = tag(owner, number);
    body.resize(len, number as u8);
    body
}

/// Sound with the packet before it once more (RFC 2198): one, as Chromium sends unless a field trial makes it send more. Across a silence there is
/// none: nobody could play it any more.
pub fn redundant(pt: u8, time: u32, before: Option<&(u32, Vec<u8>)>, sound: &[u8]) -> Vec<u8> {
    let mut payload = vec![];
    let before = before.map_or(&[][..], |(earlier, sound)| if time.wrapping_sub(*earlier) == TICKS { sound } else { &[] });
    if !before.is_empty() {
        payload.extend((1 << 31 | u32::from(pt) << 24 | TICKS << 10 | before.len() as u32).to_be_bytes());
    }
    payload.push(pt);
    payload.extend(before);
    payload.extend(sound);
    payload
}

/// The payload types of sound with redundancy and of the sound in it, if that was agreed upon.
pub fn redundancy(params: &[PayloadParams]) -> Option<(Pt, Pt)> {
    params.iter().find_map(|p| Some((p.red()?, p.pt())))
}

/// Whose it is, and how many packets earlier each of those is that it carries once more. `None`: nobody made it.
pub fn read_redundant(pt: u8, payload: &[u8]) -> Option<(PeerId, Vec<u64>)> {
    let red = Red::parse(payload).filter(|red| red.pt == pt)?;
    let (owner, number) = (read_sound(red.primary)?, u32::from_be_bytes(red.primary.get(4..8)?.try_into().ok()?));
    let back = |(offset, sound): (u32, &[u8])| {
        let back = offset / TICKS;
        (sound.get(..8)? == tag(Some(owner), number.wrapping_sub(back))).then_some(u64::from(back))
    };
    Some((owner, red.blocks().map(|block| back((block.offset, block.sound))).collect::<Option<_>>()?))
}

/// One packet of a frame of tiny media, in which nothing depends on the descriptor but where frames and keyframes are.
pub fn tiny(codec: Codec, owner: Option<PeerId>, number: u32, place: (bool, bool), key: bool, len: usize) -> Vec<u8> {
    let mut payload = match codec {
        Codec::Vp9 => vp9_head(number, place, key),
        _ => vp8_head(number, place.0, key),
    };
    payload.extend(sound(owner, number, len));
    payload
}

/// The packets of an encoder's frame, all as long as one another but the last.
pub fn packets(frame: &Frame, owner: Option<PeerId>) -> Vec<Vec<u8>> {
    let parts = frame.bytes.div_ceil(PAYLOAD_MAX).max(1);
    let len = frame.bytes.div_ceil(parts).max(HEADS_MAX);
    (0..parts).map(|part| packet(frame, owner, part == 0, len)).collect()
}

fn packet(frame: &Frame, owner: Option<PeerId>, start: bool, len: usize) -> Vec<u8> {
    // RFC 7741: X and S; I, L and T; a 15-bit picture id; TL0PICIDX; TID and Y.
    let [high, low] = (frame.picture_id | 0x8000).to_be_bytes();
    let sync = if frame.sync { 0x20 } else { 0 };
    let mut payload = vec![if start { 0x90 } else { 0x80 }, 0xe0, high, low, frame.tl0, frame.temporal << 6 | sync];
    payload.push(0x10 | u8::from(!frame.key));
    if start && frame.key {
        let (height, width) = (height(frame.layer), height(frame.layer) / 9 * 16);
        payload.extend([0, 0, 0x9d, 0x01, 0x2a]);
        payload.extend(width.to_le_bytes());
        payload.extend(height.to_le_bytes());
    }
    payload.extend(tag(owner, frame.number));
    payload.extend([frame.layer, frame.temporal, WITH_LAYER | if frame.key { KEY } else { 0 }, frame.back[0], frame.back[1]]);
    payload.resize(len, frame.number as u8);
    payload
}

fn tag(owner: Option<PeerId>, number: u32) -> Vec<u8> {
    let owner = owner.map_or(0, |p| p.0);
    [owner.to_be_bytes(), number.to_be_bytes()].concat()
}

/// VP8 (RFC 7741): X and S, a 15-bit picture id, then the frame whose first bit says "no keyframe".
fn vp8_head(frame: u32, first: bool, key: bool) -> Vec<u8> {
    let [high, low] = (frame as u16 | 0x8000).to_be_bytes();
    vec![0x80 | if first { 0x10 } else { 0 }, 0x80, high, low, u8::from(!key)]
}

/// VP9 (RFC 9628), one layer: I, P on all but keyframes, B and E, a 15-bit picture id; then two bytes so that both heads are of one length.
fn vp9_head(frame: u32, (first, last): (bool, bool), key: bool) -> Vec<u8> {
    let [high, low] = (frame as u16 | 0x8000).to_be_bytes();
    let bits = [(0x80, true), (0x40, !key), (0x08, first), (0x04, last)];
    let flags = bits.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum();
    vec![flags, high, low, 0, u8::from(!key)]
}

/// `None`: nobody made it.
pub fn read_sound(payload: &[u8]) -> Option<PeerId> {
    payload.first_chunk::<4>().map(|b| PeerId(u32::from_be_bytes(*b)))
}

/// `None`: nobody made it.
pub fn read_video(codec: Codec, payload: &[u8]) -> Option<Payload> {
    let layered = codec == Codec::Vp8 && payload.get(1)? & 0x20 != 0;
    let frame_head = if layered { 6 } else { 4 };
    let (key, start) = (payload.get(frame_head)? & 1 == 0, payload[0] & 0x10 != 0);
    let body = payload.get(frame_head + if layered && key && start { 10 } else { 1 }..)?;
    let (owner, number) = (read_sound(body)?, u32::from_be_bytes(body.get(4..8)?.try_into().ok()?));
    if !layered {
        return Some(Payload { key, owner, number, layered: None });
    }
    let [layer, temporal, flags, back @ ..] = body.get(8..13)?.first_chunk::<5>()?;
    let descriptor = &payload[..6];
    // The temporal layer and the keyframe stand in both places, and nobody may make them differ.
    if flags & WITH_LAYER == 0 || (flags & KEY != 0) != key || *temporal != descriptor[5] >> 6 {
        return None;
    }
    let layered = Layered {
        start,
        picture_id: u16::from_be_bytes([descriptor[2], descriptor[3]]) & 0x7fff,
        tl0: descriptor[4],
        temporal: *temporal,
        sync: descriptor[5] & 0x20 != 0,
        layer: *layer,
        back: *back,
    };
    Some(Payload { key, owner, number, layered: Some(layered) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp;

    #[test]
    fn a_frame_is_read_as_it_was_made_by_us_and_by_the_server() {
        let frame =
            Frame { layer: 2, number: 9, temporal: 2, key: false, sync: true, picture_id: 0x7ffe, tl0: 200, bytes: 2_500, back: [1, 3] };
        for key in [true, false] {
            let frame = Frame { key, temporal: if key { 0 } else { 2 }, ..frame };
            let packets = packets(&frame, Some(PeerId(7)));
            assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [834, 834, 834]);
            for (part, packet) in packets.iter().enumerate() {
                let read = read_video(Codec::Vp8, packet).unwrap();
                let layered = read.layered.unwrap();
                assert_eq!((read.key, read.owner, read.number), (key, PeerId(7), 9));
                assert_eq!((layered.start, layered.picture_id, layered.tl0), (part == 0, 0x7ffe, 200));
                assert_eq!((layered.temporal, layered.sync, layered.layer, layered.back), (frame.temporal, true, 2, [1, 3]));
                let facts = rtp::Facts::parse(rtp::Codec::Vp8, packet, None);
                assert_eq!((facts.keyframe, facts.frame_start), (key && part == 0, part == 0));
                assert_eq!(facts.picture_id.map(|id| id.value), Some(0x7ffe));
                assert_eq!(facts.tl0_picture_index, Some((4, 200)));
            }
        }
    }

    #[test]
    fn tiny_media_say_whose_they_are() {
        for codec in [Codec::Vp8, Codec::Vp9] {
            for key in [true, false] {
                let packet = tiny(codec, Some(PeerId(3)), 77, (true, true), key, 100);
                assert_eq!(read_video(codec, &packet), Some(Payload { key, owner: PeerId(3), number: 77, layered: None }));
            }
        }
        assert_eq!(read_video(Codec::Vp8, &[0x80, 0x80, 1]), None);
        assert_eq!(read_sound(&sound(Some(PeerId(5)), 1, 60)), Some(PeerId(5)));
    }

    #[test]
    fn sound_carries_the_packet_before_it() {
        let made = |n: u32| sound(Some(PeerId(5)), n, 60);
        let redundant = |time, before: Option<(u32, u32)>| redundant(111, time, before.map(|(at, n)| (at, made(n))).as_ref(), &made(8));
        assert_eq!(read_redundant(111, &redundant(9_600, Some((8_640, 7)))), Some((PeerId(5), vec![1])));
        assert_eq!(read_redundant(111, &redundant(9_600, Some((1_920, 7)))), Some((PeerId(5), vec![])), "a silence between");
        assert_eq!(read_redundant(111, &redundant(9_600, None)), Some((PeerId(5), vec![])));
        assert_eq!(read_redundant(111, &redundant(9_600, Some((8_640, 6)))), None, "not the one before");
        assert_eq!(read_redundant(109, &redundant(9_600, None)), None, "another codec");
    }
}
