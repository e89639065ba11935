//! Access tokens, and the lines of settings that hold keys: refused or judged, and nobody gets in without the secret.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ninefold::auth::{Access, Claims, Keys, Secret, Unknown, mint};

const NOW: u64 = 1_800_000_000;

fn keys() -> Keys {
    let secret = "main:HS256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    Keys::parse([secret, "app:EdDSA:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]).expect("good keys")
}

static ACCESS: LazyLock<Access> = LazyLock::new(|| Access::new(keys(), Unknown::Refused));

/// The one token that is good.
static GOOD: LazyLock<String> = LazyLock::new(|| {
    let claims = Claims { room: Some("a".into()), exp: NOW + 60, ..Claims::default() };
    mint(&claims, &keys().find(Some("main")).and_then(|key| key.signer()).expect("a secret signs")).expect("a token")
});

fuzz_target!(|text: &str| {
    if ACCESS.grants(Some(text), NOW).is_ok() {
        assert_eq!(text, *GOOD, "somebody got in without the secret");
    }
    // Half of a good token in front lets the fuzzer past the first checks.
    let spliced = format!("{}{text}", &GOOD[..GOOD.len() / 2]);
    if spliced != *GOOD {
        assert!(ACCESS.grants(Some(&spliced), NOW).is_err());
    }
    let _ = Keys::parse([text]);
    if let Some(secret) = Secret::parse(text) {
        assert_eq!(secret.reveal(), text);
    }
});
