//! The people of a room.
pub mod event;
pub use event::*;
