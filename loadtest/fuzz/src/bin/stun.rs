//! A datagram of a stranger, as far as the demultiplexer reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::shard::fuzz_demux;

fuzz_target!(|bytes: &[u8]| fuzz_demux(bytes));
