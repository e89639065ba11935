//! The settings: one TOML file and the environment, read in two steps.
//!
//! ```text
//! ninefold.toml   [media] port = 10000   ┐
//!                                        ├─► Written: each key with its value and where it stands ─► Config: checked, in our types
//! environment     NINEFOLD_MEDIA__PORT   ┘   (an unknown key ends here)                             (a wrong value ends here)
//! ```
//!
//! The environment wins over the file. Every setting has a line in [`KEYS`], a default, and a line in `deploy/config.example.toml`, which a
//! test compares with the defaults. Nothing here opens a socket: whether an address can be bound is found out by who binds it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Value;

use crate::limits::{Limits, MEDIA_ADDRESSES_MAX, SHARDS_MAX};

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pages, API and signalling.
    pub http: Http,
    /// RTP and what belongs to it.
    pub media: Media,
    /// What the process says.
    pub log: Log,
    /// How much of everything is allowed.
    pub limits: Limits,
}

/// Pages, API and signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; always a loopback address. Port 0 = any free one.
    pub listen: SocketAddr,
}

/// RTP and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The UDP port of the first shard; the others count up from it. 0 = any free one for each.
    pub port: u16,
    /// What to announce instead of the addresses found on the interfaces. Empty = those that are found.
    pub advertise: Vec<Advertised>,
    /// How many shards, at least 1.
    pub shards: usize,
}

/// An address under which clients reach the media sockets, through whatever stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Their address.
    pub ip: IpAddr,
    /// Their port of the first shard, the others count up from it. `None` = the port that is bound.
    pub port: Option<u16>,
}

/// What the process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level, or `target=level` pairs with commas: the words of tracing's `EnvFilter`.
    pub level: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the settings cannot be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings in {}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings are not TOML: {0}")]
    Syntax(String),
    /// There is no such setting.
    #[error("there is no setting {key} ({origin}); there are {}", KEYS.join(", "))]
    UnknownKey {
        /// As `section.field`.
        key: String,
        /// Where it stands.
        origin: Origin,
    },
    /// The value is not possible.
    #[error("{key} = {value} ({origin}): must be {right}")]
    Wrong {
        /// As `section.field`.
        key: &'static str,
        /// As it was written.
        value: String,
        /// Where it stands.
        origin: Origin,
        /// What would be right.
        right: String,
    },
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the settings file.
    File,
    /// In this variable of the environment.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File => f.write_str("in the settings file"),
            Origin::Environment(name) => write!(f, "in the environment's {name}"),
        }
    }
}

/// Every setting there is.
pub const KEYS: &[&str] = &["http.listen", "media.port", "media.advertise", "media.shards", "log.format", "log.level"];

const PREFIX: &str = "NINEFOLD_";

impl Config {
    /// Reads the settings from the file (none: only defaults) and from the environment (`std::env::vars_os()`).
    pub fn load(path: Option<&Path>, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?,
            None => String::new(),
        };
        Config::parse(&text, environment)
    }

    /// The same from a text.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, ConfigError> {
        let mut written = Written::default();
        written.read_file(text)?;
        written.read_environment(environment)?;
        Config::mean(&written)
    }

    /// Whether pages and signalling are reached from this machine only.
    pub fn is_local(&self) -> bool {
        is_loopback(self.http.listen)
    }

    fn mean(written: &Written) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        written.apply("http.listen", read_listen, &mut config.http.listen)?;
        written.apply("media.shards", read_shards, &mut config.media.shards)?;
        // Ports count up with the shards, so the last one must exist too.
        let shards = config.media.shards;
        written.apply("media.port", |value| read_port(value, shards), &mut config.media.port)?;
        written.apply("media.advertise", |value| read_advertise(value, shards), &mut config.media.advertise)?;
        written.apply("log.format", read_format, &mut config.log.format)?;
        written.apply("log.level", read_level, &mut config.log.level)?;
        Ok(config)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)) },
            media: Media { port: 10_000, advertise: Vec::new(), shards: shards_for(cores()) },
            log: Log { format: LogFormat::Text, level: "info".to_owned() },
            limits: Limits::default(),
        }
    }
}

