//! Tokens: JWTs signed with one of the server's [`Keys`]. What they claim comes out checked, or a refusal does.
//!
//! ```text
//! head.claims.signature ─► key by `kid` ─► its own algorithm? ─► signature ─► times ─► claims in bounds ─► Grants
//! ```
//!
//! Any program with the key may make them; [`mint`] is for `ninefold token` and for tests. Unknown claims are ignored, since other issuers add
//! `iss`, `iat` and `jti`. Times are given, in seconds since 1970: nothing here reads a clock.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, crypto};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::grants::{Grants, Publish, Rights, Rooms};
use super::keys::{Keys, Signer};
use crate::id::RoomName;
use crate::limits::{COMPLAINT_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, IDENTITY_CHARS_MAX, METADATA_BYTES_MAX, TOKEN_BYTES_MAX};

/// Clocks of issuers may be wrong by so much, in seconds.
pub const LEEWAY_S: u64 = 30;
/// In `room`: every room.
pub const ANY_ROOM: &str = "*";

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Without a token nobody comes in.
    #[error("this server wants an access token")]
    NoToken,
    /// Not three parts of base64 with JSON in them, or too long.
    #[error("the token is no JWT: {0}")]
    Malformed(&'static str),
    /// No key has this id, or there is no id and several keys.
    #[error("the token names no key of this server")]
    UnknownKey,
    /// Not signed by that key, or with another algorithm, or not at all.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Signed, and yet it says what it cannot say.
    #[error("the token's claims are wrong: {0}")]
    BadClaims(String),
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
}

/// What a token says. Every field but `exp` may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Identity; absent: the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Display name; absent: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text of the application; absent: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// A room's name, or [`ANY_ROOM`]; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// What may be published; absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<Source>>,
    /// May receive; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<bool>,
    /// May moderate the room; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderate: Option<bool>,
    /// Everything everywhere; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    /// Valid until, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: u64,
    /// Valid from, in seconds since 1970; absent: always was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_seconds")]
    pub nbf: Option<u64>,
}

/// What can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A screen with its sound.
    Screen,
}

/// What is read of a token's head.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// Names extensions that must be understood (RFC 7515); none is.
    crit: Option<Value>,
}

/// What the token grants at this time.
pub fn verify(token: &str, keys: &Keys, unix_s: u64) -> Result<Grants, Denied> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Denied::Malformed("it is too long"));
    }
    let no_jwt = || Denied::Malformed("it has not three parts with dots between them");
    let (message, signature) = token.rsplit_once('.').ok_or_else(no_jwt)?;
    let (head, claims) = message.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or_else(no_jwt)?;

    let head: Head = part(head).ok_or(Denied::Malformed("its head cannot be read"))?;
    if head.crit.is_some() {
        return Err(Denied::Malformed("its head asks for extensions"));
    }
    let key = keys.find(head.kid.as_deref()).ok_or(Denied::UnknownKey)?;
    // The key says with which algorithm it is used, never the token.
    if head.alg != key.algorithm_name() {
        return Err(Denied::BadSignature);
    }
    if !crypto::verify(signature, message.as_bytes(), &key.decoding(), key.algorithm()).unwrap_or(false) {
        return Err(Denied::BadSignature);
    }

    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Denied::Malformed("its claims are no base64"))?;
    let claims: Claims = serde_json::from_slice(&claims)
        .map_err(|error| Denied::BadClaims(error.to_string().chars().take(COMPLAINT_CHARS_MAX).collect()))?;
    if unix_s >= claims.exp.saturating_add(LEEWAY_S) {
        return Err(Denied::Expired);
    }
    if claims.nbf.is_some_and(|from| unix_s.saturating_add(LEEWAY_S) < from) {
        return Err(Denied::NotYet);
    }
    claims.grants().map_err(|wrong| Denied::BadClaims(wrong.to_owned()))
}

/// Signs a token. `None`: the key cannot sign, or the claims cannot be kept.
pub fn mint(claims: &Claims, signer: &Signer) -> Option<String> {
    let (id, algorithm, key) = signer.parts();
    let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
    claims.grants().ok()?;
    jsonwebtoken::encode(&header, claims, key).ok()
}

fn part<T: for<'a> Deserialize<'a>>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// RFC 7519 allows fractions of seconds.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    // Beyond the ends of u64 the cast stays at the end: long over, or never.
    f64::deserialize(deserializer).map(|seconds| seconds as u64)
}

fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|seconds| seconds.map(|seconds| seconds as u64))
}

impl Claims {
    /// What they grant; the error says what is wrong.
    pub fn grants(&self) -> Result<Grants, &'static str> {
        let admin = self.admin == Some(true);
        let in_bounds = |text: &Option<String>, chars_max: usize| {
            text.as_ref().is_none_or(|text| (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control))
        };
        if !in_bounds(&self.sub, IDENTITY_CHARS_MAX) {
            return Err("`sub` has 1 to 128 characters and no control characters");
        }
        let is_blank = self.name.as_ref().is_some_and(|name| name.trim().is_empty());
        if is_blank || !in_bounds(&self.name, DISPLAY_NAME_CHARS_MAX) {
            return Err("`name` has 1 to 64 characters and no control characters");
        }
        if self.metadata.as_ref().is_some_and(|metadata| metadata.len() > METADATA_BYTES_MAX) {
            return Err("`metadata` has at most 4096 bytes");
        }
        let rooms = match self.room.as_deref() {
            _ if admin => Rooms::Any,
            Some(ANY_ROOM) => Rooms::Any,
            Some(name) => Rooms::One(RoomName::parse(name).map_err(|_| "`room` is a room's name or \"*\"")?),
            None => Rooms::None,
        };
        let rights = Rights {
            publish: self.publish.as_ref().map_or(Publish::ALL, |sources| sources.iter().fold(Publish::NOTHING, with)),
            subscribe: self.subscribe.unwrap_or(true),
            moderate: self.moderate.unwrap_or(false),
        };
        Ok(Grants {
            identity: self.sub.clone(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            rooms,
            rights: if admin { Rights::MODERATOR } else { rights },
            admin,
        })
    }
}

