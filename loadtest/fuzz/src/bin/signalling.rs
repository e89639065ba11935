//! What a client says in JSON: it is refused or understood, and what is understood can be said again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ninefold::api::protocol::ClientMessage;

fuzz_target!(|text: &str| {
    let Ok(message) = serde_json::from_str::<ClientMessage>(text) else { return };
    let again = serde_json::to_string(&message).expect("it can be written");
    assert_eq!(serde_json::from_str::<ClientMessage>(&again).expect("it can be read again"), message);
});
