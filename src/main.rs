//! The binary: reads the command line and the settings, then serves.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use ninefold::api;
use ninefold::auth::{self, Claims, Source, TokenOrder};
use ninefold::config::{Config, Log, LogFormat, Purpose};
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
        /// For other devices in this network: all addresses, port 8443, a certificate of its own, and everybody may join
        #[arg(long)]
        lan: bool,
    },
    /// Check a file of settings, and the environment with it
    Check {
        /// Settings
        #[arg(long)]
        config: PathBuf,
    },
    /// Print an access token, signed with a key of the settings
    Token(TokenArguments),
}

#[derive(Args, Debug)]
struct TokenArguments {
    /// Settings with auth.keys; they may be in the environment instead
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print a new line for auth.keys instead of a token
    #[arg(long, exclusive = true)]
    new_key: bool,
    /// Which key, by its id; may be left out if only one can be meant
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The private key of an EdDSA key: PKCS#8 PEM
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// A room, or * for every room
    #[arg(long, required_unless_present_any = ["admin", "new_key"])]
    room: Option<String>,
    /// Who it is; without it the server makes a name up
    #[arg(long)]
    identity: Option<String>,
    /// Display name; without it the participant's choice
    #[arg(long)]
    name: Option<String>,
    /// Free text for the application
    #[arg(long)]
    metadata: Option<String>,
    /// camera, microphone, screen with commas between them, or none; without it all
    #[arg(long, value_parser = sources)]
    publish: Option<Sources>,
    /// May not receive
    #[arg(long)]
    no_subscribe: bool,
    /// May mute, remove and lock
    #[arg(long)]
    moderate: bool,
    /// May do everything, also through REST
    #[arg(long)]
    admin: bool,
    /// For how long: 30s, 15m, 6h, 7d
    #[arg(long, default_value = "6h", value_parser = life)]
    ttl: Duration,
}

/// In a type of its own, since clap takes a `Vec` for an option that may come more than once.
#[derive(Clone, Debug)]
struct Sources(Vec<Source>);

fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Serve { config: None, lan: false }) {
        Command::Serve { config, lan } => serve(config.as_deref(), if lan { Purpose::Lan } else { Purpose::Machine }),
        Command::Check { config } => check(&config),
        Command::Token(arguments) => token(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(path: Option<&Path>, purpose: Purpose) -> Result<(), String> {
    let config = load(path, purpose)?;
    start_log(&config.log);
    api::serve(&config).map_err(|error| error.to_string())
}

fn check(path: &Path) -> Result<(), String> {
    api::check(&load(Some(path), Purpose::Machine)?).map_err(|error| error.to_string())?;
    println!("the settings are good");
    Ok(())
}

fn token(arguments: TokenArguments) -> Result<(), String> {
    if arguments.new_key {
        println!("{}", auth::new_key_line().map_err(|error| error.to_string())?);
        return Ok(());
    }
    let keys = load_keys(arguments.config.as_deref())?;
    let private_key = match &arguments.private_key {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?),
        None => None,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let claims = Claims {
        sub: arguments.identity,
        name: arguments.name,
        metadata: arguments.metadata,
        room: arguments.room,
        publish: arguments.publish.map(|Sources(sources)| sources),
        subscribe: arguments.no_subscribe.then_some(false),
        moderate: arguments.moderate.then_some(true),
        admin: arguments.admin.then_some(true),
        exp: now.saturating_add(arguments.ttl.as_secs()),
        nbf: None,
    };
    let order = TokenOrder { key: arguments.key.as_deref(), private_key_pem: private_key.as_deref(), claims: &claims };
    println!("{}", order.fill(&keys, now).map_err(|error| error.to_string())?);
    Ok(())
}

/// Of settings for a server anywhere: a token is often made on another machine than the one that it is for.
fn load_keys(path: Option<&Path>) -> Result<auth::Keys, String> {
    let keys = load(path, Purpose::Machine)?.auth.keys;
    if keys.is_empty() {
        return Err("auth.keys is empty: name a file of settings with keys (--config), or set NINEFOLD_AUTH__KEYS.\n\
                    `ninefold token --new-key` prints a new key."
            .to_owned());
    }
    Ok(keys)
}

fn load(path: Option<&Path>, purpose: Purpose) -> Result<Config, String> {
    Config::load(path, std::env::vars_os(), purpose).map_err(|error| error.to_string())
}

fn sources(text: &str) -> Result<Sources, String> {
    let source = |word: &str| match word.trim() {
        "camera" => Ok(Source::Camera),
        "microphone" => Ok(Source::Microphone),
        "screen" => Ok(Source::Screen),
        _ => Err("camera, microphone, screen (with commas between them), or none".to_owned()),
    };
    if text == "none" { Ok(Sources(vec![])) } else { text.split(',').map(source).collect::<Result<_, _>>().map(Sources) }
}

fn life(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with s, m, h or d, such as 90m".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number = text[..text.len() - 1].parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

/// Logs go to stderr; stdout has the one line that says where the server listens.
fn start_log(log: &Log) {
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(log.directives())).with_ansi(colours);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
