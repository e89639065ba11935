//! The settings: one TOML file and the environment, read in two steps.
//!
//! ```text
//! ninefold.toml   [media] port = 10000   ┐
//!                                        ├─► Written: each key with its value and where it stands ─► Config: checked, in our types
//! environment     NINEFOLD_MEDIA__PORT   ┘   (an unknown key ends here)                             (a wrong value ends here)
//! ```
//!
//! The environment wins over the file. Every setting has a line in [`KEYS`], a default, and a line in `deploy/config.example.toml`, which a
//! test compares with the defaults. What is right by itself may be wrong together: strangers reach a server that is bound to more than
//! loopback or stands behind a proxy, and then it wants to be told who may come in, and secure pages.
//!
//! Nothing here opens a socket or a certificate: whether an address can be bound is found out by who binds it.

mod read;
mod written;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use self::read::{
    cores, read_advertise, read_format, read_guests, read_keys, read_level, read_listen, read_number, read_path, read_port, read_shards,
    read_truth, shards_for,
};
pub use self::written::KEYS;
use self::written::Written;
use crate::auth::{Access, Keys, Unknown};
use crate::limits::{
    CONNECTIONS_MAX, Limits, METADATA_BYTES_MAX, PARTICIPANTS_MAX, SIGNAL_BYTES_MAX, SLOTS_PER_PEER_MAX, TRACKS_PER_PEER_MAX, VIEWERS_MAX,
};

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pages, API and signalling.
    pub http: Http,
    /// RTP and what belongs to it.
    pub media: Media,
    /// Who may come in.
    pub auth: Auth,
    /// What the process says.
    pub log: Log,
    /// How much of everything is allowed.
    pub limits: Limits,
}

/// Pages, API and signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen. Port 0 = any free one.
    pub listen: SocketAddr,
    /// Whether and how connections are encrypted.
    pub tls: Tls,
    /// A reverse proxy stands before the server: clients are who its headers say.
    pub behind_proxy: bool,
}

/// Whether and how connections to pages, API and signalling are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not by this process.
    Off,
    /// With a certificate from files, read again when they change.
    Files {
        /// PEM: the certificate, then those that lead to its root.
        cert: PathBuf,
        /// PEM: its private key.
        key: PathBuf,
    },
    /// With a certificate that this process makes for itself: browsers warn of it.
    SelfSigned,
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// What tokens are signed with.
    pub keys: Keys,
    /// Those without a token.
    pub guests: Guests,
}

/// Those without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// May do nothing, unless only this machine reaches the server and it has no keys: then they may do everything.
    None,
    /// May join rooms.
    Join,
}

/// For whom the defaults are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// This machine, until the settings say more.
    Machine,
    /// The local network: guests, a certificate of one's own, all addresses.
    Lan,
}

/// RTP and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The UDP port of the first shard; the others count up from it. 0 = any free one for each.
    pub port: u16,
    /// Media by TCP too, on the same numbers, for clients whose UDP is blocked.
    pub tcp: bool,
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

/// Crates that warn of what strangers send, line by line: ICE, DTLS and SCTP, and str0m around them.
const SHOUTERS: &str = "is=error,str0m=error,str0m_proto=error,dimpl=error,sctp_proto=error";

impl Log {
    /// The level for tracing's `EnvFilter`: what strangers can fill a disk with is said only if the operator names who says it.
    pub fn directives(&self) -> String {
        let says_more = self.level.split(',').any(|part| ["warn", "info", "debug", "trace"].contains(&part.trim()));
        // Of two directives for one target the last counts.
        if says_more { format!("{SHOUTERS},{}", self.level) } else { self.level.clone() }
    }
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
    #[error("the settings are not TOML: line {line}: {wrong}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the parser says; never the line itself.
        wrong: String,
    },
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
        /// As it was written, unless it is a secret.
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
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File => f.write_str("in the settings file"),
            Origin::Environment(name) => write!(f, "in the environment's {name}"),
            Origin::Default => f.write_str("the default"),
        }
    }
}

