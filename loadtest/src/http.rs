//! HTTP requests, as small as can be: one connection each, the whole response in memory.

use std::fmt;
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
    /// Lines of the head behind the status line.
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
        let unreachable = |why: String| HttpError::Unreachable { target: self.clone(), why };
        let asked = timeout(TIMEOUT, self.exchange(method, path, body)).await;
        let answer = asked.map_err(|_| unreachable("no response in time".into()))?.map_err(|error| unreachable(error.to_string()))?;
        Response::parse(&answer).ok_or_else(|| HttpError::Strange(self.clone()))
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Vec<u8>> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let content =
            if body.is_empty() { String::new() } else { format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{content}\r\n{body}", self.authority);
        let mut stream = TcpStream::connect(&self.authority).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![];
        stream.take(RESPONSE_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
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

    fn parse(bytes: &[u8]) -> Option<Response> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let head: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
        let chunked = head.iter().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
        let body = if chunked { unchunked(body)? } else { body.to_owned() };
        Some(Response { status, head, body })
    }
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
    fn responses() {
        let plain = Response::parse(b"HTTP/1.1 204 No Content\r\nA: B\r\n\r\n").expect("a response");
        assert_eq!((plain.status, plain.head, plain.body), (204, vec!["a: b".into()], String::new()));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(Response::parse(chunked).expect("a response").body, "abcd");
        assert_eq!(Response::parse(b"SSH-2.0\r\n"), None);
    }
}
