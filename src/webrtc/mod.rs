//! str0m behind our words: one connection, and what its slots send.
//!
//! | file | what it knows |
//! |---|---|
//! | [`Peer`] (`peer`, `drive`) | one client's connection; every change of the `Rtc` and every drain |
//! | [`Offer`], [`Answer`] (`offer`) | SDP as text: bounds, sections, layers |
//! | `egress`, `counters`, `sending`, `header`, `history`, `outbox`, `repeats`, `report`, `srtp` | the send side, which is ours |
//! | `pacer` | when a packet leaves |
//! | `bwe` | how much a receiver's link carries |
//! | `feedback`, `ledger`, `replay` | the RTCP that receivers send, and which packets it speaks of |
//! | `redundancy` | sound that carries what went before it |
//! | [`Path`] (`path`), `route` | the ways to the client; which one media takes, and for how long |
//! | `tap` | the keys, copied from DTLS; SCTP looked at as it comes out |
//! | `sctp` | which streams a packet of data channels opens |
//! | `stun` | whom a connectivity check is for |
//! | `translate` | codecs, extensions and packets in our words |
//!
//! Pure like the rest of the core: bytes and `now` come in, bytes and events go out. Nothing here knows sockets, rooms' policies or names.

mod bwe;
mod counters;
mod drive;
mod egress;
mod feedback;
#[cfg(fuzzing)]
pub mod fuzz;
mod header;
mod history;
mod ledger;
mod offer;
mod outbox;
mod pacer;
mod path;
mod peer;
mod redundancy;
mod repeats;
mod replay;
mod report;
mod route;
mod sctp;
mod sending;
pub mod srtp;
pub mod stun;
pub mod tap;
mod translate;

pub use bwe::Estimate;

pub use offer::{Answer, Offer, OfferError, OfferedSection, VideoCodec};
pub use outbox::Outbox;
pub use path::{Path, Source, Transport};
pub use peer::{CloseReason, Negotiated, Peer, PeerConfig, PeerEvent, Published};
pub use tap::certificate;
pub use translate::{ntp_time, ntp_time_to_unix_ms};
