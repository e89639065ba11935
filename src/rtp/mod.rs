//! What is known about RTP without any state of a call: packets, codec facts, and the arithmetic of forwarding.
//!
//! Everything here is total: strangers wrote the bytes. Nothing here knows rooms, peers, str0m, sockets or a clock.

pub mod packet;

pub use packet::{CaptureTime, Codec, Extensions, Kind, Packet};
pub mod rewrite;
pub use rewrite::{Patch, PictureIdPatch, Rewritten};
