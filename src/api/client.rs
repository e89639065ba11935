//! Where a request comes from: the client's address, the host it asked for, the page it comes from.
//!
//! ```text
//!                  address                      host                     origin must be
//! direct           of the connection            Host                     http(s)://Host
//! behind a proxy   X-Forwarded-For, its last    X-Forwarded-Host, Host   the same of that host
//! ```
//!
//! The last entry of `X-Forwarded-For` is what our proxy saw; what stands before it anybody may have written. Without a proxy in the settings
//! these headers mean nothing.

use std::net::IpAddr;

use axum::http::header::{FORWARDED, HOST, HeaderMap, ORIGIN, VIA};
use axum::http::{HeaderName, Uri};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The client as our proxy names it; nothing if it does not.
pub fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    if let Some(entry) = last_entry(headers, &X_FORWARDED_FOR) {
        return address(entry);
    }
    let last = last_entry(headers, &FORWARDED)?;
    let pairs = last.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

/// Lists may be spread over several headers.
fn last_entry<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let last = headers.get_all(name).iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// With a port or without; some proxies write one.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.split_once(']')).map(|(ip, _)| ip);
    let with_port = || text.rsplit_once(':').and_then(|(ip, _)| ip.parse().ok());
    bare.unwrap_or(text).parse().ok().or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

/// Whether the host that was asked for is this machine, by a name that no DNS server can give to another. A page of a stranger whose name
/// suddenly means 127.0.0.1 (DNS rebinding) is kept away by this. Without a host it is no browser.
pub fn asks_for_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = match (uri.authority(), headers.get(HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or_default(),
        (None, None) => return true,
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}

/// Whether a proxy says that it passes on what another sent. The development server of the page says nothing of the kind.
pub fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    [FORWARDED, VIA, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP].iter().any(|name| headers.contains_key(name))
}

/// Whether the request comes from our own page or from no page.
pub fn is_own_origin(headers: &HeaderMap, behind_proxy: bool) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let asked = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = if behind_proxy { last_entry(headers, &X_FORWARDED_HOST).or_else(asked) } else { asked() };
    // An origin is scheme://host[:port], or `null` for a page that has none. The scheme is the proxy's where there is one.
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some(("http" | "https", origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn origins() {
        let cases = [
            (None, Some("localhost:8080"), None, true),
            (Some("http://localhost:8080"), Some("localhost:8080"), None, true),
            (Some("https://meet.example"), Some("Meet.example"), None, true),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), None, true),
            (Some("http://localhost:8081"), Some("localhost:8080"), None, false),
            (Some("http://127.0.0.1:8080"), Some("localhost:8080"), None, false),
            (Some("http://localhost:8080.evil.example"), Some("localhost:8080"), None, false),
            (Some("http://evil.example"), Some("localhost:8080"), None, false),
            (Some("null"), Some("localhost:8080"), None, false),
            (Some("file://"), Some(""), None, false),
            (Some("http://localhost:8080"), None, None, false),
            // Behind a proxy, which may pass on the host or name it apart.
            (Some("https://meet.example"), Some("127.0.0.1:8080"), Some("meet.example"), true),
            (Some("https://evil.example"), Some("meet.example"), Some("evil.example, meet.example"), false),
            (Some("https://evil.example"), Some("evil.example"), Some("meet.example"), false),
        ];
        for (origin, host, forwarded, own) in cases {
            let pairs =
                [origin.map(|origin| (ORIGIN, origin)), host.map(|host| (HOST, host)), forwarded.map(|host| (X_FORWARDED_HOST, host))];
            let pairs: Vec<_> = pairs.into_iter().flatten().collect();
            assert_eq!(is_own_origin(&headers(&pairs), forwarded.is_some()), own, "{origin:?} {host:?} {forwarded:?}");
            assert!(forwarded.is_some() || is_own_origin(&headers(&pairs), true) == own, "the header is absent: {origin:?}");
        }
        let forged = headers(&[(ORIGIN, "https://evil.example"), (HOST, "localhost:8080"), (X_FORWARDED_HOST, "evil.example")]);
        assert!(!is_own_origin(&forged, false), "without a proxy the header means nothing");
    }

    #[test]
    fn clients_behind_a_proxy() {
        for (pairs, client) in [
            (&[][..], None),
            (&[(X_FORWARDED_FOR, "192.0.2.7")], Some("192.0.2.7")),
            (&[(X_FORWARDED_FOR, "1.1.1.1, 192.0.2.7")], Some("192.0.2.7")),
            (&[(X_FORWARDED_FOR, "1.1.1.1"), (X_FORWARDED_FOR, "2.2.2.2,192.0.2.7")], Some("192.0.2.7")),
            (&[(X_FORWARDED_FOR, "192.0.2.7:4711")], Some("192.0.2.7")),
            (&[(X_FORWARDED_FOR, "2001:db8::7")], Some("2001:db8::7")),
            (&[(X_FORWARDED_FOR, "[2001:db8::7]:4711")], Some("2001:db8::7")),
            (&[(X_FORWARDED_FOR, "::ffff:192.0.2.7")], Some("192.0.2.7")),
            (&[(X_FORWARDED_FOR, "192.0.2.7, unknown")], None),
            (&[(X_FORWARDED_FOR, "")], None),
            (&[(FORWARDED, "for=1.1.1.1, for=192.0.2.7;proto=https;by=10.0.0.1")], Some("192.0.2.7")),
            (&[(FORWARDED, "proto=https; For=\"[2001:db8::7]:4711\"")], Some("2001:db8::7")),
            (&[(FORWARDED, "for=_hidden")], None),
            (&[(FORWARDED, "for=1.1.1.1"), (X_FORWARDED_FOR, "192.0.2.7")], Some("192.0.2.7")),
        ] {
            assert_eq!(forwarded_for(&headers(pairs)).map(|ip| ip.to_string()).as_deref(), client, "{pairs:?}");
        }
    }

    #[test]
    fn hosts_of_this_machine() {
        for (host, is_here) in [
            ("localhost", true),
            ("LocalHost:8080", true),
            ("rooms.localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("evillocalhost", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.1.7:8080", false),
            ("[2001:db8::1]:8080", false),
            ("0.0.0.0:8080", false),
            ("", false),
        ] {
            assert_eq!(asks_for_this_machine(&Uri::from_static("/"), &headers(&[(HOST, host)])), is_here, "{host}");
        }
        let local = headers(&[(HOST, "localhost")]);
        assert!(!asks_for_this_machine(&Uri::from_static("http://evil.example/"), &local), "the request line wins");
        assert!(asks_for_this_machine(&Uri::from_static("/"), &HeaderMap::new()));
    }
}