/// What was written, by key.
#[derive(Debug, Default)]
struct Written(BTreeMap<String, (Value, Origin)>);

impl Written {
    fn read_file(&mut self, text: &str) -> Result<(), ConfigError> {
        let sections: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string()))?;
        for (section, value) in sections {
            let Value::Table(fields) = value else {
                return Err(ConfigError::UnknownKey { key: section, origin: Origin::File });
            };
            // An empty section is a key too: a misspelt one must not pass because nothing stands in it.
            if !KEYS.iter().any(|key| key.split('.').next() == Some(&section)) {
                return Err(ConfigError::UnknownKey { key: section, origin: Origin::File });
            }
            for (field, value) in fields {
                self.write(format!("{section}.{field}"), value, Origin::File)?;
            }
        }
        Ok(())
    }

    fn read_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), ConfigError> {
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            // A name without two underscores is no setting: tests and images use such names for themselves.
            let Some((section, field)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else { continue };
            let key = format!("{}.{}", section.to_lowercase(), field.to_lowercase());
            let value = Value::String(value.to_string_lossy().into_owned());
            self.write(key, value, Origin::Environment(name.to_owned()))?;
        }
        Ok(())
    }

    fn write(&mut self, key: String, value: Value, origin: Origin) -> Result<(), ConfigError> {
        if !KEYS.contains(&key.as_str()) {
            return Err(ConfigError::UnknownKey { key, origin });
        }
        self.0.insert(key, (value, origin));
        Ok(())
    }

    /// Gives `field` the value of `key` if one was written. `read` says what would be right when it is not.
    fn apply<T>(&self, key: &'static str, read: impl Fn(&Value) -> Result<T, String>, field: &mut T) -> Result<(), ConfigError> {
        let Some((value, origin)) = self.0.get(key) else { return Ok(()) };
        *field = read(value).map_err(|right| ConfigError::Wrong { key, value: value.to_string(), origin: origin.clone(), right })?;
        Ok(())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One core is left to signalling and the system where there are more than two.
fn shards_for(cores: usize) -> usize {
    let shards = if cores > 2 { cores - 1 } else { cores };
    shards.clamp(1, SHARDS_MAX)
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A text that parses; numbers are written as such in the file and as text in the environment.
fn read<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn read_listen(value: &Value) -> Result<SocketAddr, String> {
    let address: SocketAddr = read(value).ok_or("an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"")?;
    if !is_loopback(address) {
        return Err("a loopback address, such as \"127.0.0.1:8080\": rooms are open to everybody who reaches them, and neither access \
                    tokens nor TLS exist yet, so this version serves only the machine it runs on"
            .to_owned());
    }
    Ok(address)
}

fn read_shards(value: &Value) -> Result<usize, String> {
    let shards = read(value).filter(|shards| *shards <= SHARDS_MAX);
    let shards = shards.ok_or_else(|| format!("a number from 1 to {SHARDS_MAX}, or 0 for what fits the machine"))?;
    Ok(if shards == 0 { shards_for(cores()) } else { shards })
}

fn read_port(value: &Value, shards: usize) -> Result<u16, String> {
    let last = last_first_port(shards);
    let port = read(value).filter(|port| *port <= last);
    port.ok_or_else(|| format!("a port from 1 to {last} ({shards} shards count up from it), or 0 for any free ones"))
}

fn read_advertise(value: &Value, shards: usize) -> Result<Vec<Advertised>, String> {
    let texts = match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>(),
        Value::String(text) => Some(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => None,
    };
    let advertised = texts.and_then(|texts| texts.iter().map(|text| Advertised::parse(text, shards)).collect::<Option<Vec<_>>>());
    advertised.filter(|list| list.len() <= MEDIA_ADDRESSES_MAX).ok_or_else(|| {
        format!(
            "at most {MEDIA_ADDRESSES_MAX} addresses that a client can send to, as \"192.0.2.1\", \"192.0.2.1:10000\", \"2001:db8::1\" or \
             \"[2001:db8::1]:10000\" (with commas between them in the environment)"
        )
    })
}

fn read_format(value: &Value) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("\"text\" or \"json\"".to_owned()),
    }
}

fn read_level(value: &Value) -> Result<String, String> {
    let is_level = |text: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    let is_directive = |part: &str| match part.split_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part),
    };
    let level = value.as_str().filter(|text| text.split(',').all(|part| is_directive(part.trim())));
    level.map(str::to_owned).ok_or_else(|| {
        "a level (off, error, warn, info, debug, trace), and perhaps others for parts, such as \"info,ninefold::shard=debug\"".to_owned()
    })
}

