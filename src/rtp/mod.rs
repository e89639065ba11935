//! What is known about RTP without any state of a call: packets, codec facts, and the arithmetic of forwarding.
//!
//! Everything here is total: strangers wrote the bytes. Nothing here knows rooms, peers, str0m, sockets or a clock.

pub mod clock;
pub mod facts;
pub mod head;
pub mod level;
pub mod packet;
pub mod red;
pub mod rewrite;

pub use clock::{Arrival, CaptureClock, SenderReport};
pub use facts::{Descriptor, Facts, PictureId};
pub use head::{Head, Place};
pub use level::Level;
pub use packet::{CaptureTime, Codec, Extensions, Kind, Packet};
pub use red::Red;
pub use rewrite::{Patch, PictureIdPatch, Refused, Rewriter, Rewritten, Starts};
