//! Settings (being written on another branch).
/// Settings.
#[derive(Debug)]
pub struct Config;
