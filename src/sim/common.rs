//! What all scenarios share: seeds, networks, and what people bring.

use std::time::Duration;

use str0m::format::Codec;

use super::client::{Kit, Media};
use super::world::Network;

/// One test for each seed, so that they run side by side and a failing one is named: `cargo nextest run --release SCENARIO::seed_07`.
macro_rules! seeds {
    ($($(#[$doc:meta])* $name:ident($seed:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            fn scenario($seed: u64) $body

            seeds!(@each seed_01 1, seed_02 2, seed_03 3, seed_04 4, seed_05 5, seed_06 6, seed_07 7, seed_08 8, seed_09 9, seed_10 10,
                seed_11 11, seed_12 12, seed_13 13, seed_14 14, seed_15 15, seed_16 16, seed_17 17, seed_18 18, seed_19 19, seed_20 20);
        }
    )*};
    (@each $($test:ident $number:literal),*) => {$(
        #[test]
        fn $test() {
            scenario($number);
        }
    )*};
}

pub const LAN: Network = Network { delay: Duration::from_millis(5), loss: 0.0 };
pub const LOSSY: Network = Network { delay: Duration::from_millis(20), loss: 0.05 };
pub const PERSON: Kit = Kit {
    layers: 1,
    microphone: true,
    video_slots: 9,
    audio_slots: 3,
    video: Codec::Vp8,
    both_codecs: false,
    redundancy: false,
    media: Media::Tiny,
};
pub const VIEWER: Kit = Kit { layers: 0, microphone: false, video_slots: 1, audio_slots: 1, ..PERSON };

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
