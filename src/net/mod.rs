//! The network's edges: which addresses to use, and the sockets on them. Knows nothing about rooms or WebRTC.

pub mod interfaces;
pub mod udp;
