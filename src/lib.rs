//! Ninefold.
pub mod api;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod people;
pub mod room;
pub mod rtp;
