//! The load generator: bots that are real WebRTC clients join a room, and what they saw and what the server used is told.
//!
//! Exit code 0: all bounds held. 1: one did not. 2: nothing could be measured, and stderr says why.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ninefold_loadtest::bot::Transport;
use ninefold_loadtest::http::Target;
use ninefold_loadtest::preset::{Plan, Preset, run};
use ninefold_loadtest::report::Report;

/// Loads a Ninefold server with bots and measures it
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What is run
    preset: Preset,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(report) => ExitCode::from(u8::from(!report.held())),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report, String> {
    let (publishers, viewers) = arguments.preset.crowd();
    let plan = Plan {
        preset: arguments.preset,
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let report = runtime.block_on(run(&plan)).map_err(|error| error.to_string())?;
    print!("{report}");
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, json + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(report)
}

fn read_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("units are ms, s, m and h".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "a number and a unit, such as 10s".to_owned())?;
    let duration = Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("nothing is measured in no time".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(read_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(read_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(read_duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "s", "10x", "-1s", "0s", "1e999h"] {
            assert!(read_duration(wrong).is_err(), "{wrong}");
        }
    }
}
