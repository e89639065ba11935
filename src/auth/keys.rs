//! The keys that tokens are signed with: read from a line of the settings, held, never shown.
//!
//! ```text
//! "main:HS256:BASE64 of a secret"        verifies and signs
//! "app:EdDSA:BASE64 of a public key"     verifies; who has the private key signs elsewhere
//! ```
//!
//! A key knows its algorithm, and only that one is tried with it: what the head of a token says cannot turn a public key into a secret.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::limits::{KEY_BYTES_MAX, KEY_ID_CHARS_MAX, KEYS_MAX};

/// Shorter secrets can be guessed from a single token; RFC 7518 asks for as many bytes as the hash has.
pub const SECRET_BYTES_MIN: usize = 32;
const PUBLIC_KEY_BYTES: usize = 32;

/// Several keys with different ids, at most [`KEYS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// One of them. `Debug` shows its id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Secret(Vec<u8>),
    PublicKey(Vec<u8>),
}

/// What signs: a secret of the settings, or a private key from elsewhere.
pub struct Signer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

/// Why a text is no key. Says which one by its place and id, and never what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {place}{}: {wrong}", named(id))]
pub struct BadKey {
    /// Which of the list, from 1.
    pub place: usize,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What is wrong.
    pub wrong: String,
}

fn named(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default()
}

impl Keys {
    /// Reads a list of `ID:ALGORITHM:BASE64`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Keys, BadKey> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            let place = index + 1;
            let key = Key::parse(text).map_err(|(id, wrong)| BadKey { place, id, wrong })?;
            let bad = |wrong: String| BadKey { place, id: Some(key.id.clone()), wrong };
            if keys.iter().any(|known| known.id == key.id) {
                return Err(bad("another key has the same id".to_owned()));
            }
            if keys.len() == KEYS_MAX {
                return Err(bad(format!("there may be at most {KEYS_MAX} keys")));
            }
            keys.push(key);
        }
        Ok(Keys(keys))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The one with this id; without an id the only one. The id is compared and nothing else: it never becomes a path or an address.
    pub fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, &self.0[..]) {
            (Some(id), keys) => keys.iter().find(|key| key.id == id),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Key {
    fn parse(text: &str) -> Result<Key, (Option<String>, String)> {
        let mut parts = text.trim().splitn(3, ':');
        let (Some(id), Some(algorithm), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            // The text may be nothing but the secret, so no part of it is repeated.
            return Err((None, "has not the three parts ID:ALGORITHM:BASE64".to_owned()));
        };
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > KEY_ID_CHARS_MAX || !id.chars().all(good) {
            return Err((None, format!("an id has 1 to {KEY_ID_CHARS_MAX} letters, digits, '.', '_' or '-'")));
        }
        let bad = |wrong: String| (Some(id.to_owned()), wrong);
        let bytes = decode(encoded).ok_or_else(|| bad("what stands behind the algorithm is no base64".to_owned()))?;
        let length = bytes.len();
        let material = match algorithm {
            "HS256" if (SECRET_BYTES_MIN..=KEY_BYTES_MAX).contains(&length) => Material::Secret(bytes),
            "HS256" => return Err(bad(format!("a secret has {SECRET_BYTES_MIN} to {KEY_BYTES_MAX} bytes, this one has {length}"))),
            "EdDSA" if length == PUBLIC_KEY_BYTES => Material::PublicKey(bytes),
            "EdDSA" => return Err(bad(format!("a public key has {PUBLIC_KEY_BYTES} bytes, this one has {length}"))),
            _ => return Err(bad("the algorithm is HS256 or EdDSA".to_owned())),
        };
        Ok(Key { id: id.to_owned(), material })
    }

    /// Its id, as tokens name it in `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm, as tokens name it in `alg`.
    pub fn algorithm_name(&self) -> &'static str {
        match self.material {
            Material::Secret(_) => "HS256",
            Material::PublicKey(_) => "EdDSA",
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::HS256,
            Material::PublicKey(_) => Algorithm::EdDSA,
        }
    }

    pub(super) fn decoding(&self) -> DecodingKey {
        match &self.material {
            Material::Secret(bytes) => DecodingKey::from_secret(bytes),
            Material::PublicKey(bytes) => DecodingKey::from_ed_der(bytes),
        }
    }

    /// What signs with it: a secret does by itself, a public key needs its private one. `None`: it is a public key.
    pub fn signer(&self) -> Option<Signer> {
        match &self.material {
            Material::Secret(bytes) => {
                Some(Signer { id: self.id.clone(), algorithm: Algorithm::HS256, key: EncodingKey::from_secret(bytes) })
            }
            Material::PublicKey(_) => None,
        }
    }

    /// What signs with the private key of this public one, read from PKCS#8 PEM (`openssl genpkey -algorithm ed25519`). `None`: it is no
    /// such text. Whether the two belong together shows when a token is verified.
    pub fn signer_with(&self, private_key_pem: &str) -> Option<Signer> {
        let (_, rest) = private_key_pem.split_once("-----BEGIN PRIVATE KEY-----")?;
        let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
        let body: String = body.split_whitespace().collect();
        let key = EncodingKey::from_ed_der(&general_purpose::STANDARD.decode(body).ok()?);
        Some(Signer { id: self.id.clone(), algorithm: Algorithm::EdDSA, key })
    }
}

