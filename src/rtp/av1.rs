//! What an AV1 packet says: the aggregation header (AV1 RTP payload format 1.0 §4.4), the layer in an OBU's extension header, and the size in
//! the sequence header (AV1 specification §5.3, §5.5). Where there is a dependency descriptor, that tells the layers instead.
//!
//! Without one only temporal layers are told apart: nothing in the payload says where the frame of a spatial layer ends, and a receiver waits
//! for the marker that stands behind the highest. So all spatial layers go together; no browser sends several without a descriptor.

use super::bits::Bits;
use super::facts::{Descriptor, Facts, Layer};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;

/// OBU elements of one packet that are looked at: temporal delimiter, sequence header, metadata, the frame.
const ELEMENTS_MAX: usize = 8;

/// `None` if it ends too early.
pub(super) fn read(payload: &[u8], descriptor: Option<Descriptor>) -> Option<Facts> {
    let first = *payload.first()?;
    let continues = continues(payload);
    let sequence_start = first & 0x08 != 0 && !continues && payload.len() > 1;
    let structure = descriptor.is_some_and(|d| d.start && d.structure);
    let keyframe = sequence_start || structure;
    let frame_start = descriptor.map_or(!continues, |d| d.start);
    let mut facts = Facts { keyframe, frame_start, sync: keyframe, spatial_sync: keyframe, ..Facts::default() };
    for element in elements(payload).skip(usize::from(continues)) {
        let Some((kind, layer, body)) = unit(element) else { break };
        match kind {
            SEQUENCE_HEADER => facts.size = sequence_size(body),
            TEMPORAL_DELIMITER => {}
            _ => {
                facts.layer = layer;
                break;
            }
        }
    }
    Some(facts)
}

/// The packet begins with the rest of an OBU, whose header came in an earlier one.
pub(super) fn continues(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & 0x80 != 0)
}

/// The OBU elements of a packet, as far as the lengths hold. Where their number is told, the last has no length.
fn elements(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let count = payload.first().map_or(0, |first| usize::from(first >> 4 & 3));
    let mut rest = payload.get(1..).unwrap_or_default();
    (1..=ELEMENTS_MAX).map_while(move |index| {
        if count > 0 && index >= count {
            return Some(std::mem::take(&mut rest)).filter(|element| index == count && !element.is_empty());
        }
        let (len, behind) = leb128(rest)?;
        let element = behind.get(..len)?;
        rest = &behind[len..];
        Some(element)
    })
}

/// A length of up to four bytes, which is more than a packet holds, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Kind, layer and contents of an OBU.
fn unit(element: &[u8]) -> Option<(u8, Layer, &[u8])> {
    let (header, mut body) = element.split_first()?;
    let mut layer = Layer::default();
    if header & 0x04 != 0 {
        let (extension, behind) = body.split_first()?;
        layer = Layer::clamped(0, extension >> 5);
        body = behind;
    }
    if header & 0x02 != 0 {
        body = leb128(body)?.1;
    }
    Some((header >> 3 & 15, layer, body))
}

/// The largest frame that a sequence header announces.
fn sequence_size(body: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::new(body);
    bits.skip(4)?;
    if bits.flag()? {
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
    Some((width.min(0xffff) as u16, height.min(0xffff) as u16))
}

fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? as usize + 1);
            bits.skip(42)?;
        }
    }
    let initial_delay = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        if bits.take(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if initial_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(start: bool, structure: bool) -> Option<Descriptor> {
        Some(Descriptor { start, end: false, template: 0, frame_number: 1, structure })
    }

    #[test]
    fn keyframes() {
        let key = |payload: &[u8], descriptor| read(payload, descriptor).unwrap().keyframe;
        assert!(key(&[0x18, 0x0a], None));
        assert!(!key(&[0x10, 0x0a], None));
        assert!(!key(&[0x98, 0x0a], None), "a continuation");
        assert!(key(&[0x10, 0x32], descriptor(true, true)));
        assert!(!key(&[0x10, 0x32], descriptor(false, true)), "not its first packet");
        assert!(!key(&[0x10, 0x32], descriptor(true, false)));
    }

    #[test]
    fn the_layer_of_the_frame() {
        let layer = |payload: &[u8]| read(payload, None).unwrap().layer;
        let temporal = |temporal| Layer { spatial: 0, temporal };
        // One element: a frame with extension, temporal 1, spatial 2.
        assert_eq!(layer(&[0x10, 0x34, 0x30, 0xff]), temporal(1));
        // Two: sequence header with its length, then the frame; three with a delimiter; any number with lengths.
        assert_eq!(layer(&[0x20, 1, 0x08, 0x34, 0x20]), temporal(1));
        assert_eq!(layer(&[0x30, 1, 0x10, 1, 0x08, 0x34, 0x40]), temporal(2));
        assert_eq!(layer(&[0x00, 1, 0x10, 2, 0x34, 0x40]), temporal(2));
        // Without extension; beyond our layers; the rest of one OBU and then another.
        assert_eq!(layer(&[0x10, 0x30, 0xff]), Layer::default());
        assert_eq!(layer(&[0x10, 0x34, 0xf8]), temporal(2));
        assert_eq!(layer(&[0xa0, 2, 0xff, 0xff, 0x34, 0x20]), temporal(1));
        // Lengths that lie.
        assert_eq!(layer(&[0x20, 9, 0x34, 0x20]), Layer::default());
        assert_eq!(layer(&[0x20, 0xff, 0xff, 0xff, 0xff, 0x34]), Layer::default());
    }

    #[test]
    fn the_sequence_header_tells_the_size() {
        let mut text = String::new();
        // Profile 0, not still, not reduced; no timing; no initial delay; two operating points, one with a tier; 11 and 10 bits; the size.
        for (value, bits) in [(0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (1, 5), (0x103, 12), (8, 5), (0, 1), (0x101, 12), (4, 5)] {
            text += &format!("{value:0bits$b}");
        }
        for (value, bits) in [(10, 4), (9, 4), (1279, 11), (719, 10), (0, 8)] {
            text += &format!("{value:0bits$b}");
        }
        let bits: Vec<u8> = text.bytes().map(|b| b - b'0').collect();
        let body: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit) << (8 - byte.len())).collect();
        assert_eq!(sequence_size(&body), Some((1280, 720)));
        let payload = [&[0x28, 1 + body.len() as u8, 0x08][..], &body, &[0x30, 0xff]].concat();
        let facts = read(&payload, None).unwrap();
        assert!(facts.keyframe && facts.sync);
        assert_eq!(facts.size, Some((1280, 720)));
        assert_eq!(sequence_size(&body[..6]), None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..50_000 {
            let bytes: Vec<u8> = (0..rng.usize(0..60)).map(|_| rng.u8(..)).collect();
            let _ = (read(&bytes, None), sequence_size(&bytes));
        }
    }
}
