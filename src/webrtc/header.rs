//! Builds RTP headers with their extensions (RFC 3550, RFC 8285), straight into the datagram.

use crate::limits::DATAGRAM_BYTES_MAX;
use crate::rtp::{Extensions, Patch};

/// The ids under which one receiver wants one m-line's extensions; 0 = not negotiated. They differ between m-lines, offers and browsers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// RFC 9143 mid.
    pub mid: u8,
    /// abs-send-time.
    pub abs_send_time: u8,
    /// Transport-wide sequence number.
    pub transport: u8,
    /// RFC 6464.
    pub audio_level: u8,
    /// Video orientation.
    pub orientation: u8,
    /// abs-capture-time.
    pub capture_time: u8,
    /// AV1 dependency descriptor.
    pub descriptor: u8,
}

/// The longest descriptor that is passed on (a template structure of nine templates has about 80 bytes; str0m's receive path ends at 255).
const DESCRIPTOR_BYTES_MAX: usize = 255;

/// The fixed part of a header.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// Payload type.
    pub pt: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Sender.
    pub ssrc: u32,
    /// Contributing source.
    pub csrc: u32,
}

/// What only this hop says.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The m-line, while the receiver may not know the SSRC yet.
    pub mid: Option<&'a [u8]>,
    /// Transport-wide sequence number.
    pub transport: u16,
    /// abs-send-time, 24 bits of 6.18 fixed-point seconds.
    pub abs_send_time: u32,
}

/// Bytes that a header may take at most: fixed part, one CSRC, every extension in two-byte form.
pub const HEADER_BYTES_MAX: usize = 16 + 4 + 7 * 2 + 16 + 3 + 2 + 1 + 1 + 16 + DESCRIPTOR_BYTES_MAX + 3;
const _: () = assert!(HEADER_BYTES_MAX < DATAGRAM_BYTES_MAX);

struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
    two_byte: bool,
}

