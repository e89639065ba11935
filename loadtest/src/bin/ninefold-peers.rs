//! Ninefold and Janus side by side, as one command. As root, since both get a network of their own:
//!
//! ```text
//! ninefold-peers                          all cases, five rounds; the page is target/report/peers.md
//! ninefold-peers case --target janus …    one case at a server that runs already; figures as JSON
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ninefold::api::protocol::RoomMode;
use ninefold_loadtest::peers::{CASES, Case, Options, run};
use ninefold_loadtest::process::Process;
use ninefold_loadtest::target::Kind;
use ninefold_loadtest::units;
use tokio::signal::unix::{SignalKind, signal};

/// Compares Ninefold with Janus on this machine
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: Compare,
}

#[derive(Debug, Args)]
struct Compare {
    /// Runs of each server in each case
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each run is measured
    #[arg(long, default_value = "8s", value_parser = units::duration)]
    duration: Duration,
    /// Only cases with this in their names, such as `room` or `→ 20`
    #[arg(long)]
    only: Option<String>,
    /// Nine of ten viewers count packets without decrypting them
    #[arg(long)]
    light: bool,
    /// Also how many viewers each carries before quality breaks
    #[arg(long)]
    capacity: bool,
    /// Our server; without it the one beside this program
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the page goes
    #[arg(long, default_value = "target/report/peers.md")]
    page: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One case at a server that runs already on this machine
    Case(CaseArguments),
}

#[derive(Debug, Args)]
struct CaseArguments {
    /// Which kind of server
    #[arg(long, value_enum, default_value_t)]
    target: Kind,
    /// Its address
    #[arg(long)]
    url: String,
    /// Where one watches by WHEP, if it is not where one sends by WHIP
    #[arg(long)]
    whep_url: Option<String>,
    /// Its process
    #[arg(long)]
    pid: u32,
    /// The room
    #[arg(long, default_value = "peers")]
    room: String,
    /// Bots that send
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Bots that watch; none: those who send watch each other
    #[arg(long, default_value_t = 20)]
    viewers: usize,
    /// Nine of ten viewers count packets without decrypting them
    #[arg(long)]
    light: bool,
    /// Of each camera
    #[arg(long, default_value = "1500kbit", value_parser = units::bitrate)]
    bitrate: u64,
    /// How long it is measured
    #[arg(long, default_value = "8s", value_parser = units::duration)]
    duration: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let work = async {
        match arguments.command {
            Some(Command::Case(case)) => measure(&case).await,
            None => compare(&arguments.compare).await,
        }
    };
    // Whatever ends it, values are dropped, and with them servers, bots and networks.
    let done = tokio::select! {
        done = work => done,
        () = stopped() => Err("stopped".to_owned()),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn stopped() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        // Without handlers the system ends the program itself.
        Err(_) => std::future::pending().await,
    }
}

async fn compare(compare: &Compare) -> Result<String, String> {
    let beside = || std::env::current_exe().map(|this| this.with_file_name("ninefold")).map_err(|error| error.to_string());
    let ninefold = compare.server.clone().map_or_else(beside, Ok)?;
    if !ninefold.exists() {
        return Err(format!("there is no {}: build it first (make build), or say where it is with --server", ninefold.display()));
    }
    let wanted = |case: &Case| compare.only.as_ref().is_none_or(|only| case.name().contains(only));
    let cases: Vec<Case> = CASES.into_iter().filter(wanted).map(|case| Case { light: compare.light, ..case }).collect();
    if cases.is_empty() && !compare.capacity {
        let names = CASES.map(Case::name).join("; ");
        return Err(format!("no case has {:?} in its name; they are: {names}", compare.only.clone().unwrap_or_default()));
    }
    let Compare { rounds, duration, capacity, .. } = *compare;
    run(&Options { cases, rounds: rounds.max(1), duration, ninefold, capacity, page: compare.page.clone() }).await
}

async fn measure(arguments: &CaseArguments) -> Result<String, String> {
    let CaseArguments { publishers, viewers, duration, .. } = *arguments;
    if publishers == 0 || publishers + viewers < 2 {
        return Err("there must be somebody who sends and somebody who watches".to_owned());
    }
    let mode = if viewers > 0 { RoomMode::Broadcast } else { RoomMode::Conference };
    let entrance = arguments.target.entrance(&arguments.url, arguments.whep_url.as_deref(), &arguments.room, mode)?;
    let bitrate_bps = u32::try_from(arguments.bitrate).map_err(|_| "a camera has no more than 4gbit".to_owned())?;
    let case = Case { publishers, viewers, bitrate_bps, light: arguments.light };
    let figures = case.measure(&entrance, Process::find(arguments.pid)?, duration).await?;
    serde_json::to_string(&figures).map_err(|error| error.to_string())
}
