//! What each setting may be: from a value as it was written to one of our types, or to a text that says what would be right.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Value;

use super::{Advertised, Guests, LogFormat};
use crate::auth::Keys;
use crate::limits::{MEDIA_ADDRESSES_MAX, SHARDS_MAX};

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One core is left to signalling and the system where there are more than two.
pub(super) fn shards_for(cores: usize) -> usize {
    let shards = if cores > 2 { cores - 1 } else { cores };
    shards.clamp(1, SHARDS_MAX)
}

/// A text that parses; numbers and booleans are written as such in the file and as text in the environment.
fn read<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::Boolean(truth) => truth.to_string().parse().ok(),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// A list of texts, with commas between them in the environment.
fn read_list(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        Value::String(text) => Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

pub(super) fn read_listen(value: &Value) -> Result<SocketAddr, String> {
    read(value).ok_or_else(|| "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8443\"".to_owned())
}

pub(super) fn read_path(value: &Value) -> Result<PathBuf, String> {
    let path = value.as_str().filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| "the path of a PEM file".to_owned())
}

pub(super) fn read_truth(value: &Value) -> Result<bool, String> {
    read(value).ok_or_else(|| "true or false".to_owned())
}

pub(super) fn read_number<T: FromStr + PartialOrd + Display>(value: &Value, range: &RangeInclusive<T>) -> Result<T, String> {
    read(value).filter(|number| range.contains(number)).ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
}

pub(super) fn read_shards(value: &Value) -> Result<usize, String> {
    let shards = read(value).filter(|shards| *shards <= SHARDS_MAX);
    let shards = shards.ok_or_else(|| format!("a number from 1 to {SHARDS_MAX}, or 0 for what fits the machine"))?;
    Ok(if shards == 0 { shards_for(cores()) } else { shards })
}

pub(super) fn read_port(value: &Value, shards: usize) -> Result<u16, String> {
    let last = last_first_port(shards);
    let port = read(value).filter(|port| *port <= last);
    port.ok_or_else(|| format!("a port from 1 to {last} ({shards} shards count up from it), or 0 for any free ones"))
}

pub(super) fn read_advertise(value: &Value, shards: usize) -> Result<Vec<Advertised>, String> {
    let advertised =
        read_list(value).and_then(|texts| texts.iter().map(|text| Advertised::parse(text, shards)).collect::<Option<Vec<_>>>());
    advertised.filter(|list| list.len() <= MEDIA_ADDRESSES_MAX).ok_or_else(|| {
        format!(
            "at most {MEDIA_ADDRESSES_MAX} addresses that a client can send to, as \"192.0.2.1\", \"192.0.2.1:10000\", \"2001:db8::1\" or \
             \"[2001:db8::1]:10000\" (with commas between them in the environment)"
        )
    })
}

pub(super) fn read_keys(value: &Value) -> Result<Keys, String> {
    let right = "a list of \"ID:HS256:BASE64\" with a secret of 32 bytes or more, or \"ID:EdDSA:BASE64\" with a public key of 32 bytes \
                 (`ninefold token --new-key` makes one; commas between them in the environment)";
    let texts = read_list(value).ok_or_else(|| right.to_owned())?;
    Keys::parse(texts).map_err(|bad| format!("{right}; {bad}"))
}

pub(super) fn read_guests(value: &Value) -> Result<Guests, String> {
    match value.as_str() {
        Some("none") => Ok(Guests::None),
        Some("join") => Ok(Guests::Join),
        _ => Err("\"none\" (only with a token) or \"join\" (everybody may join rooms)".to_owned()),
    }
}

pub(super) fn read_format(value: &Value) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("\"text\" or \"json\"".to_owned()),
    }
}

pub(super) fn read_level(value: &Value) -> Result<String, String> {
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
