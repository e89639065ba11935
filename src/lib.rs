//! Ninefold.
pub mod api;
pub mod config;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod people;
pub mod room;
pub mod rtp;
pub mod sfu;
pub mod shard;
pub mod webrtc;
