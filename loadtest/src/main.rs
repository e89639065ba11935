//! The load generator: bots that are real WebRTC clients join rooms, and what they saw and what the server used is told. `run` takes a scenario from a
//! file, `compare` sets two results side by side, and `wire` is a bad network to put between any clients and the server.
//!
//! Exit code 0: all bounds held. 1: one did not, or it ended early. 2: nothing could be measured, and stderr says why.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ninefold_loadtest::bot::Transport;
use ninefold_loadtest::compare::Comparison;
use ninefold_loadtest::http::Target;
use ninefold_loadtest::preset::{Numbers, Preset};
use ninefold_loadtest::process::Process;
use ninefold_loadtest::progress::Progress;
use ninefold_loadtest::report::Report;
use ninefold_loadtest::run::{Plan, Stop, measure};
use ninefold_loadtest::scenario::Scenario;
use ninefold_loadtest::wire::command::{WireArguments, run as run_wire};
use ninefold_loadtest::{capacity, units};
use tokio::signal::unix::{SignalKind, signal};

/// Sockets of a bot: its WebSocket and its media.
const FILES_PER_BOT: u64 = 2;
/// Files of everything else.
const FILES_OTHER: u64 = 100;
/// A step of a search is no longer than it must be.
const STEP: Duration = Duration::from_secs(5);

/// Loads a Ninefold server with bots and measures it
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What is run
    #[arg(required = true)]
    preset: Option<Preset>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a scenario from a file
    Run {
        /// The scenario, in TOML; loadtest/scenarios has examples
        scenario: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Sets two results side by side that --json has written
    Compare {
        /// The one
        a: PathBuf,
        /// The other
        b: PathBuf,
    },
    Wire(WireArguments),
}

#[derive(Debug, Args)]
struct Options {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Target,
    /// The room, or what the names of several begin with; without it a name of its own
    #[arg(long)]
    room: Option<String>,
    /// Bots that send, in each room
    #[arg(long)]
    publishers: Option<usize>,
    /// Bots that only watch, in each room
    #[arg(long)]
    viewers: Option<usize>,
    /// Rooms of each kind
    #[arg(long)]
    rooms: Option<usize>,
    /// How long it is measured, such as 500ms, 10s or 2m; with --find-capacity, each step
    #[arg(long, value_parser = read_duration)]
    duration: Option<Duration>,
    /// All of a group join within this time
    #[arg(long, value_parser = units::duration)]
    ramp: Option<Duration>,
    /// Share of viewers that count packets without decrypting them, such as 90%
    #[arg(long, value_parser = units::share)]
    light: Option<f64>,
    /// More and more viewers (where there are none: people) until a bound breaks
    #[arg(long)]
    find_capacity: bool,
    /// Media by TCP (ICE-TCP), as where UDP is blocked
    #[arg(long)]
    tcp: bool,
    /// Number of the server's process, where it runs on this machine: then its context switches are counted too
    #[arg(long)]
    pid: Option<u32>,
    /// Where the result is written as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the result is written as a page with plots
    #[arg(long)]
    html: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let held = match (&arguments.command, arguments.preset) {
        (Some(Command::Wire(wire)), _) => runtime().and_then(|runtime| runtime.block_on(run_wire(wire))).map(|()| true),
        (Some(Command::Compare { a, b }), _) => Comparison::read([a, b]).map(|comparison| print!("{comparison}")).map(|()| true),
        (Some(Command::Run { scenario, options }), _) => {
            Scenario::read(scenario).map_err(|error| error.to_string()).and_then(|scenario| load(scenario, options))
        }
        (None, Some(preset)) => load(preset.scenario(), &arguments.options),
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

/// Runs it, tells the result, and says whether all bounds held.
fn load(scenario: Scenario, options: &Options) -> Result<bool, String> {
    let duration = options.duration.or(options.find_capacity.then_some(STEP));
    let Options { publishers, viewers, rooms, ramp, light, .. } = *options;
    let scenario = Numbers { publishers, viewers, rooms, duration, ramp, light }.apply(scenario);
    scenario.check()?;
    [&options.json, &options.html].into_iter().flatten().try_for_each(|path| writable(path))?;
    if options.find_capacity && scenario.network.is_some() {
        return Err("--find-capacity needs a network that stays as it is: take another preset than bad-network".into());
    }
    allow_files(scenario.bots())?;
    let plan = Plan {
        scenario,
        target: options.url.clone(),
        room: options.room.clone().unwrap_or_else(|| format!("load-{:08x}", fastrand::u32(..))),
        transport: if options.tcp { Transport::Tcp } else { Transport::Udp },
        process: options.pid.map(Process::find).transpose()?,
    };
    let report = runtime()?.block_on(async {
        let (progress, stop) = (Progress::on_stderr(), stop_by_signal()?);
        let done = if options.find_capacity { capacity::find(&plan, progress, stop).await } else { measure(&plan, progress, stop).await };
        done.map_err(|error| error.to_string())
    })?;
    tell(&report, options)?;
    Ok(report.held())
}

fn tell(report: &Report, options: &Options) -> Result<(), String> {
    print!("{report}");
    let write = |path: &Path, text: String| std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
        write(path, json + "\n")?;
    }
    options.html.as_ref().map_or(Ok(()), |path| write(path, report.html()))
}

/// It is a pity to learn this after ten minutes.
fn writable(path: &Path) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(|_| ()).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Every socket is a file, and the usual soft limit is 1,024. The hard one is what the operator means.
fn allow_files(bots: usize) -> Result<(), String> {
    let needed = bots as u64 * FILES_PER_BOT + FILES_OTHER;
    let allowed = rlimit::increase_nofile_limit(u64::MAX).map_err(|error| format!("the limit of open files is not known: {error}"))?;
    if allowed >= needed {
        return Ok(());
    }
    let most = allowed.saturating_sub(FILES_OTHER) / FILES_PER_BOT;
    Err(format!(
        "{bots} bots need {needed} open files, and this process may have {allowed}: take at most {most} bots, or raise the hard limit (as root: \
         `ulimit -Hn {needed}` in the shell that starts this, or LimitNOFILE of its service)"
    ))
}

/// Stops in order at the first Ctrl-C or SIGTERM, at once at the second.
fn stop_by_signal() -> Result<Stop, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("no signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (sender, stop) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if sender.send_replace(true) {
                #[expect(clippy::disallowed_methods, reason = "who asks twice does not want to wait for an order")]
                std::process::exit(130);
            }
            eprintln!("stopping: the bots leave (once more to stop at once)");
        }
    });
    Ok(stop)
}

fn read_duration(text: &str) -> Result<Duration, String> {
    let duration = units::duration(text)?;
    if duration.is_zero() { Err("nothing is measured in no time".to_owned()) } else { Ok(duration) }
}