impl Writer<'_> {
    #[inline]
    fn element(&mut self, id: u8, bytes: &[u8]) {
        if self.two_byte {
            self.buf[self.at] = id;
            self.buf[self.at + 1] = bytes.len() as u8;
            self.at += 2;
        } else {
            self.buf[self.at] = id << 4 | (bytes.len() as u8).wrapping_sub(1) & 15;
            self.at += 1;
        }
        self.buf[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Writes a header into `buf`, which has at least [`HEADER_BYTES_MAX`] bytes; returns its length.
#[inline]
pub fn write(buf: &mut [u8], fixed: Fixed, ids: &ExtensionIds, hop: Hop<'_>, ext: &Extensions, patch: &Patch) -> usize {
    buf[0] = 0x91; // version 2, extension, one CSRC
    buf[1] = fixed.pt & 0x7f | u8::from(fixed.marker) << 7;
    buf[2..4].copy_from_slice(&fixed.seq.to_be_bytes());
    buf[4..8].copy_from_slice(&fixed.timestamp.to_be_bytes());
    buf[8..12].copy_from_slice(&fixed.ssrc.to_be_bytes());
    buf[12..16].copy_from_slice(&fixed.csrc.to_be_bytes());
    let descriptor = ext.descriptor.as_deref().filter(|d| ids.descriptor > 0 && d.len() <= DESCRIPTOR_BYTES_MAX && !d.is_empty());
    let highest_id = [ids.mid, ids.abs_send_time, ids.transport, ids.audio_level, ids.orientation, ids.capture_time, ids.descriptor];
    let two_byte = descriptor.is_some_and(|d| d.len() > 16) || highest_id.iter().any(|id| *id > 14);
    let mut w = Writer { buf, at: 20, two_byte };
    hop_elements(&mut w, ids, hop);
    forwarded_elements(&mut w, ids, ext);
    if let Some(descriptor) = descriptor {
        let from = w.at + if two_byte { 2 } else { 1 };
        w.element(ids.descriptor, descriptor);
        if let (Some(number), true) = (patch.frame_number, descriptor.len() >= 3) {
            w.buf[from + 1..from + 3].copy_from_slice(&number.to_be_bytes());
        }
    }
    let at = w.at;
    let end = at.next_multiple_of(4);
    buf[at..end].fill(0);
    if end == 20 {
        buf[0] = 0x81; // nothing to say
        return 16;
    }
    let profile: u16 = if two_byte { 0x1000 } else { 0xbede };
    buf[16..18].copy_from_slice(&profile.to_be_bytes());
    buf[18..20].copy_from_slice(&((end - 20) as u16 / 4).to_be_bytes());
    end
}

#[inline]
fn hop_elements(w: &mut Writer<'_>, ids: &ExtensionIds, hop: Hop<'_>) {
    if let Some(mid) = hop.mid.filter(|m| ids.mid > 0 && !m.is_empty() && m.len() <= 16) {
        w.element(ids.mid, mid);
    }
    if ids.transport > 0 {
        w.element(ids.transport, &hop.transport.to_be_bytes());
    } else if ids.abs_send_time > 0 {
        w.element(ids.abs_send_time, &hop.abs_send_time.to_be_bytes()[1..]);
    }
}

#[inline]
fn forwarded_elements(w: &mut Writer<'_>, ids: &ExtensionIds, ext: &Extensions) {
    if let Some(level) = ext.audio_level.filter(|_| ids.audio_level > 0) {
        w.element(ids.audio_level, &[level & 0x7f | u8::from(ext.voice) << 7]);
    }
    if let Some(orientation) = ext.orientation.filter(|_| ids.orientation > 0) {
        w.element(ids.orientation, &[orientation]);
    }
    if let Some(time) = ext.capture_time.filter(|_| ids.capture_time > 0) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&time.ntp.to_be_bytes());
        if let Some(offset) = time.offset {
            bytes[8..].copy_from_slice(&offset.to_be_bytes());
            w.element(ids.capture_time, &bytes);
        } else {
            w.element(ids.capture_time, &bytes[..8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::CaptureTime;

    const FIXED: Fixed = Fixed { pt: 96, marker: true, seq: 0x0102, timestamp: 3, ssrc: 4, csrc: 5 };

    #[test]
    fn nothing_negotiated_is_a_header_without_extensions() {
        let mut buf = [0xaa; HEADER_BYTES_MAX];
        let hop = Hop { mid: Some(b"0"), transport: 7, abs_send_time: 8 };
        let len = write(&mut buf, FIXED, &ExtensionIds::default(), hop, &Extensions::default(), &Patch::default());
        assert_eq!(buf[..len], [0x81, 0xe0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
    }

    #[test]
    fn one_byte_form() {
        let mut buf = [0xaa; HEADER_BYTES_MAX];
        let ids = ExtensionIds { mid: 4, transport: 3, abs_send_time: 2, audio_level: 1, ..ExtensionIds::default() };
        let ext = Extensions { audio_level: Some(30), voice: true, ..Extensions::default() };
        let len = write(&mut buf, FIXED, &ids, Hop { mid: Some(b"10"), transport: 0x0809, abs_send_time: 1 }, &ext, &Patch::default());
        assert_eq!(buf[0], 0x91);
        assert_eq!(buf[16..len], [0xbe, 0xde, 0, 2, 0x41, b'1', b'0', 0x31, 8, 9, 0x10, 0x80 | 30]);
    }

    #[test]
    fn a_long_descriptor_takes_the_two_byte_form_and_its_frame_number_is_patched() {
        let mut buf = [0xaa; HEADER_BYTES_MAX];
        let ids = ExtensionIds { descriptor: 12, ..ExtensionIds::default() };
        let ext = Extensions { descriptor: Some(vec![0x80; 20].into()), ..Extensions::default() };
        let patch = Patch { frame_number: Some(0x1234), ..Patch::default() };
        let len = write(&mut buf, FIXED, &ids, Hop { mid: None, transport: 0, abs_send_time: 0 }, &ext, &patch);
        assert_eq!(buf[16..25], [0x10, 0, 0, 6, 12, 20, 0x80, 0x12, 0x34]);
        assert_eq!(len, 20 + 24);
    }

    #[test]
    fn the_largest_header_fits() {
        let mut buf = [0; HEADER_BYTES_MAX];
        let ids = ExtensionIds { mid: 16, abs_send_time: 15, transport: 0, audio_level: 9, orientation: 8, capture_time: 7, descriptor: 6 };
        let ext = Extensions {
            audio_level: Some(1),
            voice: false,
            orientation: Some(1),
            capture_time: Some(CaptureTime { ntp: 1, offset: Some(-1) }),
            descriptor: Some(vec![1; DESCRIPTOR_BYTES_MAX].into()),
        };
        let len = write(&mut buf, FIXED, &ids, Hop { mid: Some(&[b'm'; 16]), transport: 0, abs_send_time: 0 }, &ext, &Patch::default());
        assert!(len <= HEADER_BYTES_MAX);
    }
}