fn with(publish: Publish, source: &Source) -> Publish {
    match source {
        Source::Camera => Publish { camera: true, ..publish },
        Source::Microphone => Publish { microphone: true, ..publish },
        Source::Screen => Publish { screen: true, ..publish },
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::secret_line;
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    /// A server with a secret and a public key, and what signs for both.
    struct Issuer {
        keys: Keys,
        pair: Ed25519KeyPair,
        pem: String,
    }

    impl Issuer {
        fn new() -> Issuer {
            let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("random numbers");
            let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
            let public = format!("app:EdDSA:{}", STANDARD.encode(pair.public_key().as_ref()));
            let keys = Keys::parse([&*secret_line("main", &[1; 32]), &*public]).expect("keys");
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
            Issuer { keys, pair, pem }
        }

        /// Signs what it is told to, right or wrong.
        fn sign(&self, head: &Value, claims: &Value) -> String {
            let message = format!("{}.{}", base64(head.to_string()), base64(claims.to_string()));
            let signature = match head["alg"].as_str() {
                Some("EdDSA") => self.pair.sign(message.as_bytes()).as_ref().to_vec(),
                Some("HS256") if head["kid"] == "app" => hmac(self.pair.public_key().as_ref(), &message),
                Some("HS256") => hmac(&[1; 32], &message),
                _ => vec![],
            };
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        fn verify(&self, token: &str) -> Result<Grants, Denied> {
            verify(token, &self.keys, NOW)
        }
    }

    fn base64(text: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn hmac(secret: &[u8], message: &str) -> Vec<u8> {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
    }

    fn head() -> Value {
        json!({ "alg": "HS256", "typ": "JWT", "kid": "main" })
    }

    #[test]
    fn claims_become_grants() {
        let issuer = Issuer::new();
        let member = Grants { identity: None, name: None, metadata: None, rooms: Rooms::None, rights: Rights::MEMBER, admin: false };
        let room = Rooms::One(RoomName::parse("a").expect("a name"));
        let rights = |publish| Rights { publish, ..Rights::MEMBER };
        for (claims, grants) in [
            (json!({}), member.clone()),
            (json!({ "room": "a", "iss": "x", "iat": 1, "jti": "y", "aud": ["z"] }), Grants { rooms: room.clone(), ..member.clone() }),
            (json!({ "room": "*" }), Grants { rooms: Rooms::Any, ..member.clone() }),
            (
                json!({ "sub": "ada@example.org", "name": "Ada", "metadata": "{}", "room": "a" }),
                Grants {
                    identity: Some("ada@example.org".into()),
                    name: Some("Ada".into()),
                    metadata: Some("{}".into()),
                    rooms: room.clone(),
                    ..member.clone()
                },
            ),
            (json!({ "publish": [] }), Grants { rights: rights(Publish::NOTHING), ..member.clone() }),
            (
                json!({ "publish": ["screen", "screen", "microphone"] }),
                Grants { rights: rights(Publish { camera: false, ..Publish::ALL }), ..member.clone() },
            ),
            (json!({ "subscribe": false }), Grants { rights: Rights { subscribe: false, ..Rights::MEMBER }, ..member.clone() }),
            (json!({ "moderate": true }), Grants { rights: Rights::MODERATOR, ..member.clone() }),
            (json!({ "admin": true }), Grants { rooms: Rooms::Any, rights: Rights::MODERATOR, admin: true, ..member.clone() }),
            (
                json!({ "admin": true, "room": "a", "publish": [], "moderate": false }),
                Grants { rooms: Rooms::Any, rights: Rights::MODERATOR, admin: true, ..member.clone() },
            ),
        ] {
            let mut claims = claims;
            claims["exp"] = json!(NOW + 60);
            for head in [head(), json!({ "alg": "EdDSA", "kid": "app" })] {
                assert_eq!(issuer.verify(&issuer.sign(&head, &claims)), Ok(grants.clone()), "{head} {claims}");
            }
        }
    }

    #[test]
    fn times_have_some_leeway() {
        let issuer = Issuer::new();
        for (claims, refused) in [
            (json!({ "exp": NOW + 1 }), None),
            (json!({ "exp": NOW - 29 }), None),
            (json!({ "exp": NOW - 30 }), Some(Denied::Expired)),
            (json!({ "exp": 0 }), Some(Denied::Expired)),
            (json!({ "exp": -5 }), Some(Denied::Expired)),
            (json!({ "exp": 1e300 }), None),
            (json!({ "exp": NOW as f64 + 0.5 }), None),
            (json!({ "exp": NOW + 100, "nbf": NOW + 30 }), None),
            (json!({ "exp": NOW + 100, "nbf": NOW + 31 }), Some(Denied::NotYet)),
            (json!({ "exp": NOW + 100, "nbf": null }), None),
        ] {
            assert_eq!(issuer.verify(&issuer.sign(&head(), &claims)).err(), refused, "{claims}");
        }
    }

    #[test]
    fn claims_out_of_bounds() {
        let issuer = Issuer::new();
        for claims in [
            json!({}),
            json!({ "exp": "1800000060" }),
            json!({ "exp": null }),
            json!({ "exp": NOW + 60, "sub": "" }),
            json!({ "exp": NOW + 60, "sub": "x".repeat(129) }),
            json!({ "exp": NOW + 60, "sub": "a\nb" }),
            json!({ "exp": NOW + 60, "sub": 5 }),
            json!({ "exp": NOW + 60, "name": " " }),
            json!({ "exp": NOW + 60, "name": "x".repeat(65) }),
            json!({ "exp": NOW + 60, "metadata": "é".repeat(2049) }),
            json!({ "exp": NOW + 60, "room": "a b" }),
            json!({ "exp": NOW + 60, "room": "" }),
            json!({ "exp": NOW + 60, "publish": ["camera", "kitchen"] }),
            json!({ "exp": NOW + 60, "publish": true }),
            json!({ "exp": NOW + 60, "moderate": "yes" }),
            json!([NOW + 60]),
            json!(null),
        ] {
            let refused = issuer.verify(&issuer.sign(&head(), &claims));
            assert!(matches!(refused, Err(Denied::BadClaims(_))), "{claims} {refused:?}");
        }
        let twice = format!("{{\"exp\":{0},\"exp\":{0}}}", NOW + 60);
        let message = format!("{}.{}", base64(head().to_string()), base64(twice));
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac(&[1; 32], &message)));
        assert!(matches!(issuer.verify(&token), Err(Denied::BadClaims(_))), "the same claim twice");
    }

    #[test]
    fn only_the_right_key_with_its_own_algorithm() {
        let issuer = Issuer::new();
        let claims = json!({ "exp": NOW + 60, "room": "a" });
        for (head, refused) in [
            (json!({ "alg": "none", "kid": "main" }), Denied::BadSignature),
            (json!({ "alg": "None", "kid": "app" }), Denied::BadSignature),
            (json!({ "alg": "HS256", "kid": "app" }), Denied::BadSignature),
            (json!({ "alg": "EdDSA", "kid": "main" }), Denied::BadSignature),
            (json!({ "alg": "HS512", "kid": "main" }), Denied::BadSignature),
            (json!({ "alg": "hs256", "kid": "main" }), Denied::BadSignature),
            (json!({ "alg": "HS256", "kid": "other" }), Denied::UnknownKey),
            (json!({ "alg": "HS256", "kid": "../../etc/passwd" }), Denied::UnknownKey),
            (json!({ "alg": "HS256", "kid": "" }), Denied::UnknownKey),
            (json!({ "alg": "HS256" }), Denied::UnknownKey),
            (json!({ "alg": "HS256", "kid": 5 }), Denied::Malformed("its head cannot be read")),
            (json!({ "kid": "main" }), Denied::Malformed("its head cannot be read")),
            (json!({ "alg": "HS256", "kid": "main", "crit": ["b64"], "b64": false }), Denied::Malformed("its head asks for extensions")),
        ] {
            assert_eq!(issuer.verify(&issuer.sign(&head, &claims)), Err(refused), "{head}");
        }
        for alg in ["none", "HS512", "EdDSA", "hs256", ""] {
            let message = format!("{}.{}", base64(json!({ "alg": alg, "kid": "main" }).to_string()), base64(claims.to_string()));
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac(&[1; 32], &message)));
            assert_eq!(issuer.verify(&token), Err(Denied::BadSignature), "signed rightly, and called {alg:?}");
        }
        let only = Keys::parse([&*secret_line("main", &[1; 32])]).expect("a key");
        let unnamed = issuer.sign(&json!({ "alg": "HS256" }), &claims);
        assert!(verify(&unnamed, &only, NOW).is_ok(), "one key needs no name");
        assert_eq!(verify(&unnamed, &Keys::default(), NOW), Err(Denied::UnknownKey));
        let other = Keys::parse([&*secret_line("main", &[2; 32])]).expect("a key");
        assert_eq!(verify(&unnamed, &other, NOW), Err(Denied::BadSignature));
    }

    #[test]
    fn tampered_and_garbage() {
        let issuer = Issuer::new();
        let token = issuer.sign(&head(), &json!({ "exp": NOW + 60, "room": "a" }));
        assert!(issuer.verify(&token).is_ok());
        let parts: Vec<&str> = token.split('.').collect();
        let claims = base64(json!({ "exp": NOW + 60, "room": "*" }).to_string());
        assert_eq!(issuer.verify(&format!("{}.{claims}.{}", parts[0], parts[2])), Err(Denied::BadSignature));
        for end in ["", "!", "AAAA", parts[1]] {
            assert_eq!(issuer.verify(&format!("{}.{}.{end}", parts[0], parts[1])), Err(Denied::BadSignature), "{end}");
        }
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] ^= 1;
            let changed = String::from_utf8(bytes).expect("still ASCII");
            assert!(issuer.verify(&changed).is_err(), "{changed}");
        }
        let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
        for garbage in ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "äöü.€.🙂", "{}.{}.", &*long, &format!("{token}.")] {
            let refused = issuer.verify(garbage);
            assert!(matches!(refused, Err(Denied::Malformed(_))), "{garbage} {refused:?}");
        }
    }

    #[test]
    fn what_is_minted_is_taken() {
        let issuer = Issuer::new();
        let claims = Claims { sub: Some("ada".into()), room: Some("a".into()), exp: NOW + 60, ..Claims::default() };
        let key = |id| issuer.keys.find(Some(id)).expect("it is there");
        let grants = claims.grants().expect("good claims");
        let by_secret = mint(&claims, &key("main").signer().expect("a secret signs")).expect("a token");
        assert_eq!(issuer.verify(&by_secret), Ok(grants.clone()));
        let by_private_key = mint(&claims, &key("app").signer_with(&issuer.pem).expect("a private key")).expect("a token");
        assert_eq!(issuer.verify(&by_private_key), Ok(grants));
        assert!(key("app").signer().is_none() && key("app").signer_with("nonsense").is_none());
        let strange = key("app").signer_with("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").expect("base64");
        assert_eq!(mint(&claims, &strange), None);
        let wrong = Claims { room: Some("a b".into()), ..claims };
        assert_eq!(mint(&wrong, &key("main").signer().expect("a secret signs")), None);
    }
}
