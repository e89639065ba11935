//! A shard: one thread with its rooms, its port (UDP and ICE-TCP) and its timers. Rooms, people, connections and sockets meet only here.
//!
//! [`Core`] is the shard without the thread: sans-IO, so that a whole call runs on a virtual clock. `run` gives it sockets, a clock and the
//! queue of [`command`]s. Inside: `demux` (whose is a datagram), `hall` (one room with its people), `timers`.

pub mod command;
mod core;
mod demux;
mod hall;
mod run;
mod timers;

pub use self::core::Core;
pub use self::run::{ShardConfig, ShardHandle, spawn};

/// The way for a fuzz target (`loadtest/fuzz`) to the demultiplexer: a datagram from an unknown and from a proven address.
#[cfg(fuzzing)]
pub fn fuzz_demux(datagram: &[u8]) {
    use crate::id::PeerId;
    use crate::webrtc::{self, stun};
    let [known, unknown] = [1, 2].map(|port| (webrtc::Transport::Udp, std::net::SocketAddr::from(([192, 0, 2, 1], port))));
    let mut demux = demux::Demux::default();
    assert!(demux.add(PeerId(1), "ours"));
    assert!(demux.prove(PeerId(1), known, std::time::Instant::now()));
    let found = demux.find(unknown, datagram);
    assert!(found.is_err() || stun::is_stun(datagram), "a stranger reached a peer");
    assert_eq!(demux.find(known, datagram).is_ok(), found.is_ok() || !stun::is_stun(datagram));
    let _ = (stun::nominates(datagram), stun::is_success(datagram), stun::transaction(datagram));
}
