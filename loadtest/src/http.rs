//! HTTP requests, as small as can be: one connection each, the whole response in memory.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response. More: cut, and then it is no JSON.
const RESPONSE_MAX: u64 = 16 * 1024 * 1024;

/// Which server: the `http://host:port` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
}

/// One resource of a server: `http://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server.
    pub target: Target,
    /// Path and query, with the slash before it.
    pub path: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// A token of RFC 6750.
    pub bearer: Option<&'a str>,
    /// Content type and body.
    pub body: Option<(&'a str, &'a str)>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody answers there.
    #[error("nobody answers at {target}: {why}. Is the server running there?")]
    Unreachable {
        /// The address.
        target: Target,
        /// What the system says.
        why: String,
    },
    /// Somebody answers, but no HTTP server.
    #[error("what answers at {0} is no HTTP server")]
    Strange(Target),
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Lines of the head behind the status line, their names in small letters.
    pub head: Vec<String>,
    /// The body.
    pub body: String,
}

impl Target {
    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Result<Response, HttpError> {
        self.request("GET", path, None).await
    }

    /// Any method, with or without a body of JSON.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response, HttpError> {
        let body = body.map(Value::to_string);
        let body = body.as_deref().map(|body| ("application/json", body));
        self.send(&Request { method, path, body, bearer: None }).await
    }

    /// Any request.
    pub async fn send(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let unreachable = |why: String| HttpError::Unreachable { target: self.clone(), why };
        let asked = timeout(TIMEOUT, self.exchange(request)).await;
        let answer = asked.map_err(|_| unreachable("no response in time".into()))?.map_err(|error| unreachable(error.to_string()))?;
        Response::parse(&answer).ok_or_else(|| HttpError::Strange(self.clone()))
    }

    async fn exchange(&self, request: &Request<'_>) -> std::io::Result<Vec<u8>> {
        let Request { method, path, bearer, body } = request;
        let line_break = |text: &str| text.contains(['\r', '\n']);
        if line_break(path) || bearer.is_some_and(line_break) {
            return Err(Error::new(ErrorKind::InvalidInput, "a path and a token have no line breaks"));
        }
        let bearer = bearer.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let content = body.map(|(kind, body)| format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len())).unwrap_or_default();
        let body = body.map_or("", |(_, body)| body);
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{bearer}{content}\r\n{body}", self.authority);
        let mut stream = TcpStream::connect(&self.authority).await?;
        stream.write_all(request.as_bytes()).await?;
        let (mut answer, mut stream) = (vec![], stream.take(RESPONSE_MAX));
        // Not every server closes when it is asked to.
        while !is_whole(&answer) && stream.read_buf(&mut answer).await? > 0 {}
        Ok(answer)
    }
}

impl Url {
    /// Where a `Location` leads from here: a whole address, or a path on the same server.
    pub fn join(&self, location: &str) -> Result<Url, String> {
        if location.contains("://") {
            return location.parse();
        }
        let folder = self.path.split(['?', '#']).next().and_then(|path| path.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let path = if location.starts_with('/') { location.to_owned() } else { format!("{folder}/{location}") };
        Ok(Url { target: self.target.clone(), path })
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(url: &str) -> Result<Url, String> {
        let target: Target = url.parse()?;
        let rest = url.strip_prefix("http://").unwrap_or_default();
        let path = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
        let path = path.split('#').next().unwrap_or_default();
        Ok(Url { target, path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") } })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.target, self.path)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Target, String> {
        if url.starts_with("https://") {
            return Err("https is not supported: this tool speaks plain HTTP, so let the server listen on loopback too".into());
        }
        let rest = url.strip_prefix("http://").ok_or("an address begins with http://, such as http://127.0.0.1:8080")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains(['@', ' ']) {
            return Err("an address has a host and perhaps a port, such as http://127.0.0.1:8080".into());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Target { authority: if has_port { authority.to_owned() } else { format!("{authority}:80") } })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl Response {
    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The value of a line of the head, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The first words of the body, for an error.
    pub fn words(&self) -> String {
        self.body.trim().chars().filter(|c| !c.is_control()).take(200).collect()
    }

    fn parse(bytes: &[u8]) -> Option<Response> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (status, head) = parse_head(head)?;
        let mut response = Response { status, head, body: String::new() };
        let chunked = response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        response.body = if chunked { unchunked(body)? } else { body.to_owned() };
        Some(response)
    }
}

/// The status, and the lines behind it with their names in small letters.
fn parse_head(head: &str) -> Option<(u16, Vec<String>)> {
    let small = |line: &str| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    };
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, lines.map(small).collect()))
}

/// Nothing more belongs to this response. One that does not say its length ends with the connection.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = parse_head(&String::from_utf8_lossy(&bytes[..end]));
    let length = |line: &String| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    head.is_some_and(|(_, head)| head.iter().find_map(length).is_some_and(|length| bytes.len() - end - 4 >= length))
}

fn unchunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// A part of a path.
pub fn percent_encoded(part: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    part.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let authority = |url: &str| url.parse::<Target>().map(|target| target.authority);
        assert_eq!(authority("http://127.0.0.1:8080/r/x?y"), Ok("127.0.0.1:8080".into()));
        assert_eq!(authority("http://[::1]:9"), Ok("[::1]:9".into()));
        assert_eq!(authority("http://meet.example"), Ok("meet.example:80".into()));
        for wrong in ["", "127.0.0.1:8080", "https://x", "http://", "http://a@b", "ftp://x"] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn resources() {
        let url: Url = "http://a:1/whip/x?y#z".parse().expect("a resource");
        assert_eq!((url.target.authority(), &*url.path), ("a:1", "/whip/x?y"));
        assert_eq!("http://a".parse::<Url>().map(|url| url.path), Ok("/".into()));
        let joined = |location: &str| url.join(location).map(|url| url.to_string());
        assert_eq!(joined("/s/1"), Ok("http://a:1/s/1".into()));
        assert_eq!(joined("s/1"), Ok("http://a:1/whip/s/1".into()));
        assert_eq!(joined("http://b/s"), Ok("http://b:80/s".into()));
        assert!(joined("https://b/s").is_err());
    }

    #[test]
    fn responses() {
        let plain = Response::parse(b"HTTP/1.1 204 No Content\r\nA: B\r\n\r\n").expect("a response");
        assert_eq!((plain.status, plain.header("a"), &*plain.body), (204, Some("B"), ""));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(Response::parse(chunked).expect("a response").body, "abcd");
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(whole) && !is_whole(&whole[..whole.len() - 1]) && !is_whole(chunked));
        assert_eq!(Response::parse(b"SSH-2.0\r\n"), None);
    }
}
