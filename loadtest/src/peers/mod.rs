//! Ninefold and Janus side by side: the same bots, media and clock, in turn, each run with a server of its own.
//!
//! ```text
//! for each case, for each round:   Ninefold · Janus
//!
//!     network "server"                    network "bots"
//!     ninefold serve  |  janus   ◄─veth─►  this program again: `case`        → Figures
//! ```
//!
//! What each run brought is kept when a later one fails: the page is written after every run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

mod case;
mod child;
mod network;
mod server;
mod table;

pub use case::{Case, Figures};
use child::Running;
pub use network::Network;
pub use server::{Peer, Server};
pub use table::Row;

/// For all of a case beside the joins and what is measured.
const CASE_OVERHEAD: Duration = Duration::from_secs(60);
/// Time for each join, generous.
const CASE_PER_BOT: Duration = Duration::from_millis(300);
/// How many more viewers the next try of a capacity has.
const CAPACITY_STEP: usize = 100;
const CAPACITY_MAX: usize = 1_000;

/// The cases that are kept.
pub const CASES: [Case; 5] = [
    Case { publishers: 1, viewers: 20, bitrate_bps: 600_000, light: false },
    Case { publishers: 1, viewers: 20, bitrate_bps: 1_500_000, light: false },
    Case { publishers: 1, viewers: 100, bitrate_bps: 600_000, light: false },
    Case { publishers: 1, viewers: 100, bitrate_bps: 1_500_000, light: false },
    Case { publishers: 10, viewers: 0, bitrate_bps: 600_000, light: false },
];

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which cases.
    pub cases: Vec<Case>,
    /// Runs of each server in each case.
    pub rounds: usize,
    /// How long each is measured.
    pub duration: Duration,
    /// Our server.
    pub ninefold: PathBuf,
    /// Also tries how many viewers each carries, once.
    pub capacity: bool,
    /// Where the page goes.
    pub page: PathBuf,
}

/// Runs all and gives the page. Dropped, it takes down what it made.
pub async fn run(options: &Options) -> Result<String, String> {
    let network = Network::make()?;
    let mut rows: Vec<Row> = vec![];
    let mut page = String::new();
    for case in &options.cases {
        rows.push(Row { case: *case, runs: vec![] });
        for (round, peer) in (1..=options.rounds).flat_map(|round| [(round, Peer::Ninefold), (round, Peer::Janus)]) {
            let figures = run_one(&network, peer, *case, options).await.map_err(|error| with_partial(&error, &options.page, &page))?;
            eprintln!("{} · round {round} · {peer}: {:.2} µs a packet", case.name(), figures.cpu_us);
            rows.last_mut().into_iter().for_each(|row| row.runs.push((peer, figures.clone())));
            page = table::page(&rows, &head(options));
            write(&options.page, &page)?;
        }
    }
    if options.capacity {
        page += "\n";
        for peer in [Peer::Ninefold, Peer::Janus] {
            page +=
                &format!("- capacity of {peer} at 1,500 kbit/s, nine of ten viewers light: {}\n", capacity(&network, peer, options).await?);
            write(&options.page, &page)?;
        }
    }
    Ok(page)
}

async fn capacity(network: &Network, peer: Peer, options: &Options) -> Result<String, String> {
    let mut held = 0;
    for viewers in (CAPACITY_STEP..=CAPACITY_MAX).step_by(CAPACITY_STEP) {
        let figures = run_one(network, peer, Case { publishers: 1, viewers, bitrate_bps: 1_500_000, light: true }, options).await?;
        eprintln!("1 → {viewers} · {peer}: {:.3} % lost, {} freezes", figures.lost * 100.0, figures.freezes);
        if !Case::holds(&figures) {
            let Figures { lost, freezes, failures, late_ms, .. } = figures;
            let lost = lost * 100.0;
            let why = format!("{lost:.3} % lost, {freezes} freezes, {failures} not connected, bots at most {late_ms:.0} ms late");
            return Ok(format!("{held} viewers hold, {viewers} do not ({why})"));
        }
        held = viewers;
    }
    Ok(format!("{held} viewers and more"))
}

/// A new server, and the bots of one case in a process of their own.
async fn run_one(network: &Network, peer: Peer, case: Case, options: &Options) -> Result<Figures, String> {
    let server = Server::start(peer, network, &options.ninefold).await?;
    let this = std::env::current_exe().map_err(|error| format!("this program does not find itself: {error}"))?;
    let mut bots = network.bots(&this);
    bots.arg("case").args(["--target", peer.target(), "--url", &peer.url(), "--pid", &server.pid().to_string()]);
    bots.args(["--publishers", &case.publishers.to_string(), "--viewers", &case.viewers.to_string()]);
    bots.args(["--bitrate", &format!("{}bit", case.bitrate_bps), "--duration", &format!("{}ms", options.duration.as_millis())]);
    bots.args(case.light.then_some("--light"));
    bots.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let within = CASE_OVERHEAD + options.duration + CASE_PER_BOT * (2 * case.publishers + case.viewers) as u32;
    let mut bots = Running::start(&mut bots).map_err(|error| format!("the bots cannot be started: {error}"))?;
    let late = || server.failure(&format!("{} was not over within {} s", case.name(), within.as_secs()));
    let (status, figures, errors) = bots.output(within).await.ok_or_else(late)?;
    let figures = serde_json::from_str(&figures).ok().filter(|_| status.success());
    figures.ok_or_else(|| server.failure(&format!("{}: {}", case.name(), errors.trim())))
}

fn head(options: &Options) -> String {
    let (rounds, seconds) = (options.rounds, options.duration.as_secs_f64());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let light = options.cases.iter().any(|case| case.light);
    let bots =
        if light { "Nine of ten viewers count packets without decrypting them." } else { "Every bot decrypts, reports and repairs." };
    format!(
        "Medians of {rounds} rounds in turn, {seconds} s each, a new server process every time, {cores} cores together with the bots. {bots} \
         CPU is user and system time of all threads of the server for each media packet that came to a bot; memory is what the \
         server has more with the viewers than without. Janus with `event_loops = 2`. Only ratios travel to other machines."
    )
}

fn write(path: &Path, page: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| std::fs::write(path, page)).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn with_partial(error: &str, path: &Path, page: &str) -> String {
    if page.is_empty() { error.to_owned() } else { format!("{error}\nWhat was measured before it is in {}", path.display()) }
}