impl Signer {
    pub(super) fn parts(&self) -> (&str, Algorithm, &EncodingKey) {
        (&self.id, self.algorithm, &self.key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {}, …)", self.id, self.algorithm_name())
    }
}

/// A line for the settings with a secret of these bytes.
pub fn secret_line(id: &str, secret: &[u8; SECRET_BYTES_MIN]) -> String {
    format!("{id}:HS256:{}", general_purpose::STANDARD.encode(secret))
}

/// Either alphabet, with padding or without: other tools print all four.
fn decode(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engines = [STANDARD, URL_SAFE].map(|alphabet| GeneralPurpose::new(&alphabet, config));
    engines.iter().find_map(|engine| engine.decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_base64() {
        // 0xFB 0xFF … has characters that differ between the alphabets.
        let bytes: Vec<u8> = (0..32).map(|index| if index % 2 == 0 { 0xFB } else { 0xFF }).collect();
        for engine in [&general_purpose::STANDARD, &general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE] {
            for algorithm in ["HS256", "EdDSA"] {
                let keys = Keys::parse([&*format!(" a.b_C-9:{algorithm}:{} ", engine.encode(&bytes))]).expect("a key");
                let key = keys.find(Some("a.b_C-9")).expect("it is there");
                assert_eq!((key.id(), key.algorithm_name()), ("a.b_C-9", algorithm));
                assert_eq!(key.signer().is_some(), algorithm == "HS256");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";
        let long_id = "x".repeat(65);
        for (text, said) in [
            (secret.to_owned(), "key 1: has not the three parts ID:ALGORITHM:BASE64"),
            (format!("{secret}:"), "key 1: has not the three parts"),
            (format!(":HS256:{secret}"), "key 1: an id has 1 to 64 letters"),
            (format!("a/../b:HS256:{secret}"), "key 1: an id has 1 to 64 letters"),
            (format!("{long_id}:HS256:{secret}"), "key 1: an id has 1 to 64 letters"),
            (format!("a:RS256:{secret}"), "key 1 (a): the algorithm is HS256 or EdDSA"),
            (format!("a:none:{secret}"), "key 1 (a): the algorithm is HS256 or EdDSA"),
            (format!("a:EdDSA:{secret}"), "key 1 (a): a public key has 32 bytes, this one has 34"),
            ("a:HS256:c2VjcmV0".to_owned(), "key 1 (a): a secret has 32 to 1024 bytes, this one has 6"),
            (format!("a:HS256:{}", "A".repeat(1368)), "key 1 (a): a secret has 32 to 1024 bytes, this one has 1026"),
            (format!("a:HS256:{secret}!"), "key 1 (a): what stands behind the algorithm is no base64"),
            ("a:HS256:".to_owned(), "key 1 (a): a secret has 32 to 1024 bytes, this one has 0"),
        ] {
            let error = Keys::parse([&*text]).expect_err(&text).to_string();
            assert!(error.starts_with(said) && !error.contains("c2Vj"), "{error}\n{said}");
        }
        let key = format!("a:HS256:{secret}");
        assert_eq!(Keys::parse([&*key, &*key]).expect_err("twice").to_string(), "key 2 (a): another key has the same id");
        let many: Vec<String> = (0..=KEYS_MAX).map(|number| format!("k{number}:HS256:{secret}")).collect();
        let error = Keys::parse(many.iter().map(String::as_str)).expect_err("too many").to_string();
        assert_eq!(error, "key 17 (k16): there may be at most 16 keys");
        let keys = Keys::parse([&*key]).expect("a key");
        assert_eq!(format!("{keys:?}"), "Keys([Key(a, HS256, …)])");
    }

    #[test]
    fn a_new_line_is_a_key() {
        let line = secret_line("new", &[7; 32]);
        let keys = Keys::parse([&*line, &*secret_line("other", &[8; 32])]).expect("both are right");
        assert!(keys.find(Some("new")).is_some() && keys.find(Some("nobody")).is_none());
        assert!(keys.find(None).is_none(), "not the only one");
        assert_eq!(Keys::parse([&*line]).expect("right").find(None).map(Key::id), Some("new"));
    }
}
