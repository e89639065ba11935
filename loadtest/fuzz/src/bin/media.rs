//! A publisher's packets: payloads as each codec has them, with extensions, through the facts, the rewriting and the header that leaves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::webrtc::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::media(bytes));
