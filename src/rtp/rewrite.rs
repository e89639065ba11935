//! What a forwarded packet says differently from the received one.

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

/// The header fields of one packet in one slot. The payload stays shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Sequence number in the slot, extended; the lower 16 bits go to the wire and the rest is the rollover counter. Starts below 65,536, and no
    /// value is given out twice. It may step back for packets that come out of order.
    pub seq: u64,
    /// RTP timestamp in the slot.
    pub timestamp: u32,
    /// What changes in payload and descriptor.
    pub patch: Patch,
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
