//! What changes inside a payload when it is copied into a datagram.

/// Codec fields that are continuous per slot and differ per publisher, so they are patched while the payload is copied into the datagram.
/// Offsets are from the start of the RTP payload, or of the dependency descriptor; they were found by the parser, so they lie inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Picture id of VP8 or VP9: offset, and the value with its width.
    pub picture_id: Option<PictureIdPatch>,
    /// TL0PICIDX of VP8 or VP9: offset and value.
    pub tl0_picture_index: Option<(u8, u8)>,
    /// Frame number of a dependency descriptor (bytes 1 and 2 of the extension).
    pub frame_number: Option<u16>,
}

/// A picture id that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureIdPatch {
    /// Where it begins.
    pub offset: u8,
    /// The value, 7 or 15 bits.
    pub value: u16,
    /// 15 bits in two bytes; otherwise 7 bits in one.
    pub wide: bool,
}

impl Patch {
    /// Writes the patched fields into a copy of the payload. Offsets outside are ignored.
    pub fn apply(&self, payload: &mut [u8]) {
        if let Some(p) = self.picture_id {
            let at = usize::from(p.offset);
            if p.wide {
                if let Some(two) = payload.get_mut(at..at + 2) {
                    two.copy_from_slice(&(p.value | 0x8000).to_be_bytes());
                }
            } else if let Some(one) = payload.get_mut(at) {
                *one = (p.value & 0x7f) as u8;
            }
        }
        if let Some((offset, value)) = self.tl0_picture_index
            && let Some(one) = payload.get_mut(usize::from(offset))
        {
            *one = value;
        }
    }
}
