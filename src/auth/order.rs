//! A token to order, for `ninefold token`: finds the key, signs, and takes what it made to the same judge that the server asks.

use super::keys::{Key, Keys, SECRET_BYTES_MIN, secret_line};
use super::token::{self, Claims, Denied, mint};

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct TokenOrder<'a> {
    /// The key's id; `None`: the only one that can be meant.
    pub key: Option<&'a str>,
    /// PKCS#8 PEM, for a public key.
    pub private_key_pem: Option<&'a str>,
    /// What the token says.
    pub claims: &'a Claims,
}

/// Why there is no token. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No key has this id.
    #[error("--key: auth.keys has no key {0:?}; it has {1}")]
    NoKey(String, String),
    /// Several could be meant.
    #[error("--key: auth.keys has several keys, so name one of {0}")]
    WhichKey(String),
    /// Only who has the private key can sign.
    #[error("--private-key: the key {0} is a public one (EdDSA); name the file of its private key, as PKCS#8 PEM")]
    NeedsPrivateKey(String),
    /// A secret signs by itself.
    #[error("--private-key: the key {0} is a secret (HS256), which needs none")]
    NeedsNoPrivateKey(String),
    /// The text is no private key.
    #[error("--private-key: it is no Ed25519 key as PKCS#8 PEM (`openssl genpkey -algorithm ed25519` makes one)")]
    BadPrivateKey,
    /// The server would not take it.
    #[error("the server would refuse this token: {0}")]
    Refused(Denied),
    /// No random numbers for a new key.
    #[error("the system gives no random numbers")]
    NoRandom,
}

impl TokenOrder<'_> {
    /// The token, valid at this time (in seconds since 1970).
    pub fn fill(&self, keys: &Keys, unix_s: u64) -> Result<String, OrderError> {
        let key = self.choose(keys)?;
        let id = || key.id().to_owned();
        let signer = match (key.signer(), self.private_key_pem) {
            (Some(signer), None) => signer,
            (Some(_), Some(_)) => return Err(OrderError::NeedsNoPrivateKey(id())),
            (None, Some(pem)) => key.signer_with(pem).ok_or(OrderError::BadPrivateKey)?,
            (None, None) => return Err(OrderError::NeedsPrivateKey(id())),
        };
        self.claims.grants().map_err(|wrong| OrderError::Refused(Denied::BadClaims(wrong.to_owned())))?;
        let token = mint(self.claims, &signer).ok_or(OrderError::BadPrivateKey)?;
        // A private key of another pair signs as well, and nobody would take it.
        token::verify(&token, keys, unix_s).map_err(OrderError::Refused)?;
        Ok(token)
    }

    fn choose<'a>(&self, keys: &'a Keys) -> Result<&'a Key, OrderError> {
        let all = || keys.iter().map(Key::id).collect::<Vec<_>>().join(", ");
        match self.key {
            Some(id) => keys.find(Some(id)).ok_or_else(|| OrderError::NoKey(id.to_owned(), all())),
            None => {
                let mut meant = keys.iter().filter(|key| key.signer().is_none() == self.private_key_pem.is_some());
                match (keys.find(None), meant.next(), meant.next()) {
                    (Some(key), _, _) | (None, Some(key), None) => Ok(key),
                    (None, _, _) => Err(OrderError::WhichKey(all())),
                }
            }
        }
    }
}

/// A line for `auth.keys` with a new secret, under an id that tells it from others.
pub fn new_key_line() -> Result<String, OrderError> {
    let (mut id, mut secret) = ([0; 4], [0; SECRET_BYTES_MIN]);
    aws_lc_rs::rand::fill(&mut id).and_then(|()| aws_lc_rs::rand::fill(&mut secret)).map_err(|_| OrderError::NoRandom)?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(secret_line(&format!("key-{id}"), &secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    const NOW: u64 = 1_800_000_000;

    /// The line of a new pair, and its private key.
    fn pair(id: &str) -> (String, String) {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("random numbers");
        let public = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
        (format!("{id}:EdDSA:{}", STANDARD.encode(public.public_key().as_ref())), pem)
    }

    #[test]
    fn orders() {
        let ((app, pem), (_, other_pem)) = (pair("app"), pair("other"));
        let (main, next) = (secret_line("main", &[1; 32]), secret_line("next", &[2; 32]));
        let keys = |lines: &[&String]| Keys::parse(lines.iter().map(|line| line.as_str())).expect("keys");
        let mixed = keys(&[&main, &app]);
        let claims = Claims { room: Some("a".into()), exp: NOW + 60, ..Claims::default() };
        let order = TokenOrder { key: None, private_key_pem: None, claims: &claims };
        let with = |key, private_key_pem| TokenOrder { key, private_key_pem, ..order };
        let all = || "main, app".to_owned();
        let refused = |denied| Err(OrderError::Refused(denied));
        for (order, keys, made) in [
            (order, &mixed, Ok(())),
            (with(Some("main"), None), &mixed, Ok(())),
            (with(None, Some(&*pem)), &mixed, Ok(())),
            (with(Some("app"), Some(&*pem)), &mixed, Ok(())),
            (with(Some("app"), None), &mixed, Err(OrderError::NeedsPrivateKey("app".into()))),
            (with(Some("main"), Some(&*pem)), &mixed, Err(OrderError::NeedsNoPrivateKey("main".into()))),
            (with(Some("app"), Some("x")), &mixed, Err(OrderError::BadPrivateKey)),
            (with(Some("app"), Some(&*other_pem)), &mixed, refused(Denied::BadSignature)),
            (with(Some("nobody"), None), &mixed, Err(OrderError::NoKey("nobody".into(), all()))),
            (order, &keys(&[&main, &next]), Err(OrderError::WhichKey("main, next".into()))),
            (order, &keys(&[&app]), Err(OrderError::NeedsPrivateKey("app".into()))),
            (TokenOrder { claims: &Claims { exp: NOW - 60, ..claims.clone() }, ..order }, &mixed, refused(Denied::Expired)),
            (
                TokenOrder { claims: &Claims { room: Some("a b".into()), ..claims.clone() }, ..order },
                &mixed,
                refused(Denied::BadClaims("`room` is a room's name or \"*\"".into())),
            ),
        ] {
            assert_eq!(order.fill(keys, NOW).map(drop), made, "{order:?}");
        }
    }

    #[test]
    fn new_keys_are_keys_and_differ() {
        let lines = [new_key_line().expect("random numbers"), new_key_line().expect("random numbers")];
        assert!(Keys::parse(lines.iter().map(String::as_str)).is_ok(), "{lines:?}");
    }
}
