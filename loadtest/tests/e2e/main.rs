//! End-to-end tests: the real binary on free ports, with bots over real sockets.
//!
//! Each test has a server of its own and ends it with SIGTERM. The binary is `NINEFOLD_BIN` or `target/release/ninefold`. Nothing sleeps to
//! wait for something: a condition is asked for until a deadline, which is generous, since a test machine may be busy.

mod data;
mod hostile;
mod janus;
mod load;
mod moderation;
mod network;
mod operations;
mod pages;
mod people;
mod protocol;
mod rest;
mod server;
mod settings;
mod strangers;
mod tcp;
mod whip;
mod wire;
