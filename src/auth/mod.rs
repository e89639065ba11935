//! Who may do what: what a token grants, and what somebody without one may do. Bytes, keys and a time in; grants or a refusal out.
//!
//! Nothing here knows HTTP, rooms in being or a clock.

pub mod grants;
pub mod secret;

pub use grants::{Grants, Publish, Rights, Rooms};
pub use secret::Secret;
