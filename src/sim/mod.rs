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
//! `adapt` is the bench of forwarding on networks that change. Its publishers send as encoders do (`encoder`), its receivers count what a browser
//! would show and play (`decoder`, `listener`), and what each run was like (`measure`) is set beside str0m's own send path (`yardstick`), in a table
//! and in plots (`report`, `plot`) in `target/report`.

mod client;
#[macro_use]
mod common;
mod adapt;
mod best;
mod budgets;
mod churn;
mod decoder;
mod encoder;
mod hostile;
mod link;
mod listener;
mod measure;
mod moves;
mod payload;
mod plot;
mod report;
mod scenarios;
mod slot;
mod steps;
mod wire;
mod world;
mod yardstick;
