//! A shard: one thread with its rooms, its UDP port and its timers. Rooms, people, connections and sockets meet only here.
//!
//! [`Core`] is the shard without the thread: sans-IO, so that a whole call runs on a virtual clock. `run` gives it a socket, a clock and the
//! queue of [`command`]s. Inside: `demux` (whose is a datagram), `hall` (one room with its people), `timers`.

pub mod command;
mod core;
mod demux;
mod hall;
mod run;
mod timers;

pub use self::core::Core;
pub use self::run::{ShardConfig, ShardHandle, spawn};