impl Config {
    /// Reads the settings from the file (none: only defaults) and from the environment (`std::env::vars_os()`).
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        purpose: Purpose,
    ) -> Result<Config, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?,
            None => String::new(),
        };
        Config::parse_for(purpose, &text, environment)
    }

    /// The same from a text, with the usual defaults.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, ConfigError> {
        Config::parse_for(Purpose::Machine, text, environment)
    }

    fn parse_for(purpose: Purpose, text: &str, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, ConfigError> {
        let mut written = Written::default();
        written.read_file(text)?;
        written.read_environment(environment)?;
        let config = Config::mean(&written, purpose)?;
        config.check(&written)?;
        Ok(config)
    }

    /// Whether pages and signalling are reached from this machine only.
    pub fn is_local(&self) -> bool {
        is_loopback(self.http.listen)
    }

    /// Who gets in, with a token and without one.
    pub fn access(&self) -> Access {
        let unknown = match self.auth.guests {
            Guests::Join => Unknown::Guest,
            Guests::None if self.auth.keys.is_empty() && self.is_local() && !self.http.behind_proxy => Unknown::Anything,
            Guests::None => Unknown::Refused,
        };
        Access::new(self.auth.keys.clone(), unknown)
    }

    fn mean(written: &Written, purpose: Purpose) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        if purpose == Purpose::Lan {
            config.http.listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8443));
            config.http.tls = Tls::SelfSigned;
            config.auth.guests = Guests::Join;
        }
        written.apply("http.listen", read_listen, &mut config.http.listen)?;
        written.apply("http.behind_proxy", read_truth, &mut config.http.behind_proxy)?;
        match (written.find("http.tls_cert", read_path)?, written.find("http.tls_key", read_path)?) {
            (Some(cert), Some(key)) => config.http.tls = Tls::Files { cert, key },
            (Some(_), None) => return Err(written.wrong("http.tls_cert", "set together with http.tls_key, the file of its private key")),
            (None, Some(_)) => return Err(written.wrong("http.tls_key", "set together with http.tls_cert, the file of its certificate")),
            (None, None) => {}
        }
        written.apply("auth.keys", read_keys, &mut config.auth.keys)?;
        written.apply("auth.guests", read_guests, &mut config.auth.guests)?;
        written.apply("media.shards", read_shards, &mut config.media.shards)?;
        // Ports count up with the shards, so the last one must exist too.
        let shards = config.media.shards;
        written.apply("media.port", |value| read_port(value, shards), &mut config.media.port)?;
        written.apply("media.tcp", read_truth, &mut config.media.tcp)?;
        written.apply("media.advertise", |value| read_advertise(value, shards), &mut config.media.advertise)?;
        written.apply("log.format", read_format, &mut config.log.format)?;
        written.apply("log.level", read_level, &mut config.log.level)?;
        mean_limits(written, &mut config.limits)?;
        Ok(config)
    }

    /// What strangers reach says who may come in, and is secure: browsers give a camera to nothing else, and tokens are not for the wire.
    fn check(&self, written: &Written) -> Result<(), ConfigError> {
        let known = !self.auth.keys.is_empty() || self.auth.guests == Guests::Join;
        let who = "auth.keys, or auth.guests = \"join\" if everybody may join";
        if self.http.behind_proxy && !known {
            let right = format!("false, or come with {who}: whoever reaches the proxy reaches this server");
            return Err(written.wrong("http.behind_proxy", right));
        }
        let secure = self.http.tls != Tls::Off || self.http.behind_proxy;
        let how = "http.tls_cert and http.tls_key, or with http.behind_proxy = true where a proxy has the certificate";
        let missing = match (known, secure) {
            _ if self.is_local() => return Ok(()),
            (true, true) => return Ok(()),
            (false, true) => who.to_owned(),
            (true, false) => how.to_owned(),
            (false, false) => format!("{who}, and with {how}"),
        };
        let right =
            format!("a loopback address, such as \"127.0.0.1:8080\", or come with {missing} (`ninefold serve --lan` sets all of it)");
        Err(written.wrong("http.listen", right))
    }
}

