//! A shard: one thread with its rooms.
pub mod command;
