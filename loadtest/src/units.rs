//! Quantities as people write them, always with their unit: `200ms`, `5%`, `500kbit`, `60kB`. Total: whatever is written is a quantity or an error.

use std::time::Duration;

/// A span of time: `500us`, `200ms`, `10s`, `1.5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let seconds = scaled(text, &units, "a time and its unit, such as 200ms, 10s or 2m (units are us, ms, s, m, h)")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"))
}

/// A share of all, 0 to 1: `5%`, `0.5%`.
pub fn share(text: &str) -> Result<f64, String> {
    let share = scaled(text, &[("%", 0.01)], "a share in percent, such as 5%")?;
    if share <= 1.0 { Ok(share) } else { Err(format!("{text:?} is more than everything")) }
}

/// A rate in bits a second: `300bit`, `500kbit`, `3mbit`, `1gbit`.
pub fn bitrate(text: &str) -> Result<u64, String> {
    let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    scaled(text, &units, "a rate in bits a second and its unit, such as 500kbit or 3mbit").map(|bits| bits as u64)
}

/// A number of bytes: `1500B`, `60kB`, `1MB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let units = [("MB", 1e6), ("kB", 1e3), ("B", 1.0)];
    scaled(text, &units, "a number of bytes and its unit, such as 60kB").map(|bytes| bytes as usize)
}

/// The number before the unit, in terms of the unit. Not negative and not infinite.
fn scaled(text: &str, units: &[(&str, f64)], wanted: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not {wanted}");
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let scaled = number * factor;
    if scaled.is_finite() { Ok(scaled) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(duration("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!((share("5%"), share("100%")), (Ok(0.05), Ok(1.0)));
        assert_eq!((bitrate("500kbit"), bitrate("1.5mbit"), bitrate("9bit")), (Ok(500_000), Ok(1_500_000), Ok(9)));
        assert_eq!((bytes("1500B"), bytes("60kB"), bytes("1MB")), (Ok(1_500), Ok(60_000), Ok(1_000_000)));
    }

    #[test]
    fn what_is_no_quantity() {
        for wrong in ["", "10", "s", "-1s", "+1s", "10x", "1e3s", "1.2.3s", "10 s", "ms10", "99999999999999999999999h", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "101%", "-1%", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        for wrong in ["500", "500kb", "500KBIT", "kbit", "-1bit"] {
            assert!(bitrate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["60", "60kb", "60k"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!(duration(&"9".repeat(400)).is_err());
        assert!(duration(&("9".repeat(400) + "s")).is_err());
    }
}
