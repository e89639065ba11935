//! An SDP offer of a stranger: it is refused or answered, and neither breaks anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::webrtc::fuzz;

fuzz_target!(|text: &str| {
    fuzz::offer(text);
});
