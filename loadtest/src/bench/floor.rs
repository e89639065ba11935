//! What nobody who sends SRTP can do without: encrypting. Fixed code; nothing of it is the server's.

use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// RTP header with the extensions that the server sends.
const HEADER: usize = 36;
const TAG: usize = 16;
/// What a datagram has beside its payload.
pub const OVERHEAD: usize = HEADER + TAG;

/// Nanoseconds for each packet of so many payload bytes, sealed once for each of so many receivers, in runs of `run` for one receiver as a frame has.
pub fn seal(receivers: usize, payload: usize, run: usize, packets: usize, wide: bool) -> f64 {
    let keys: Vec<LessSafeKey> = (0..receivers).map(|receiver| key(receiver, wide)).collect();
    let mut buffer = vec![7u8; HEADER + payload + TAG];
    let mut number = 0u64;
    let began = Instant::now();
    let rounds = (packets / (receivers * run)).max(1);
    for _ in 0..rounds {
        for key in &keys {
            for _ in 0..run {
                number += 1;
                seal_one(key, &mut buffer, number);
            }
        }
    }
    began.elapsed().as_nanos() as f64 / (rounds * receivers * run) as f64
}

/// Seals header, payload and room for the tag, in place.
pub fn seal_one(key: &LessSafeKey, buffer: &mut [u8], number: u64) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let end = buffer.len() - TAG;
    let (header, rest) = buffer.split_at_mut(HEADER);
    let (body, room) = rest.split_at_mut(end - HEADER);
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*header), body);
    room.copy_from_slice(tag.expect("a packet is short enough").as_ref());
}

/// A key for one receiver. `wide`: of 256 bits.
pub fn key(receiver: usize, wide: bool) -> LessSafeKey {
    let algorithm = if wide { &AES_256_GCM } else { &AES_128_GCM };
    let bytes = vec![receiver as u8; algorithm.key_len()];
    LessSafeKey::new(UnboundKey::new(algorithm, &bytes).expect("the length is the algorithm's"))
}
