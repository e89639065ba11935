//! Benchmarks: what a packet costs, each beside its floor in the same run, because only ratios travel from one machine to another.
//!
//! ```text
//! forward   a shard without sockets: datagrams in, sealed datagrams out     floor: the cipher alone
//! stock     the same packets by str0m's own send path
//! floor     fixed code that shares nothing with the server
//! wire      the whole server with its sockets                         floor: cipher and sends
//! hall      a shard, its clients and a clock of its own
//! ```

pub mod floor;
pub mod forward;
pub mod hall;
pub mod stock;
pub mod wire;

/// The middle of these.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
