//! The page: what `web/dist` held when the binary was built, and the addresses that show it.
//!
//! ```text
//! /  /r/{room}  /watch/{room}     index.html, asked for anew each time, under a strict Content-Security-Policy
//! /assets/…                       names with a hash of the content: kept for a year
//! anything else in web/dist       asked for anew, answered by 304 when it is the same
//! ```
//!
//! A binary built without `web/dist` serves everything but the page, and says instead how to build it.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[exclude = "*.map"]
#[allow_missing = true]
struct Dist;

/// Scripts and styles only as files of our own; media from the camera and from peer connections; nobody else may frame the page.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; \
                      img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), geolocation=()";

const NOT_BUILT: &str = "This binary was built without its web page. The API works.

To have the page: `make run` in the source tree builds it (with npm, into web/dist) and then the server again.
";

/// The one document.
pub async fn index(headers: HeaderMap) -> Response {
    let Some(file) = Dist::get("index.html") else {
        return (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response();
    };
    let mut response = show("index.html", &file, "no-cache", &headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS));
    response
}

/// `/assets/{*path}`
pub async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("assets/{path}");
    match Dist::get(&path) {
        Some(file) => show(&path, &file, "public, max-age=31536000, immutable", &headers),
        None => not_found(),
    }
}

/// Everything that has no address of its own: icons, the manifest.
pub async fn other(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    match Dist::get(path) {
        Some(file) => show(path, &file, "no-cache", &headers),
        None => not_found(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing at this address.\n").into_response()
}

fn show(path: &str, file: &EmbeddedFile, cache: &'static str, asked: &HeaderMap) -> Response {
    let tag = etag(file);
    let kind = [(CACHE_CONTROL, cache), (CONTENT_TYPE, content_type(path)), (ETAG, &tag)];
    let known = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| tags.contains(&tag));
    if known {
        return (StatusCode::NOT_MODIFIED, kind).into_response();
    }
    (kind, file.data.clone()).into_response()
}

/// Half of the content's SHA-256, in quotes.
fn etag(file: &EmbeddedFile) -> String {
    let digits: String = file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// By the name's ending; `web/dist` holds nothing else.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> EmbeddedFile {
        EmbeddedFile { data: b"body".as_slice().into(), metadata: rust_embed::Metadata::__rust_embed_new([0xAB; 32], None, None) }
    }

    #[test]
    fn files_are_shown_with_their_kind_and_their_tag() {
        let response = show("assets/index-1a2b.js", &file(), "public, max-age=31536000, immutable", &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()[ETAG], "\"abababababababababababababababab\"");
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        for (tags, status) in [
            ("\"abababababababababababababababab\"", StatusCode::NOT_MODIFIED),
            ("W/\"abababababababababababababababab\", \"x\"", StatusCode::NOT_MODIFIED),
            ("\"other\"", StatusCode::OK),
        ] {
            let asked = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(tags))]);
            assert_eq!(show("a.css", &file(), "no-cache", &asked).status(), status, "{tags}");
        }
    }
}
