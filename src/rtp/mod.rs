//! What is known about RTP without any state of a call: packets, codec facts, and the arithmetic of forwarding.
//!
//! Everything here is total: strangers wrote the bytes. Nothing here knows rooms, peers, str0m, sockets or a clock.

mod av1;
mod bits;
pub mod clock;
mod counter;
mod descriptor;
pub mod facts;
mod h264;
pub mod head;
pub mod level;
pub mod packet;
pub mod patch;
pub mod reader;
pub mod red;
pub mod rewrite;
pub mod select;
mod shift;
pub mod targets;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

pub use clock::{Arrival, CaptureClock, SenderReport};
pub use facts::{Descriptor, Facts, LAYER_MAX, Layer, PictureId};
pub use head::{Head, Place};
pub use level::Level;
pub use packet::{CaptureTime, Codec, Extensions, Kind, Packet};
pub use patch::{Patch, PictureIdPatch};
pub use reader::Reader;
pub use red::Red;
pub use rewrite::{Refused, Rewriter, Rewritten, Starts};
pub use select::{Choice, Selector};
pub use targets::{Serving, Targets};
