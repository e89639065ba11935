//! Datagrams on a stream (RFC 4571): each behind its length in two bytes.
//!
//! A frame is at most [`TCP_FRAME_BYTES_MAX`] long. What says that it is longer is no client of ours, and nothing behind it could be trusted to
//! be a frame: the stream is over.

use crate::limits::TCP_FRAME_BYTES_MAX;

/// Bytes before a frame.
const HEAD: usize = 2;

/// A frame that is longer than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Frames as they come in. Keeps the beginning of one that is not whole yet, and nothing else.
#[derive(Debug, Default)]
pub struct Frames {
    begun: Vec<u8>,
}

impl Frames {
    /// More of the stream: hands out every datagram that is whole. Empty frames say nothing and are skipped.
    pub fn handle(&mut self, mut bytes: &[u8], mut on: impl FnMut(&[u8])) -> Result<(), TooLong> {
        while !self.begun.is_empty() && !bytes.is_empty() {
            // Byte by byte at first, until the length is known.
            let wanted = length(&self.begun)?.map_or(HEAD, |length| HEAD + length);
            let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.begun.len()));
            self.begun.extend_from_slice(taken);
            bytes = rest;
            if let Some(length) = length(&self.begun)?
                && self.begun.len() == HEAD + length
            {
                hand_out(&self.begun[HEAD..], &mut on);
                self.begun.clear();
            }
        }
        while let Some(length) = length(bytes)?
            && bytes.len() >= HEAD + length
        {
            hand_out(&bytes[HEAD..HEAD + length], &mut on);
            bytes = &bytes[HEAD + length..];
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives back memory that is not in use.
    pub fn shrink(&mut self) {
        if self.begun.is_empty() {
            self.begun = vec![];
        }
    }
}

/// Writes a frame. The datagram is one of ours, or of str0m's, which are shorter than the maximum.
pub fn write(datagram: &[u8], out: &mut Vec<u8>) {
    debug_assert!(datagram.len() <= TCP_FRAME_BYTES_MAX);
    let Ok(length) = u16::try_from(datagram.len()) else { return };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(datagram);
}

/// Bytes that a datagram takes as a frame.
pub fn size(datagram: &[u8]) -> usize {
    HEAD + datagram.len()
}

/// Of the datagram at the beginning of `bytes`; `None`: it takes two bytes to know.
fn length(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*head));
    if length > TCP_FRAME_BYTES_MAX { Err(TooLong) } else { Ok(Some(length)) }
}

fn hand_out(datagram: &[u8], on: &mut impl FnMut(&[u8])) {
    if !datagram.is_empty() {
        on(datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(datagrams: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![];
        datagrams.iter().for_each(|datagram| write(datagram, &mut out));
        out
    }

    /// What comes out when the stream comes in such pieces.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, TooLong> {
        let (mut frames, mut got) = (Frames::default(), vec![]);
        for piece in pieces {
            frames.handle(piece, |datagram| got.push(datagram.to_vec()))?;
            assert!(frames.begun.len() < HEAD + TCP_FRAME_BYTES_MAX);
        }
        Ok(got)
    }

    #[test]
    fn a_frame_is_its_length_and_the_datagram() {
        assert_eq!(stream(&[b"abc", b"d"]), [0, 3, b'a', b'b', b'c', 0, 1, b'd']);
        assert_eq!(size(b"abc"), 5);
    }

    #[test]
    fn datagrams_are_the_same_however_the_stream_is_cut() {
        let longest = vec![7; TCP_FRAME_BYTES_MAX];
        let datagrams: [&[u8]; 4] = [b"a", b"bcd", &longest, b"e"];
        let all = stream(&datagrams);
        assert_eq!(read([&all[..]]).unwrap(), datagrams);
        assert_eq!(read(all.chunks(1)).unwrap(), datagrams);
        for cut in 0..all.len() {
            assert_eq!(read([&all[..cut], &all[cut..]]).unwrap(), datagrams, "cut at {cut}");
        }
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..200 {
            let mut rest = &all[..];
            let pieces: Vec<&[u8]> = std::iter::from_fn(|| {
                let (piece, left) = rest.split_at(rng.usize(0..1_500).min(rest.len()));
                rest = left;
                (!left.is_empty() || !piece.is_empty()).then_some(piece)
            })
            .collect();
            assert_eq!(read(pieces).unwrap(), datagrams);
        }
    }

    #[test]
    fn empty_frames_say_nothing() {
        let all = stream(&[b"", b"a", b"", b""]);
        assert_eq!(read([&all[..]]).unwrap(), [b"a"]);
        assert_eq!(read(all.chunks(1)).unwrap(), [b"a"]);
    }

    #[test]
    fn what_is_too_long_ends_the_stream_before_it_has_come() {
        let head = (TCP_FRAME_BYTES_MAX as u16 + 1).to_be_bytes();
        assert_eq!(read([&head[..]]), Err(TooLong));
        assert_eq!(read([&head[..1], &head[1..]]), Err(TooLong));
        let behind_another = [&stream(&[b"a"]), &head[..]].concat();
        assert_eq!(read([&behind_another[..]]), Err(TooLong));
        assert_eq!(read(behind_another.chunks(1)), Err(TooLong));
        // What other servers are asked: HTTP, TLS, and STUN without a frame, as TURN clients send it.
        assert_eq!(read([&b"GET / HTTP/1.1\r\n"[..]]), Err(TooLong));
        assert_eq!(read([&[0x16, 0x03, 0x01, 0x02, 0x00][..]]), Err(TooLong));
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_kept_within_bounds() {
        let mut rng = fastrand::Rng::with_seed(12);
        for _ in 0..2_000 {
            // Lengths that fit most of the time, so that many frames follow each other.
            let bytes: Vec<u8> = (0..rng.usize(0..4_000)).map(|_| if rng.u8(..) < 200 { rng.u8(..3) } else { rng.u8(..) }).collect();
            let mut frames = Frames::default();
            for piece in bytes.chunks(rng.usize(1..700)) {
                let read = frames.handle(piece, |datagram| assert!((1..=TCP_FRAME_BYTES_MAX).contains(&datagram.len())));
                assert!(frames.begun.len() < HEAD + TCP_FRAME_BYTES_MAX);
                if read.is_err() {
                    break;
                }
            }
        }
    }
}
