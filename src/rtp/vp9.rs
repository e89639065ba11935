//! What a VP9 packet says: payload descriptor (RFC 9628 §4.2), and the size from its scalability structure or, where a keyframe has none,
//! from the frame's own header (VP9 bitstream specification §6.2).

use super::bits::Bits;
use super::facts::{Facts, Layer, picture_id};

/// `None` if it ends too early.
pub(super) fn read(payload: &[u8]) -> Option<Facts> {
    let first = *payload.first()?;
    let flag = |bit: u8| first & bit != 0;
    let (has_id, predicted, layered, flexible) = (flag(0x80), flag(0x40), flag(0x20), flag(0x10));
    let (begins, ends, structured) = (flag(0x08), flag(0x04), flag(0x02));
    let mut facts = Facts { frame_start: begins, frame_end: ends, spatial_sync: begins && !predicted, ..Facts::default() };
    let mut at = 1;
    let mut spatial = 0;
    if has_id {
        let (id, next) = picture_id(payload, at)?;
        facts.picture_id = Some(id);
        at = next;
    }
    if layered {
        let byte = *payload.get(at)?;
        spatial = (byte >> 1) & 0x07;
        facts.layer = Layer::clamped(spatial, byte >> 5);
        facts.sync = byte & 0x10 != 0;
        at += 1;
        if !flexible {
            facts.tl0_picture_index = Some((at as u8, *payload.get(at)?));
            at += 1;
        }
    }
    if predicted && flexible {
        at = references_end(payload, at)?;
    }
    // A descriptor with nothing behind it is a probe, not a picture.
    facts.keyframe = begins && !predicted && spatial == 0 && payload.len() > at;
    facts.sync |= facts.keyframe;
    if structured {
        facts.size = structure_size(payload.get(at..)?, spatial);
    } else if facts.keyframe {
        facts.size = frame_size(payload.get(at..)?);
    }
    Some(facts)
}

/// The offset behind the list of reference differences, at most three (§4.2, `P_DIFF`).
fn references_end(payload: &[u8], at: usize) -> Option<usize> {
    for further in 0..3 {
        if payload.get(at + further)? & 1 == 0 {
            return Some(at + further + 1);
        }
    }
    None
}

/// The size of layer `spatial` in the scalability structure at the front.
fn structure_size(structure: &[u8], spatial: u8) -> Option<(u16, u16)> {
    let (first, sizes) = structure.split_first()?;
    let (layers, has_sizes) = (first >> 5, first & 0x10 != 0);
    // A structure may tell of more layers than we tell apart; a packet's own is what counts.
    let at = 4 * usize::from(spatial);
    let [w0, w1, h0, h1] = *sizes.get(at..at + 4)? else { return None };
    (has_sizes && spatial <= layers).then_some((u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])))
}

/// The size in the uncompressed header of a keyframe.
fn frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    const SYNC_CODE: u32 = 0x49_8342;
    const SRGB: u32 = 7;
    let mut bits = Bits::new(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    // show_existing_frame and frame_type: both 0 in a keyframe.
    if bits.take(2)? != 0 {
        return None;
    }
    bits.skip(2)?;
    if bits.take(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    if bits.take(3)? != SRGB {
        bits.skip(if profile & 1 == 1 { 4 } else { 1 })?;
    } else if profile & 1 == 1 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.take(16)?, bits.take(16)?);
    Some((width.saturating_add(1).min(0xffff) as u16, height.saturating_add(1).min(0xffff) as u16))
}

#[cfg(test)]
mod tests {
    use super::super::facts::PictureId;
    use super::*;

    fn key(payload: &[u8]) -> bool {
        read(payload).unwrap().keyframe
    }

    #[test]
    fn the_descriptor() {
        // I, L, B; wide id 5; TID 1, SID 0; TL0 9; data.
        let facts = read(&[0xa8, 0x80, 5, 0x20, 9, 0xff]).unwrap();
        assert!(facts.keyframe && facts.frame_start && !facts.frame_end);
        assert_eq!(facts.picture_id, Some(PictureId { offset: 1, value: 5, wide: true }));
        assert_eq!((facts.layer.temporal, facts.tl0_picture_index), (1, Some((4, 9))));
        assert!(!key(&[0xe8, 0x80, 5, 0x20, 9, 0xff]), "predicted");
        assert!(!key(&[0xa8, 0x80, 5, 0x22, 9, 0xff]), "spatial layer 1");
        assert!(!key(&[0xa0, 0x80, 5, 0x20, 9, 0xff]), "not the beginning");
        assert!(!key(&[0xa8, 0x80, 5, 0x20, 9]), "a probe");
        // Flexible mode has no TL0PICIDX.
        assert_eq!(read(&[0xb8, 5, 0x20, 0xff]).unwrap().tl0_picture_index, None);
        assert_eq!(read(&[0xf8, 5, 0x20, 3, 3, 3, 0xff]), None, "four references");
    }

    #[test]
    fn layers_and_where_one_may_go_up() {
        // TID 2, U, SID 1, D; predicted.
        let facts = read(&[0xec, 5, 0x53, 9, 0xff]).unwrap();
        assert_eq!((facts.layer, facts.sync, facts.spatial_sync, facts.frame_end), (Layer { spatial: 1, temporal: 2 }, true, false, true));
        // The same frame without P.
        assert!(read(&[0xac, 5, 0x03, 9, 0xff]).unwrap().spatial_sync);
        // Layers beyond ours.
        assert_eq!(read(&[0xac, 5, 0xfe, 9, 0xff]).unwrap().layer, Layer::MAX);
    }

    #[test]
    fn sizes() {
        // Structure of two layers, 320x180 and 640x360, in the packet of the upper one, in flexible mode.
        let structure = [0x30, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68];
        let of = |head: &[u8]| read(&[head, &structure, &[0xff]].concat()).unwrap().size;
        assert_eq!(of(&[0xba, 5, 0x00]), Some((320, 180)));
        assert_eq!(of(&[0xba, 5, 0x03]), Some((640, 360)));
        assert_eq!(of(&[0xfa, 5, 0x02, 0x03, 0x02]), Some((640, 360)), "behind two references");
        assert_eq!(of(&[0xba, 5, 0x04]), None, "a third layer");
        // Frame header of profile 0, 1280x720: marker 10, profile 00, 0, 0, 1, 0; sync code; colour space 2, range 0; sizes less one.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x40, 0x4f, 0xf0, 0x2c, 0xf0];
        assert_eq!(read(&[&[0x88, 5], &frame[..]].concat()).unwrap().size, Some((1280, 720)));
        assert_eq!(read(&[&[0x88, 5], &frame[..8]].concat()).unwrap().size, None);
        assert_eq!(read(&[0x88, 5, 0x86]).unwrap().size, None, "no keyframe after all");
    }
}
