//! Redundant audio (RFC 2198): a packet that carries earlier ones once more in front of its own sound.
//!
//! ```text
//! 1 type offset length │ 1 type offset length │ 0 type │ sound of n−2 │ sound of n−1 │ sound of n
//! ```
//!
//! It is read once, where it arrives: everything else knows the sound of its own only, and hands the whole on to receivers that want it.

/// Earlier packets in one. libwebrtc sends one and takes at most this many; more is nobody's.
pub const BLOCKS_MAX: usize = 8;

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red<'a> {
    /// Four bytes for each earlier packet.
    headers: &'a [u8],
    /// Their sound, one after another.
    earlier: &'a [u8],
    /// Payload type of all sound in it.
    pub pt: u8,
    /// The packet's own sound, not empty.
    pub primary: &'a [u8],
}

/// The sound of an earlier packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// By how many ticks it is earlier.
    pub offset: u32,
    /// The sound.
    pub sound: &'a [u8],
}

impl<'a> Red<'a> {
    /// `None` if it is not whole, or if not all in it is of one payload type: no other was agreed upon.
    pub fn parse(payload: &'a [u8]) -> Option<Red<'a>> {
        let (mut at, mut length) = (0, 0);
        while payload.get(at)? & 0x80 != 0 {
            let header = payload.get(at..at + 4).filter(|_| at < 4 * BLOCKS_MAX)?;
            length += block_length(header);
            at += 4;
        }
        let pt = payload[at];
        let (headers, rest) = (&payload[..at], &payload[at + 1..]);
        let (earlier, primary) = rest.split_at_checked(length)?;
        let one_type = headers.chunks_exact(4).all(|header| header[0] & 0x7f == pt);
        (one_type && !primary.is_empty()).then_some(Red { headers, earlier, pt, primary })
    }

    /// The earlier packets, oldest first as browsers send them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> {
        self.headers.chunks_exact(4).scan(self.earlier, |rest, header| {
            let (sound, after) = rest.split_at_checked(block_length(header))?;
            *rest = after;
            let offset = u32::from(header[1]) << 6 | u32::from(header[2] >> 2);
            Some(Block { offset, sound })
        })
    }

    /// The sound of the packets that are missing before this one: how many packets earlier, and the block. Told by time: `gap` packets are missing
    /// since one that is `ticks` earlier, and they are as long as each other; where they are not, as around silence, nothing is said.
    pub fn missing(&self, gap: u64, ticks: u32) -> impl Iterator<Item = (u64, Block<'a>)> {
        let steps = gap + 1;
        let back = move |block: &Block<'a>| {
            let scaled = u64::from(block.offset) * steps;
            let back = scaled.checked_div(u64::from(ticks)).filter(|back| (1..=gap).contains(back))?;
            scaled.is_multiple_of(u64::from(ticks)).then_some(back)
        };
        self.blocks().filter(|block| !block.sound.is_empty()).filter_map(move |block| Some((back(&block)?, block)))
    }
}

/// Gives all sound in a payload that was parsed the payload type that its receiver has for it.
pub fn renumber(payload: &mut [u8], pt: u8) {
    for at in (0..).step_by(4) {
        let Some(first) = payload.get_mut(at) else { return };
        let more = *first & 0x80;
        *first = more | pt & 0x7f;
        if more == 0 {
            return;
        }
    }
}

fn block_length(header: &[u8]) -> usize {
    usize::from(header[2] & 3) << 8 | usize::from(header[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two earlier packets of 2 and 1 bytes, 1,920 and 960 ticks ago, before one of 3.
    const TWO: [u8; 15] = [0x80 | 111, 30, 0, 2, 0x80 | 111, 15, 0, 1, 111, 1, 2, 3, 4, 5, 6];

    #[test]
    fn blocks_are_found() {
        let red = Red::parse(&TWO).unwrap();
        assert_eq!((red.pt, red.primary), (111, &[4u8, 5, 6][..]));
        let blocks: Vec<_> = red.blocks().collect();
        assert_eq!(blocks, [Block { offset: 1_920, sound: &[1, 2] }, Block { offset: 960, sound: &[3] }]);
        assert_eq!(Red::parse(&[111, 9]).map(|red| red.primary.len()), Some(1), "none is enough");
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for len in 0..TWO.len() - 2 {
            assert_eq!(Red::parse(&TWO[..len]), None, "{len}");
        }
        let mut other = TWO;
        other[4] = 0x80 | 8;
        assert_eq!(Red::parse(&other), None, "another codec");
        let many = [[0x80 | 111, 0, 0, 0].repeat(BLOCKS_MAX + 1), vec![111, 1]].concat();
        assert_eq!(Red::parse(&many), None);
        assert!(Red::parse(&many[4..]).is_some());
    }

    #[test]
    fn types_are_given_anew() {
        let mut payload = TWO;
        renumber(&mut payload, 109);
        assert_eq!([payload[0], payload[4], payload[8]], [0x80 | 109, 0x80 | 109, 109]);
        assert_eq!((payload[1..4].to_vec(), payload[5..8].to_vec(), &payload[9..]), (TWO[1..4].to_vec(), TWO[5..8].to_vec(), &TWO[9..]));
        renumber(&mut [0x80; 5], 1);
        renumber(&mut [], 1);
    }

    #[test]
    fn missing_packets_are_told_by_their_time() {
        let red = Red::parse(&TWO).unwrap();
        let missing = |gap, ticks| red.missing(gap, ticks).map(|(back, block)| (back, block.sound.len())).collect::<Vec<_>>();
        assert_eq!(missing(0, 960), []);
        assert_eq!(missing(1, 1_920), [(1, 1)]);
        assert_eq!(missing(2, 2_880), [(2, 2), (1, 1)]);
        assert_eq!(missing(5, 5_760), [(2, 2), (1, 1)]);
        assert_eq!(missing(1, 48_000), [], "a silence lies in between");
        assert_eq!(missing(1, 0), []);
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..rng.usize(..40)).map(|_| if rng.bool() { rng.u8(..) } else { rng.u8(..4) | 0x80 }).collect();
            if let Some(red) = Red::parse(&bytes) {
                let length = red.blocks().map(|block| block.sound.len()).sum::<usize>();
                assert_eq!(length + red.primary.len() + red.headers.len() + 1, bytes.len());
                assert!(red.missing(rng.u64(..9), rng.u32(..)).count() <= BLOCKS_MAX);
            }
            renumber(&mut bytes, 5);
        }
    }
}
