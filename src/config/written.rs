//! The first step of the settings: which key was written where, with which value. An unknown key ends here.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::Value;

use super::{ConfigError, Origin};

/// Every setting there is.
pub const KEYS: &[&str] = &[
    "http.listen",
    "http.tls_cert",
    "http.tls_key",
    "http.behind_proxy",
    "media.port",
    "media.tcp",
    "media.advertise",
    "media.shards",
    "auth.keys",
    "auth.guests",
    "limits.participants",
    "limits.viewers",
    "limits.tracks",
    "limits.slots",
    "limits.voices",
    "limits.messages_per_second",
    "limits.message_bytes",
    "limits.metadata_bytes",
    "limits.data_messages_per_second",
    "limits.publish_kbps",
    "limits.connections_per_address",
    "limits.guest_joins_per_minute",
    "log.format",
    "log.level",
];

/// Settings whose values are in no error and no log.
const SECRET: &[&str] = &["auth.keys"];

const PREFIX: &str = "NINEFOLD_";

/// What was written, by key.
#[derive(Default)]
pub(super) struct Written(BTreeMap<String, (Value, Origin)>);

impl Written {
    pub(super) fn read_file(&mut self, text: &str) -> Result<(), ConfigError> {
        let sections: toml::Table = text.parse().map_err(|error| syntax(text, &error))?;
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

    pub(super) fn read_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), ConfigError> {
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
    pub(super) fn apply<T>(&self, key: &'static str, read: impl Fn(&Value) -> Result<T, String>, field: &mut T) -> Result<(), ConfigError> {
        let Some((value, _)) = self.0.get(key) else { return Ok(()) };
        *field = read(value).map_err(|right| self.wrong(key, right))?;
        Ok(())
    }

    /// The same for a setting that has no default.
    pub(super) fn find<T>(&self, key: &'static str, read: impl Fn(&Value) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
        let mut found = None;
        self.apply(key, |value| read(value).map(Some), &mut found)?;
        Ok(found)
    }

    /// What is written for `key` does not go together with the rest.
    pub(super) fn wrong(&self, key: &'static str, right: impl Into<String>) -> ConfigError {
        let (value, origin) = match self.0.get(key) {
            Some((value, origin)) => (value.to_string(), origin.clone()),
            None => (String::from("(not set)"), Origin::Default),
        };
        let value = if SECRET.contains(&key) { "(not shown)".to_owned() } else { value };
        ConfigError::Wrong { key, value, origin, right: right.into() }
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// Without the line itself, which may hold a key.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    ConfigError::Syntax { line: before.matches('\n').count() + 1, wrong: error.message().to_owned() }
}
