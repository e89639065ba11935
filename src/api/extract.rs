//! What handlers take from a request, checked: the room's name, a participant's number, a JSON body, the page's origin.
//!
//! Each fails with our own [`Error`], so no text of the framework reaches a client. Who the client is (tokens) will be found here too.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::{Code, Error};
use crate::id::{BadRoomName, PeerId, RoomName};
use crate::limits::REST_BODY_BYTES_MAX;

/// The `{room}` of the path.
#[derive(Debug)]
pub struct InRoom(pub RoomName);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InRoom, Error> {
        let name = path_param(parts, state, "room").await.ok_or(BadRoomName)?;
        Ok(InRoom(RoomName::parse(&name)?))
    }
}

/// STAND-IN
#[derive(Debug)]
pub struct ClientAddress(pub std::net::IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<ClientAddress, Error> {
        Ok(ClientAddress(std::net::Ipv4Addr::LOCALHOST.into()))
    }
}

/// STAND-IN
#[derive(Debug)]
pub struct Caller;

impl Caller {
    /// STAND-IN
    pub fn require_admin(&self) -> Result<(), Error> {
        Ok(())
    }

    /// STAND-IN
    pub fn require_moderator(&self, _room: &RoomName) -> Result<(), Error> {
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Caller, Error> {
        Ok(Caller)
    }
}

/// The `{participant}` of the path.
#[derive(Debug)]
pub struct OfParticipant(pub PeerId);

impl<S: Send + Sync> FromRequestParts<S> for OfParticipant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<OfParticipant, Error> {
        let number = path_param(parts, state, "participant").await.and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Error::new(Code::NoParticipant, "participants are numbers"))?;
        Ok(OfParticipant(PeerId(number)))
    }
}

/// One part of the path, percent-decoded. `None`: what is encoded is no UTF-8.
async fn path_param<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// A body of JSON. It must say so: a form of another site can send text to us without asking, but not with this content type.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<JsonBody<T>, Error> {
        if !is_json(request.headers()) {
            return Err(Error::new(Code::NotJson, "the body must be JSON, with the content type application/json"));
        }
        let too_large = || Error::new(Code::TooLarge, format!("a body has at most {REST_BODY_BYTES_MAX} bytes"));
        let body = to_bytes(request.into_body(), REST_BODY_BYTES_MAX).await.map_err(|_| too_large())?;
        serde_json::from_slice(&body).map(JsonBody).map_err(Error::bad_message)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The request comes from our own page or from no page. Browsers let any site open a WebSocket to us, so a foreign `Origin` is refused; programs
/// that are no browsers send none.
#[derive(Debug)]
pub struct OwnOrigin;

impl<S: Send + Sync> FromRequestParts<S> for OwnOrigin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<OwnOrigin, Error> {
        if !is_own_origin(&parts.headers) {
            return Err(Error::new(Code::ForeignOrigin, "the page comes from another site"));
        }
        Ok(OwnOrigin)
    }
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // An origin is scheme://host[:port], or `null` for a page that has none.
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some(("http" | "https", origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header value"))).collect()
    }

    #[test]
    fn origins() {
        let cases = [
            (None, Some("localhost:8080"), true),
            (Some("http://localhost:8080"), Some("localhost:8080"), true),
            (Some("https://meet.example"), Some("Meet.example"), true),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), true),
            (Some("http://localhost:8081"), Some("localhost:8080"), false),
            (Some("http://127.0.0.1:8080"), Some("localhost:8080"), false),
            (Some("http://localhost:8080.evil.example"), Some("localhost:8080"), false),
            (Some("http://evil.example"), Some("localhost:8080"), false),
            (Some("null"), Some("localhost:8080"), false),
            (Some("file://"), Some(""), false),
            (Some("http://localhost:8080"), None, false),
        ];
        for (origin, host, own) in cases {
            let pairs = [origin.map(|origin| (ORIGIN, origin)), host.map(|host| (HOST, host))];
            let pairs: Vec<_> = pairs.into_iter().flatten().collect();
            assert_eq!(is_own_origin(&headers(&pairs)), own, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn content_types() {
        for (value, json) in [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/plain", false), ("", false)] {
            assert_eq!(is_json(&headers(&[(CONTENT_TYPE, value)])), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
