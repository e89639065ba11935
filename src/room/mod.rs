//! A room: tracks × slots.
pub mod event;
pub use event::*;
