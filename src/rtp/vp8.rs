//! What a VP8 packet says: payload descriptor (RFC 7741 §4.2), and of a keyframe its size (RFC 6386 §9.1).

use super::facts::{Facts, Layer, picture_id};

/// `None` if it ends too early.
pub(super) fn read(payload: &[u8]) -> Option<Facts> {
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
            // The byte is there for T or K; only T makes its upper bits a layer and its third a sync point.
            let byte = *payload.get(at)?;
            if present & 0x20 != 0 {
                facts.layer = Layer::clamped(0, byte >> 6);
                facts.sync = byte & 0x20 != 0;
            }
            at += 1;
        }
    }
    facts.keyframe = start && payload.get(at)? & 0x01 == 0;
    if facts.keyframe {
        (facts.sync, facts.spatial_sync) = (true, true);
        facts.size = size(&payload[at..]);
    }
    Some(facts)
}

/// Behind the frame tag: start code, then 14 bits of width and of height, each under two bits that tell how to scale it up.
fn size(frame: &[u8]) -> Option<(u16, u16)> {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *frame else { return None };
    Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
}

#[cfg(test)]
mod tests {
    use super::super::facts::PictureId;
    use super::*;

    fn key(payload: &[u8]) -> bool {
        read(payload).unwrap().keyframe
    }

    #[test]
    fn the_descriptor_in_all_its_widths() {
        // X, S; I L T K; picture id 0x1234 wide; TL0 7; TID 2; P = 0.
        let facts = read(&[0x90, 0xf0, 0x92, 0x34, 7, 0x80, 0x00]).unwrap();
        assert!(facts.keyframe && facts.frame_start && facts.sync);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 2, value: 0x1234, wide: true }));
        assert_eq!(facts.tl0_picture_index, Some((4, 7)));
        assert_eq!(facts.layer, Layer { spatial: 0, temporal: 2 });
        // Narrow picture id and nothing else; P = 1.
        let facts = read(&[0x90, 0x80, 0x11, 0x01]).unwrap();
        assert!(!facts.keyframe && facts.frame_start);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 2, value: 0x11, wide: false }));
        // No extension at all; then a later partition, then the middle of one.
        assert!(key(&[0x10, 0x00]));
        assert!(!key(&[0x11, 0x00]));
        assert!(!key(&[0x00, 0x00]));
        // K alone: its byte is skipped, is no temporal layer and no sync point.
        let facts = read(&[0x90, 0x10, 0xff, 0x01]).unwrap();
        assert_eq!((facts.layer, facts.sync), (Layer::default(), false));
        assert_eq!(read(&[0x90, 0x80]), None, "cut off");
    }

    #[test]
    fn layers_and_sync_points() {
        for (byte, temporal, sync) in [(0x00, 0, false), (0x40, 1, false), (0x60, 1, true), (0xa0, 2, true), (0xc0, 2, false)] {
            let facts = read(&[0x90, 0x20, byte, 0x01]).unwrap();
            assert_eq!((facts.layer.temporal, facts.sync), (temporal, sync), "{byte:x}");
        }
    }

    #[test]
    fn a_keyframe_has_a_size() {
        // 640 by 360, both with scaling bits that are not part of it.
        let mut payload = vec![0x10, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81, 0xff];
        assert_eq!(read(&payload).unwrap().size, Some((640, 360)));
        payload[4] = 0;
        assert_eq!(read(&payload).unwrap().size, None, "no start code");
        assert_eq!(read(&payload[..9]).unwrap().size, None);
    }
}
