//! How values of a scenario are written in TOML: quantities with their units, and the few keys that take a word or a number.

use std::fmt::Display;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::media::Camera;
use crate::scenario::Frozen;
use crate::units;

/// A camera as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "one")]
    layers: usize,
    #[serde(default = "usual")]
    fps: u32,
    bitrate: String,
}

fn one() -> usize {
    1
}

fn usual() -> u32 {
    25
}

/// A word, a number or a yes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, true, false or a text")]
enum Word {
    Yes(bool),
    Number(u64),
    Text(String),
}

fn quantity<'de, D: Deserializer<'de>, T>(from: D, read: fn(&str) -> Result<T, String>) -> Result<T, D::Error> {
    read(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// `"10s"`.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    quantity(from, units::duration)
}

/// The same, of a key that may be left out.
pub fn maybe_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// `["1s", "2s"]`.
pub fn durations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let all = Vec::<String>::deserialize(from)?;
    all.iter().map(|text| units::duration(text).map_err(D::Error::custom)).collect()
}

/// `"5%"`.
pub fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    quantity(from, units::share)
}

/// `{ layers = 3, fps = 25, bitrate = "1.5mbit" }`.
pub fn camera<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Camera>, D::Error> {
    let Written { layers, fps, bitrate } = Written::deserialize(from)?;
    let bits = units::bitrate(&bitrate).map_err(D::Error::custom)?;
    let bitrate_bps = bits.try_into().map_err(|_| D::Error::custom(format!("{bitrate:?} is more than any camera makes")))?;
    Ok(Some(Camera { layers, fps, bitrate_bps }))
}

/// `true`, `false` or `"50%"`.
pub fn light<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    match Word::deserialize(from)? {
        Word::Yes(light) => Ok(f64::from(u8::from(light))),
        Word::Text(text) => units::share(&text).map_err(D::Error::custom),
        Word::Number(number) => Err(wrong(number, "true, false, or a share such as \"50%\"")),
    }
}

/// `3` or `"any"`.
pub fn count_or_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let wanted = "a number or \"any\"";
    match Word::deserialize(from)? {
        Word::Number(number) => Ok(Some(number)),
        Word::Text(text) if text == "any" => Ok(None),
        Word::Text(text) => Err(wrong(format!("{text:?}"), wanted)),
        Word::Yes(yes) => Err(wrong(yes, wanted)),
    }
}

/// `"2%"` or `"once"`.
pub fn frozen<'de, D: Deserializer<'de>>(from: D) -> Result<Frozen, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "once" => Ok(Frozen::Once),
        share => units::share(share).map(Frozen::Share).map_err(|why| D::Error::custom(format!("{why}, or \"once\""))),
    }
}

fn wrong<E: Error>(value: impl Display, wanted: &str) -> E {
    E::custom(format!("{value} is not {wanted}"))
}
