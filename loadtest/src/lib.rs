//! Clients of a Ninefold server that are no browsers: the load generator and the end-to-end tests are made of them.
//!
//! ```text
//! bot      one participant: signalling, media, a task               scenario    what is run, as a value; a file in TOML
//! client   its media, without a socket or a clock (str0m)           written     how its values are written
//! light    counts packets without decrypting them                   preset      scenarios that are built in
//! receipts the feedback that says what came when                    schedule    who does what when, by a seed
//! media    made frames that say whose they are                      run         joins, does what is due, measures, leaves
//! slot     one receive section: what came, what is missing          step        what one bot does, as a task
//! seen     all that a bot has been told and has received            crowd       all bots, and what they received together
//! pictures which frames could be shown                              capacity    more and more bots until quality breaks
//! carrier  what carries its datagrams: UDP, or frames by TCP        bad_network a relay before each room, and its phases
//! signal   the WebSocket                                            server      what the server says of itself (/metrics)
//! http     requests, as small as can be                             process     what the system says of a process (/proc)
//! wire     a bad network between clients and the server             bench       what a packet costs, beside its floor
//! units    `200ms`, `5%`, `500kbit`
//!
//! series   what was counted second by second                        report      what came of it: JSON, one value
//! bounds   what must hold, and whether it did                       table       the same for people, as text
//! kit      what a bot brings                                        target      the servers that bots can go to: ours, WHIP, Janus
//! histogram  how often which value was seen                         html, svg   and as a page with plots
//! progress what is seen while it runs                               compare     two results side by side
//! peers    Ninefold and Janus side by side
//! ```
//!
//! The wire types are those of the server (`ninefold::api::protocol`). Light viewers have its SRTP too; nothing else of it is used.

pub mod bad_network;
pub mod bench;
pub mod bot;
pub mod bounds;
pub mod capacity;
pub mod carrier;
pub mod client;
pub mod compare;
pub mod crowd;
pub mod histogram;
mod html;
pub mod http;
pub mod kit;
pub mod light;
pub mod media;
pub mod peers;
pub mod pictures;
pub mod preset;
pub mod process;
pub mod progress;
pub mod receipts;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod seen;
pub mod series;
pub mod server;
pub mod signal;
pub mod slot;
pub mod step;
pub mod svg;
pub mod table;
pub mod target;
pub mod units;
pub mod wire;
pub mod written;