fn mean_limits(written: &Written, limits: &mut Limits) -> Result<(), ConfigError> {
    fn number<T: FromStr + PartialOrd + fmt::Display>(
        written: &Written,
        key: &'static str,
        range: RangeInclusive<T>,
        field: &mut T,
    ) -> Result<(), ConfigError> {
        written.apply(key, |value| read_number(value, &range), field)
    }
    number(written, "limits.participants", 1..=PARTICIPANTS_MAX, &mut limits.participants)?;
    number(written, "limits.viewers", 1..=VIEWERS_MAX, &mut limits.viewers)?;
    number(written, "limits.tracks", 1..=TRACKS_PER_PEER_MAX, &mut limits.tracks)?;
    number(written, "limits.slots", 1..=SLOTS_PER_PEER_MAX, &mut limits.slots)?;
    number(written, "limits.voices", 1..=SLOTS_PER_PEER_MAX, &mut limits.voices)?;
    // Below this an offer costs more than ever may come at once.
    number(written, "limits.messages_per_second", 5..=10_000, &mut limits.messages_per_second)?;
    // A join with the shortest offer has about this.
    number(written, "limits.message_bytes", 1024..=SIGNAL_BYTES_MAX, &mut limits.message_bytes)?;
    number(written, "limits.metadata_bytes", 0..=METADATA_BYTES_MAX, &mut limits.metadata_bytes)?;
    number(written, "limits.data_messages_per_second", 1..=10_000, &mut limits.data_messages_per_second)?;
    number(written, "limits.publish_kbps", 1..=1_000_000, &mut limits.publish_kbps)?;
    number(written, "limits.connections_per_address", 1..=CONNECTIONS_MAX, &mut limits.connections_per_address)?;
    number(written, "limits.guest_joins_per_minute", 1..=100_000, &mut limits.guest_joins_per_minute)
}

impl Default for Config {
    fn default() -> Config {
        Config {
            http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), tls: Tls::Off, behind_proxy: false },
            media: Media { port: 10_000, tcp: true, advertise: Vec::new(), shards: shards_for(cores()) },
            auth: Auth { keys: Keys::default(), guests: Guests::None },
            log: Log { format: LogFormat::Text, level: "info".to_owned() },
            limits: Limits::default(),
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SHARDS_MAX;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::parse(text, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_equals_the_defaults() {
        // Settings without a default stand in it behind a #.
        const COMMENTED: [&str; 2] = ["# tls_cert =", "# tls_key ="];
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.example.toml");
        assert_eq!(Config::load(Some(&path), [], Purpose::Machine).expect("the example is right"), Config::default());

        let text = std::fs::read_to_string(&path).expect("the example is there");
        let text = COMMENTED.iter().fold(text, |text, line| text.replace(line, line.trim_start_matches("# ")));
        let mut written = Written::default();
        written.read_file(&text).expect("TOML");
        let mut keys: Vec<&str> = KEYS.to_vec();
        keys.sort_unstable();
        assert_eq!(written.keys(), keys, "the example names every setting");
    }

    /// How many of three warnings are said: of ICE about strangers' bytes, of another dependency, of our own.
    fn warnings_at(level: &str) -> [bool; 3] {
        let log = Log { format: LogFormat::Text, level: level.to_owned() };
        let filter = tracing_subscriber::EnvFilter::new(log.directives());
        tracing::subscriber::with_default(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::sink).finish(), || {
            [
                tracing::enabled!(target: "is::stun", tracing::Level::WARN),
                tracing::enabled!(target: "quinn_udp", tracing::Level::WARN),
                tracing::enabled!(target: "ninefold::shard", tracing::Level::WARN),
            ]
        })
    }

