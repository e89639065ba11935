//! Ninefold.
pub mod api;
pub mod id;
pub mod limits;
pub mod rtp;
