//! The binary: reads the command line and the settings, then serves.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ninefold::api;
use ninefold::config::{Config, ConfigError, Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// A WebRTC media server. Without a command: serve with the default settings.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve rooms until SIGTERM or SIGINT
    Serve {
        /// Settings; without it the defaults. NINEFOLD_SECTION__FIELD in the environment wins over both
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Check a file of settings, and the environment with it
    Check {
        /// Settings
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Serve { config: None }) {
        Command::Serve { config } => serve(config.as_deref()),
        Command::Check { config } => load(Some(&config)).map(|_| println!("the settings are good")).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(path: Option<&Path>) -> Result<(), String> {
    let config = load(path).map_err(|error| error.to_string())?;
    start_log(&config.log);
    api::serve(&config).map_err(|error| error.to_string())
}

fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    Config::load(path, std::env::vars_os(), ninefold::config::Purpose::Machine)
}

/// Logs go to stderr; stdout has the one line that says where the server listens.
fn start_log(log: &Log) {
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(&log.level)).with_ansi(colours);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
