//! The network's edges: which addresses to use, and the sockets on them. Knows nothing about rooms or WebRTC.

pub mod crowd;
pub mod frames;
pub mod interfaces;
pub mod tcp;
pub mod tls;
pub mod udp;
