//! Who may do what: what a token grants, and what somebody without one may do. Bytes, keys and a time in; grants or a refusal out.
//!
//! ```text
//! keys      the keys of the settings        token    a JWT judged, or made
//! access    with a token and without        grants   what comes out
//! order     a token for the operator
//! ```
//!
//! Nothing here knows HTTP, rooms in being or a clock.

pub mod access;
pub mod grants;
pub mod keys;
pub mod order;
pub mod secret;
pub mod token;

pub use access::{Access, Unknown};
pub use grants::{Grants, Publish, Rights, Rooms};
pub use keys::{BadKey, Key, Keys, Signer, secret_line};
pub use order::{OrderError, TokenOrder, new_key_line};
pub use secret::Secret;
pub use token::{ANY_ROOM, Claims, Denied, Source, mint};