    #[test]
    fn dependencies_do_not_write_a_log_for_strangers_unless_they_are_asked_to() {
        for (level, said) in [
            ("info", [false, true, true]),
            ("trace", [false, true, true]),
            ("info,is=warn", [true, true, true]),
            ("is::stun=debug,warn", [true, true, true]),
            ("info,str0m=debug", [false, true, true]),
            ("ninefold=info", [false, false, true]),
            ("error", [false; 3]),
            ("off", [false; 3]),
        ] {
            assert_eq!(warnings_at(level), said, "{level}");
        }
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let config = parse("", &[("PATH", "/bin"), ("NINEFOLD_BIN", "x"), ("NINEFOLD", "y")]).expect("the defaults are right");
        assert_eq!(config, Config::default());
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.media.port, 10_000);
        assert!(config.is_local());
    }

    const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";

    fn key() -> String {
        format!("main:HS256:{SECRET}")
    }

    #[test]
    fn everything_can_be_written() {
        let text = format!(
            "
            [http]
            listen = \"[::1]:9000\"
            tls_cert = \"/etc/cert.pem\"
            tls_key = \"/etc/key.pem\"
            behind_proxy = true
            [media]
            port = 20000
            tcp = false
            advertise = [\"192.0.2.7\", \"[2001:db8::7]:30000\"]
            shards = 3
            [auth]
            keys = [\"{}\"]
            guests = \"join\"
            [limits]
            participants = 1
            viewers = 2
            tracks = 3
            slots = 4
            voices = 2
            messages_per_second = 5
            message_bytes = 6000
            metadata_bytes = 0
            data_messages_per_second = 8
            publish_kbps = 9
            connections_per_address = 10
            guest_joins_per_minute = 11
            [log]
            format = \"json\"
            level = \"warn,ninefold::shard=debug\"
        ",
            key()
        );
        let written = Config {
            http: Http {
                listen: "[::1]:9000".parse().expect("an address"),
                tls: Tls::Files { cert: "/etc/cert.pem".into(), key: "/etc/key.pem".into() },
                behind_proxy: true,
            },
            media: Media {
                port: 20_000,
                tcp: false,
                advertise: vec![
                    Advertised { ip: "192.0.2.7".parse().expect("an address"), port: None },
                    Advertised { ip: "2001:db8::7".parse().expect("an address"), port: Some(30_000) },
                ],
                shards: 3,
            },
            auth: Auth { keys: Keys::parse([&*key()]).expect("a key"), guests: Guests::Join },
            log: Log { format: LogFormat::Json, level: "warn,ninefold::shard=debug".to_owned() },
            limits: Limits {
                participants: 1,
                viewers: 2,
                tracks: 3,
                slots: 4,
                voices: 2,
                messages_per_second: 5,
                message_bytes: 6000,
                metadata_bytes: 0,
                data_messages_per_second: 8,
                publish_kbps: 9,
                connections_per_address: 10,
                guest_joins_per_minute: 11,
            },
        };
        assert_eq!(parse(&text, &[]), Ok(written.clone()));

        let key = key();
        let environment = [
            ("NINEFOLD_HTTP__LISTEN", "[::1]:9000"),
            ("NINEFOLD_HTTP__TLS_CERT", "/etc/cert.pem"),
            ("NINEFOLD_HTTP__TLS_KEY", "/etc/key.pem"),
            ("NINEFOLD_HTTP__BEHIND_PROXY", "true"),
            ("NINEFOLD_MEDIA__PORT", "20000"),
            ("NINEFOLD_MEDIA__TCP", "false"),
            ("NINEFOLD_MEDIA__ADVERTISE", "192.0.2.7, [2001:db8::7]:30000"),
            ("NINEFOLD_MEDIA__SHARDS", "3"),
            ("NINEFOLD_AUTH__KEYS", &key),
            ("NINEFOLD_AUTH__GUESTS", "join"),
            ("NINEFOLD_LIMITS__PARTICIPANTS", "1"),
            ("NINEFOLD_LIMITS__VIEWERS", "2"),
            ("NINEFOLD_LIMITS__TRACKS", "3"),
            ("NINEFOLD_LIMITS__SLOTS", "4"),
            ("NINEFOLD_LIMITS__VOICES", "2"),
            ("NINEFOLD_LIMITS__MESSAGES_PER_SECOND", "5"),
            ("NINEFOLD_LIMITS__MESSAGE_BYTES", "6000"),
            ("NINEFOLD_LIMITS__METADATA_BYTES", "0"),
            ("NINEFOLD_LIMITS__DATA_MESSAGES_PER_SECOND", "8"),
            ("NINEFOLD_LIMITS__PUBLISH_KBPS", "9"),
            ("NINEFOLD_LIMITS__CONNECTIONS_PER_ADDRESS", "10"),
            ("NINEFOLD_LIMITS__GUEST_JOINS_PER_MINUTE", "11"),
            ("NINEFOLD_LOG__FORMAT", "json"),
            ("NINEFOLD_LOG__LEVEL", "warn,ninefold::shard=debug"),
        ];
        assert_eq!(environment.len(), KEYS.len());
        assert_eq!(parse("", &environment), Ok(written));
    }

    #[test]
    fn what_strangers_reach_says_who_may_come_in_and_is_secure() {
        let key = format!("[auth]\nkeys = [\"{}\"]\n", key());
        let guests = "[auth]\nguests = \"join\"\n";
        let tls = "tls_cert = \"c\"\ntls_key = \"k\"\n";
        let proxy = "behind_proxy = true\n";
        for (listen, auth, edge, refused) in [
            ("127.0.0.1:1", "", "", None),
            ("[::ffff:127.0.0.1]:1", "", tls, None),
            ("127.0.0.1:1", guests, proxy, None),
            ("127.0.0.1:1", &*key, proxy, None),
            ("127.0.0.1:1", "", proxy, Some("http.behind_proxy = true (in the settings file): must be false, or come with auth.keys, ")),
            ("0.0.0.0:1", "", "", Some("must be a loopback address, such as \"127.0.0.1:8080\", or come with auth.keys, or auth.guests")),
            ("0.0.0.0:1", guests, "", Some("or come with http.tls_cert and http.tls_key, or with http.behind_proxy = true")),
            ("192.0.2.1:1", &*key, "", Some("or come with http.tls_cert and http.tls_key, or with http.behind_proxy = true")),
            ("[::]:1", "", tls, Some("or come with auth.keys, or auth.guests = \"join\" if everybody may join (")),
            ("[::]:1", guests, tls, None),
            ("[::]:1", &*key, proxy, None),
            ("[::]:1", &*key, &*format!("{proxy}{tls}"), None),
            (
                "127.0.0.1:1",
                "",
                "tls_cert = \"c\"",
                Some("http.tls_cert = \"c\" (in the settings file): must be set together with http.tls_key"),
            ),
            (
                "127.0.0.1:1",
                "",
                "tls_key = \"k\"",
                Some("http.tls_key = \"k\" (in the settings file): must be set together with http.tls_cert"),
            ),
        ] {
            let parsed = parse(&format!("{auth}[http]\nlisten = \"{listen}\"\n{edge}"), &[]);
            match refused {
                None => assert!(parsed.is_ok(), "{listen} {auth} {edge} {parsed:?}"),
                Some(said) => assert!(parsed.as_ref().is_err_and(|error| error.contains(said)), "{listen} {auth} {edge} {parsed:?}"),
            }
        }
    }

    #[test]
    fn who_gets_in() {
        let key = format!("keys = [\"{}\"]", key());
        for (auth, unknown) in [
            ("", Unknown::Anything),
            ("guests = \"none\"", Unknown::Anything),
            ("guests = \"join\"", Unknown::Guest),
            (&*key, Unknown::Refused),
            (&*format!("{key}\nguests = \"join\""), Unknown::Guest),
        ] {
            let config = parse(&format!("[auth]\n{auth}"), &[]).expect("good settings");
            assert_eq!(config.access().unknown(), unknown, "{auth}");
        }
    }

    #[test]
    fn a_lan_needs_no_settings() {
        let lan = |text: &str| Config::parse_for(Purpose::Lan, text, []).map_err(|error| error.to_string());
        let config = lan("").expect("the defaults are right");
        assert_eq!(config.http, Http { listen: "[::]:8443".parse().expect("an address"), tls: Tls::SelfSigned, behind_proxy: false });
        assert_eq!(config.access().unknown(), Unknown::Guest);
        let config = lan("[http]\nlisten = \"192.0.2.1:9000\"\ntls_cert = \"c\"\ntls_key = \"k\"").expect("right");
        assert_eq!(config.http.listen.to_string(), "192.0.2.1:9000");
        assert_eq!(config.http.tls, Tls::Files { cert: "c".into(), key: "k".into() });
        assert!(lan("[auth]\nguests = \"none\"").is_err_and(|error| error.starts_with("http.listen = (not set) (the default): must be ")));
    }

    #[test]
    fn secrets_are_in_no_error_and_in_no_debug_output() {
        let bad = [
            format!("[auth]\nkeys = [\"main:HS512:{SECRET}\"]"),
            format!("[auth]\nkeys = [\"{SECRET}\"]"),
            format!("[auth]\nkeys = [\"main:HS256:{SECRET}]"),
            format!("[auth]\nkeys = [\"main:HS256:{SECRET}\"\n\nx"),
            format!("[auth]\nkeys = [[\"main:HS256:{SECRET}\"]]"),
            format!("[auth]\nkeys = [\"{0}\", \"{0}\"]", key()),
        ];
        for text in bad {
            let error = parse(&text, &[]).expect_err(&text);
            assert!(!error.contains("c2Vj"), "{error}");
        }
        let error = parse("", &[("NINEFOLD_AUTH__KEYS", "main:HS256:c2VjcmV0")]).expect_err("too short");
        assert!(error.starts_with("auth.keys = (not shown) (in the environment's NINEFOLD_AUTH__KEYS): must be a list of "), "{error}");
        assert!(error.ends_with("; key 1 (main): a secret has 32 to 1024 bytes, this one has 6"), "{error}");
        let config = parse(&format!("[auth]\nkeys = [\"{}\"]", key()), &[]).expect("a key");
        assert!(!format!("{config:?}").contains("c2Vj") && format!("{config:?}").contains("Key(main, HS256, …)"));
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
            ("[media", &[], "the settings are not TOML: line 1: "),
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
            ("http.behind_proxy", "\"yes\"", "true or false"),
            ("http.behind_proxy", "1", "true or false"),
            ("http.tls_cert", "\"\"", "the path of a PEM file"),
            ("http.tls_key", "5", "the path of a PEM file"),
            ("auth.guests", "\"all\"", "\"none\" (only with a token) or \"join\""),
            ("auth.guests", "true", "\"none\" (only with a token) or \"join\""),
            ("limits.participants", "0", "a number from 1 to 1000"),
            ("limits.participants", "1001", "a number from 1 to 1000"),
            ("limits.tracks", "-1", "a number from 1 to 8"),
            ("limits.slots", "\"many\"", "a number from 1 to 64"),
            ("limits.messages_per_second", "4", "a number from 5 to 10000"),
            ("limits.message_bytes", "524289", "a number from 1024 to 524288"),
            ("limits.metadata_bytes", "4097", "a number from 0 to 4096"),
            ("limits.publish_kbps", "1.5", "a number from 1 to 1000000"),
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
        let error = Config::load(Some(Path::new("/nowhere/ninefold.toml")), [], Purpose::Machine).expect_err("not there");
        assert!(error.to_string().starts_with("cannot read the settings in /nowhere/ninefold.toml: "), "{error}");
    }
}
