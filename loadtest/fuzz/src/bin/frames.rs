//! A stranger's TCP stream, which must give the same datagrams however it is cut. The first byte says how.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::net::frames::Frames;

/// The datagrams of a stream that comes in such pieces, and whether it was one to its end.
fn read(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut datagrams) = (Frames::default(), vec![]);
    let whole = stream.chunks(piece).all(|piece| frames.handle(piece, |datagram| datagrams.push(datagram.to_vec())).is_ok());
    (datagrams, whole)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, stream)) = bytes.split_first() else { return };
    assert_eq!(read(stream, usize::from(*piece).max(1)), read(stream, usize::MAX));
});
