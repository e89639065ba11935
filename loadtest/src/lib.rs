//! Clients of a Ninefold server that are no browsers: the load generator and the end-to-end tests are made of them.
//!
//! ```text
//! bot      one participant: signalling, media, a task              preset   how many bots do what for how long
//! client   its media, without a socket or a clock (str0m)          report   what came of it: table, JSON, bounds
//! media    made frames that say whose they are                     server   what the server says of itself (/metrics)
//! slot     one receive section: what came, what is missing         http     requests, as small as can be
//! seen     all that a bot has been told and has received           signal   the WebSocket
//! pictures which frames could be shown                             bad_network   the preset of that name
//! light    counts packets without decrypting them                  receipts the feedback that says what came when
//! wire     a bad network between clients and the server            units    `200ms`, `5%`, `500kbit`
//! carrier  what carries its datagrams: UDP, or frames by TCP        bench         what a packet costs, beside its floor
//! process  what the system says of a process (/proc)               target        the servers that bots can go to: ours, WHIP, Janus
//! kit      what a bot brings                                       peers         Ninefold and Janus side by side
//! ```
//!
//! The wire types are those of the server (`ninefold::api::protocol`). Light viewers have its SRTP too; nothing else of it is used.

pub mod bad_network;
pub mod bench;
pub mod bot;
pub mod carrier;
pub mod client;
pub mod http;
pub mod kit;
pub mod light;
pub mod media;
pub mod peers;
pub mod pictures;
pub mod preset;
pub mod process;
pub mod receipts;
pub mod report;
pub mod seen;
pub mod server;
pub mod signal;
pub mod slot;
pub mod target;
pub mod units;
pub mod wire;
