//! Datagrams that reach a connection before anything is authentic: STUN, DTLS, RTP and RTCP, one after the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::webrtc::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::datagrams(bytes));
