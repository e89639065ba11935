//! Front ends.
pub mod protocol;