/// The highest port that a first shard can have when the others count up from it.
fn last_first_port(shards: usize) -> u16 {
    let others = u16::try_from(shards.saturating_sub(1)).unwrap_or(u16::MAX);
    u16::MAX - others
}

impl Advertised {
    fn parse(text: &str, shards: usize) -> Option<Advertised> {
        let advertised = match text.parse::<IpAddr>() {
            Ok(ip) => Advertised { ip, port: None },
            Err(_) => {
                let address: SocketAddr = text.parse().ok()?;
                Advertised { ip: address.ip(), port: Some(address.port()) }
            }
        };
        let good_port = advertised.port.is_none_or(|port| port > 0 && port <= last_first_port(shards));
        (good_port && !advertised.ip.is_unspecified() && !advertised.ip.is_multicast()).then_some(advertised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::parse(text, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_equals_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.example.toml");
        assert_eq!(Config::load(Some(&path), []).expect("the example is right"), Config::default());

        let mut written = Written::default();
        written.read_file(&std::fs::read_to_string(&path).expect("the example is there")).expect("TOML");
        let mut keys: Vec<&str> = KEYS.to_vec();
        keys.sort_unstable();
        assert_eq!(written.0.keys().collect::<Vec<_>>(), keys, "the example names every setting");
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let config = parse("", &[("PATH", "/bin"), ("NINEFOLD_BIN", "x"), ("NINEFOLD", "y")]).expect("the defaults are right");
        assert_eq!(config, Config::default());
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.media.port, 10_000);
        assert!(config.is_local());
    }

    #[test]
    fn everything_can_be_written() {
        let text = "
            [http]
            listen = \"[::1]:9000\"
            [media]
            port = 20000
            advertise = [\"192.0.2.7\", \"[2001:db8::7]:30000\"]
            shards = 3
            [log]
            format = \"json\"
            level = \"warn,ninefold::shard=debug\"
        ";
        let written = Config {
            http: Http { listen: "[::1]:9000".parse().expect("an address") },
            media: Media {
                port: 20_000,
                advertise: vec![
                    Advertised { ip: "192.0.2.7".parse().expect("an address"), port: None },
                    Advertised { ip: "2001:db8::7".parse().expect("an address"), port: Some(30_000) },
                ],
                shards: 3,
            },
            log: Log { format: LogFormat::Json, level: "warn,ninefold::shard=debug".to_owned() },
            limits: Limits::default(),
        };
        assert_eq!(parse(text, &[]), Ok(written.clone()));

        let environment = [
            ("NINEFOLD_HTTP__LISTEN", "[::1]:9000"),
            ("NINEFOLD_MEDIA__PORT", "20000"),
            ("NINEFOLD_MEDIA__ADVERTISE", "192.0.2.7, [2001:db8::7]:30000"),
            ("NINEFOLD_MEDIA__SHARDS", "3"),
            ("NINEFOLD_LOG__FORMAT", "json"),
            ("NINEFOLD_LOG__LEVEL", "warn,ninefold::shard=debug"),
        ];
        assert_eq!(environment.len(), KEYS.len());
        assert_eq!(parse("", &environment), Ok(written));
    }

    #[test]
    fn the_environment_wins() {
        let config = parse("[media]\nport = 20000\nshards = 2", &[("NINEFOLD_MEDIA__PORT", "0")]).expect("right");
        assert_eq!((config.media.port, config.media.shards), (0, 2));
    }

    #[test]
    fn shards_fit_the_machine() {
        for (cores, shards) in [(1, 1), (2, 2), (3, 2), (4, 3), (64, 63), (10_000, SHARDS_MAX)] {
            assert_eq!(shards_for(cores), shards, "{cores} cores");
        }
        assert_eq!(parse("[media]\nshards = 0", &[]), Ok(Config::default()));
    }

    #[test]
    fn unknown_keys_are_named() {
        type Environment = &'static [(&'static str, &'static str)];
        let cases: [(&str, Environment, &str); 5] = [
            ("[media]\nprot = 1", &[], "there is no setting media.prot (in the settings file); there are http.listen, "),
            ("[meida]", &[], "there is no setting meida (in the settings file)"),
            ("port = 1", &[], "there is no setting port (in the settings file)"),
            ("", &[("NINEFOLD_MEDIA__PROT", "1")], "there is no setting media.prot (in the environment's NINEFOLD_MEDIA__PROT)"),
            ("[media", &[], "the settings are not TOML: "),
        ];
        for (text, environment, begin) in cases {
            let error = parse(text, environment).expect_err(text);
            assert!(error.starts_with(begin), "{error}");
        }
    }

    #[test]
    fn wrong_values_are_explained() {
        let cases = [
            ("http.listen", "\"localhost\"", "an address and a port"),
            ("http.listen", "8080", "an address and a port"),
            ("http.listen", "\"0.0.0.0:8080\"", "a loopback address"),
            ("http.listen", "\"[::]:8080\"", "a loopback address"),
            ("http.listen", "\"192.0.2.1:8080\"", "a loopback address"),
            ("media.port", "70000", "a port from 1 to 655"),
            ("media.port", "-1", "a port from 1 to 655"),
            ("media.port", "true", "a port from 1 to 655"),
            ("media.port", "65535", "a port from 1 to 65534 (2 shards count up from it)"),
            ("media.shards", "257", "a number from 1 to 256"),
            ("media.shards", "1.5", "a number from 1 to 256"),
            ("media.advertise", "[\"example.org\"]", "at most 8 addresses"),
            ("media.advertise", "[\"0.0.0.0\"]", "at most 8 addresses"),
            ("media.advertise", "[\"224.0.0.1\"]", "at most 8 addresses"),
            ("media.advertise", "[\"192.0.2.1:0\"]", "at most 8 addresses"),
            ("media.advertise", "[\"192.0.2.1:65535\"]", "at most 8 addresses"),
            ("media.advertise", "[1]", "at most 8 addresses"),
            ("log.format", "\"xml\"", "\"text\" or \"json\""),
            ("log.level", "\"inof\"", "a level"),
            ("log.level", "\"info,=debug\"", "a level"),
        ];
        for (key, value, right) in cases {
            let (section, field) = key.split_once('.').expect("a key");
            let shards = if key == "media.shards" { "" } else { "[media]\nshards = 2\n" };
            let head = if section == "media" && !shards.is_empty() { String::new() } else { format!("[{section}]\n") };
            let error = parse(&format!("{shards}{head}{field} = {value}"), &[]).expect_err(key);
            let begin = format!("{key} = {value} (in the settings file): must be {right}");
            assert!(error.starts_with(&begin), "{error}\nwants\n{begin}");
        }
        let nine = format!("[media]\nadvertise = [{}]", "\"192.0.2.1\",".repeat(9));
        assert!(parse(&nine, &[]).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("/nowhere/ninefold.toml")), []).expect_err("not there");
        assert!(error.to_string().starts_with("cannot read the settings in /nowhere/ninefold.toml: "), "{error}");
    }
}
