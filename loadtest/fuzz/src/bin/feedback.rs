//! RTCP of a receiver, as it is after decryption; and SCTP of a client, as far as it is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::webrtc::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::feedback(bytes));
