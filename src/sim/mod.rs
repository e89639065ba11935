//! Whole calls on a virtual clock: real str0m clients, virtual links, the shard's core. Test code.
//!
//! ```text
//! Client (str0m) ⇄ Link (delay, loss, rate) ⇄ World ⇄ shard::Core
//! ```
//!
//! Time goes in steps of one millisecond, nothing waits for a real clock, and a seed decides everything random that is ours. In every scenario each
//! received packet is checked against what signalling said of its slot (`client`), and the core's invariants are checked as time goes
//! (`world`). A scenario that fails prints its seed. `scenarios` are calls, `moves` changes of address, `budgets` what one participant may have,
//! `hostile` what strangers and participants try, `churn` all of it at random and for hours.
//!
//! Publishers may send as encoders do (`encoder`, `payload`), and receivers count what a browser would show and play (`decoder`, `listener`).

mod client;
#[macro_use]
mod common;
mod budgets;
mod churn;
mod decoder;
mod encoder;
mod hostile;
mod link;
mod listener;
mod moves;
mod payload;
mod scenarios;
mod slot;
mod wire;
mod world;
