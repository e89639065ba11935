//! The load generator: bots that are real WebRTC clients join a room, and what they saw and what the server used is told. `wire` is a bad network to
//! put between any clients and the server; `ninefold-loadtest wire --help` explains it.
//!
//! Exit code 0: all bounds held. 1: one did not. 2: nothing could be measured, and stderr says why.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ninefold_loadtest::bot::Transport;
use ninefold_loadtest::http::Target;
use ninefold_loadtest::preset::{Plan, Preset, run};
use ninefold_loadtest::report::Report;
use ninefold_loadtest::units;
use ninefold_loadtest::wire::command::{WireArguments, run as run_wire};

/// Loads a Ninefold server with bots and measures it
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What is run
    #[arg(required = true)]
    preset: Option<Preset>,
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Target,
    /// The room; without it one with a name of its own
    #[arg(long)]
    room: Option<String>,
    /// Bots that send
    #[arg(long)]
    publishers: Option<usize>,
    /// Bots that only watch
    #[arg(long)]
    viewers: Option<usize>,
    /// How long it is measured, such as 500ms, 10s or 2m
    #[arg(long, default_value = "10s", value_parser = read_duration)]
    duration: Duration,
    /// Media by TCP (ICE-TCP), as where UDP is blocked
    #[arg(long)]
    tcp: bool,
    /// Where the result is written as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Wire(WireArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let held = match (&arguments.command, arguments.preset) {
        (Some(Command::Wire(wire)), _) => runtime().and_then(|runtime| runtime.block_on(run_wire(wire))).map(|()| true),
        (None, Some(preset)) => measure(&arguments, preset).map(|report| report.held()),
        (None, None) => unreachable!("clap requires one of them"),
    };
    match held {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())
}

fn measure(arguments: &Arguments, preset: Preset) -> Result<Report, String> {
    let (publishers, viewers) = preset.crowd();
    let plan = Plan {
        preset,
        target: arguments.url.clone(),
        room: arguments.room.clone().unwrap_or_else(|| format!("load-{:08x}", fastrand::u32(..))),
        publishers: arguments.publishers.unwrap_or(publishers),
        viewers: arguments.viewers.unwrap_or(viewers),
        duration: arguments.duration,
        transport: if arguments.tcp { Transport::Tcp } else { Transport::Udp },
    };
    if plan.publishers == 0 {
        return Err("there must be at least one publisher, or nothing is forwarded".to_owned());
    }
    let report = runtime()?.block_on(run(&plan)).map_err(|error| error.to_string())?;
    print!("{report}");
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, json + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(report)
}

fn read_duration(text: &str) -> Result<Duration, String> {
    let duration = units::duration(text)?;
    if duration.is_zero() { Err("nothing is measured in no time".to_owned()) } else { Ok(duration) }
}
