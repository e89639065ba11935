//! Ninefold: a WebRTC media server in one binary. This library is all of it; `main` only reads the command line.
//!
//! Start with the words. A [`room`] is a table of *tracks* × *slots*: a track is one published source, a slot one outgoing place of a peer whose
//! source may change at any time. [`people`] are not media: names, chat and the roster live beside the room. A *shard* is one thread that owns
//! rooms, their peers and one UDP port; the *door* is the only way from a front end into a shard. `ARCHITECTURE.md` at the top of the
//! repository has the five ideas behind this, four journeys through the code, and where to look for what.
//!
//! # The layers
//!
//! A module imports only modules with a smaller number; the same number means strangers. A test (`tidy`) reads the sources and fails
//! otherwise. Modules of this table that are not in the list below have not been written yet.
//!
//! ```text
//! 10  main  lib  tidy
//!  9  api                                  front ends, the wire types, the page
//!  8  jobs                                 what combines services with no request behind it
//!  7  mixer  record  gateway  cluster      services: never import each other
//!  6  sfu                                  the door
//!  5  shard                                room, people, webrtc and net meet only here
//!  4  webrtc  net                          peer connections; sockets and addresses
//!  3  people                               roster, chat, numbered events
//!  2  room                                 tracks, slots, forwarding
//!  1  config  metrics  codec  rtp  auth
//!  0  id  limits  rate
//! ```
//!
//! `rtp`, `auth`, `room`, `people`, `webrtc` and the shard's core see values, bytes and a `now`; never a socket, a task, a lock or a clock. So a
//! whole call is simulated on a virtual clock in `sim`, which is test code.

pub mod api;
pub mod auth;
pub mod config;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod people;
pub mod rate;
pub mod room;
pub mod rtp;
pub mod sfu;
pub mod shard;
pub mod webrtc;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tidy;
