//! `ninefold-loadtest wire`, as it is called.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::conditions::Change;
use super::control::Control;
use super::link::Counters;
use super::relay::{Relay, Report};
use super::script::Script;
use super::tcp::Passage;
use crate::units;

/// What `--help` says behind the options.
pub const HELP: &str = "\
Conditions are [shared.|client.N.][up.|down.]NAME=VALUE. Up is from clients to the server. Without up or down: both ways; without shared or
client: each client for itself, those to come too.

  delay=40ms          of every datagram
  jitter=20ms         delay plus or minus so much, in order; jitter=20ms/free lets datagrams overtake
  loss=5%             each datagram for itself
  burst=5%/4          5 % of all, in bursts of 4 on average (Gilbert-Elliott)
  reorder=1%/30ms     1 % come so much later, and others pass them
  duplicate=1%        come twice
  rate=500kbit        bits of UDP payload a second
  queue=200ms         what may wait for the rate, in time or bytes (60kB); what comes when it is full is dropped
  block=on            nothing passes
  outage=300ms        nothing passes for so long from now; what is under way arrives

All but queue and outage can be `off`. A script has lines such as: at 10s: down.rate=500kbit, down.queue=100ms

The server must announce the relay's address instead of its own, and media has one port for each shard, so there must be one shard:

  ninefold-loadtest wire --listen 127.0.0.1:20000 --to 127.0.0.1:10000 delay=20ms down.rate=3mbit
  NINEFOLD_MEDIA__ADVERTISE=127.0.0.1:20000 NINEFOLD_MEDIA__SHARDS=1 ninefold serve

When it is ready it prints `wire on 127.0.0.1:20000 control http://127.0.0.1:PORT`. While it runs:

  curl http://127.0.0.1:PORT                                                            counters of all links, the numbers of clients
  curl http://127.0.0.1:PORT --json '{\"down.rate\":\"500kbit\",\"client.2.loss\":\"5%\"}'      changes
  curl http://127.0.0.1:PORT/script --data-binary @evening.txt                          a script, from now
  curl -X POST http://127.0.0.1:PORT/rebind                                             the server sees all clients at other ports";

/// A bad network between clients and the server: a UDP relay
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct WireArguments {
    /// The server's media address
    #[arg(long)]
    to: SocketAddr,
    /// What clients send to
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// TCP connections to the same address pass as they are (ICE-TCP), as where only UDP is bad
    #[arg(long)]
    tcp: bool,
    /// Where changes are taken
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Changes at their times, from the beginning
    #[arg(long)]
    script: Option<PathBuf>,
    /// How long it runs; else until SIGINT or SIGTERM
    #[arg(long, value_parser = units::duration)]
    duration: Option<Duration>,
    /// Decides what is lost; else each run has another one
    #[arg(long)]
    seed: Option<u64>,
    /// Conditions from the beginning, such as down.rate=500kbit
    #[arg(value_name = "CONDITION")]
    conditions: Vec<Change>,
}

/// Runs it until its end, then tells what it has done.
pub async fn run(arguments: &WireArguments) -> Result<(), String> {
    let script = arguments.script.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| text.parse::<Script>()).map_err(|error| format!("{}: {error}", path.display()))
    });
    let script = script.transpose()?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let cannot = |address| move |error| format!("cannot listen on {address}: {error}");
    let passage = match arguments.tcp {
        true => Some(Passage::start(arguments.listen, arguments.to).await.map_err(cannot(arguments.listen))?),
        false => None,
    };
    let listen = passage.as_ref().map_or(arguments.listen, |passage| passage.address);
    let relay = Relay::start(listen, arguments.to, seed).await.map_err(cannot(listen))?;
    relay.change(arguments.conditions.clone()).await?;
    let control = Control::start(arguments.control, relay.clone()).await.map_err(cannot(arguments.control))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    if let Some(script) = script {
        relay.run(script).await?;
    }
    println!("wire on {} control http://{}", relay.address(), control.address);
    let over = async {
        match arguments.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| error.to_string())?,
    }
    print!("{}", told(&relay.report().await?));
    Ok(())
}

fn told(report: &Report) -> String {
    let way = |name: &str, counters: &Counters| {
        let Counters { packets_in, packets_out, lost, blocked, dropped, overflowed, duplicated, reordered, .. } = counters;
        format!(
            "{name:<5}{packets_in} in, {packets_out} out, {lost} lost, {blocked} blocked, {dropped} dropped by the queue, {duplicated} doubled, \
             {reordered} reordered, {overflowed} overflowed\n"
        )
    };
    let own = way("up", &report.figures.up) + &way("down", &report.figures.down);
    format!("{own}seed {}, {} unsent\n", report.seed, report.unsent)
}
