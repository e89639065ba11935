//! What an H.264 packet says (RFC 6184): where a NAL unit starts, and the size that a sequence parameter set tells (H.264 §7.3.2.1.1). The
//! payload knows no layers.

use super::bits::Bits;
use super::facts::Facts;

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Bytes of a parameter set that are looked at: enough for every scaling list.
const SPS_BYTES_MAX: usize = 512;

/// `None` if it ends too early.
pub(super) fn read(payload: &[u8]) -> Option<Facts> {
    let key = |header: u8| matches!(header & 0x1f, IDR | SPS);
    let first = *payload.first()?;
    let (frame_start, keyframe, size) = match first & 0x1f {
        1..STAP_A => (true, key(first), sps_size(payload)),
        STAP_A => (true, stap_units(&payload[1..]).any(|unit| key(unit[0])), stap_units(&payload[1..]).find_map(sps_size)),
        FU_A => {
            let header = *payload.get(1)?;
            let start = header & 0x80 != 0;
            (start, start && key(header), None)
        }
        _ => (false, false, None),
    };
    Some(Facts { frame_start, keyframe, sync: keyframe, spatial_sync: keyframe, size, ..Facts::default() })
}

/// The units in a STAP-A that are not empty, as far as the lengths hold. The loop ends because each step consumes at least two bytes.
fn stap_units(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let unit = tail.get(..length)?;
            rest = &tail[length..];
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// The size of the pictures, if `unit` is a sequence parameter set.
fn sps_size(unit: &[u8]) -> Option<(u16, u16)> {
    let (header, bytes) = unit.split_first()?;
    if header & 0x1f != SPS {
        return None;
    }
    let bytes = without_emulation(bytes);
    let mut bits = Bits::new(&bytes);
    let chroma = skip_to_size(&mut bits)?;
    let width = macroblocks(&mut bits)?;
    let map_units = macroblocks(&mut bits)?;
    let frames_only = bits.flag()?;
    // Fields are stored by pairs of lines, so a map unit is two macroblocks high; so is what is cut off.
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let (mut width, mut height) = (16 * width, 16 * fields * map_units);
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut cut = |unit: u32| Some(bits.exp_golomb()?.saturating_add(bits.exp_golomb()?).saturating_mul(unit));
        width = width.checked_sub(cut(unit_x)?)?;
        height = height.checked_sub(cut(unit_y * fields)?)?;
    }
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// A size in macroblocks, written less one; more than 65,535 pixels are none.
fn macroblocks(bits: &mut Bits<'_>) -> Option<u32> {
    bits.exp_golomb().filter(|n| *n < 4096).map(|n| n + 1)
}

/// Reads what stands before the size; the chroma format comes out, in whose steps the size is cut.
fn skip_to_size(bits: &mut Bits<'_>) -> Option<u32> {
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.exp_golomb()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.exp_golomb()?;
        // Three planes coded apart are cut like pictures without colour.
        let apart = chroma == 3 && bits.flag()?;
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        chroma = if apart { 0 } else { chroma };
    }
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.skip(1)?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            // 255 at most (§7.4.2.1.1).
            for _ in 0..bits.exp_golomb().filter(|n| *n <= 255)? {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.exp_golomb()?;
    bits.skip(1)?;
    Some(chroma)
}

/// §7.3.2.1.1.1: differences, until one of them leads to zero.
fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let mut last = 8i64;
    for _ in 0..len {
        let code = i64::from(bits.exp_golomb()?);
        let delta = if code & 1 == 1 { (code + 1) / 2 } else { -code / 2 };
        last = (last + delta).rem_euclid(256);
        if last == 0 {
            return Some(());
        }
    }
    Some(())
}

/// The bytes without the 3 that stands behind two zeros (§7.4.1).
fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(SPS_BYTES_MAX)];
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(payload: &[u8]) -> bool {
        read(payload).unwrap().keyframe
    }

    #[test]
    fn units() {
        assert!(key(&[0x67, 1]));
        assert!(key(&[0x65, 1]));
        assert!(!key(&[0x68, 1]), "PPS alone");
        assert!(!key(&[0x41, 1]));
        assert!(key(&[0x18, 0, 1, 0x09, 0, 2, 0x67, 0]), "STAP-A: AUD, SPS");
        assert!(!key(&[0x18, 0, 1, 0x41, 0, 9, 0x67]), "the length lies");
        assert!(!key(&[0x18, 0, 0, 0, 0, 0]), "empty units");
        assert!(key(&[0x7c, 0x85, 1]), "FU-A start of an IDR");
        assert!(!key(&[0x7c, 0x05, 1]), "FU-A middle");
        assert!(!key(&[0x7c, 0x81, 1]));
    }

    /// Bits as text, to bytes.
    fn bytes(text: &str) -> Vec<u8> {
        let bits: Vec<u8> = text.bytes().filter(|b| matches!(b, b'0' | b'1')).map(|b| b - b'0').collect();
        bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit) << (8 - byte.len())).collect()
    }

    fn ue(n: u32) -> String {
        let n = n + 1;
        format!("{}{n:b}", "0".repeat(n.ilog2() as usize))
    }

    #[test]
    fn a_parameter_set_tells_the_size() {
        // What x264 and OpenH264 write: 1280x720 baseline, and 1920x1080 high with eight lines cut off.
        let baseline = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x00, 0xf0, 0x88, 0x45, 0x38];
        assert_eq!(read(&baseline).unwrap().size, Some((1280, 720)));
        let high = format!(
            "{:08b}{:08b}{:08b} {} {}{}{}00 {}{}{} {}0 {}{} 1 1 1{}{}{}{} 0 1",
            100,
            0,
            40,
            ue(0),
            ue(1),
            ue(0),
            ue(0),
            ue(0),
            ue(2),
            ue(4),
            "",
            ue(119),
            ue(67),
            ue(0),
            ue(0),
            ue(0),
            ue(4)
        );
        let high = [vec![0x67], bytes(&high)].concat();
        assert_eq!(read(&high).unwrap().size, Some((1920, 1080)));
        let stap = [&[0x18, 0, high.len() as u8][..], &high, &[0, 1, 0x68]].concat();
        let facts = read(&stap).unwrap();
        assert!(facts.keyframe);
        assert_eq!(facts.size, Some((1920, 1080)));
        for len in 0..high.len() {
            let _ = read(&high[..len]);
        }
        assert_eq!(read(&high[..8]).unwrap().size, None, "cut off");
        assert_eq!(read(&[0x65, 1]).unwrap().size, None);
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        assert_eq!(without_emulation(&[0, 0, 3, 1, 0, 0, 0, 3, 3, 0, 3]), [0, 0, 1, 0, 0, 0, 3, 0, 3]);
    }

    #[test]
    fn any_parameter_set_is_survived() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..50_000 {
            let mut unit: Vec<u8> = (0..rng.usize(1..80)).map(|_| if rng.bool() { rng.u8(..) } else { 0xff }).collect();
            unit[0] = 0x67;
            if let (Some(profile), true) = (unit.get_mut(1), rng.bool()) {
                *profile = 100;
            }
            let _ = sps_size(&unit);
        }
    }
}
