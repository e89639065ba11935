//! A publisher's packets with their layers: dependency descriptors and payloads, through the choice of layers and the numbers that leave.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::webrtc::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::layers(bytes));
