//! Rooms and participants as resources.

use axum::Router;
use axum::routing::any;

use super::App;
use super::error::{Code, Error};

/// Everything below `/api`.
pub fn router() -> Router<App> {
    Router::new().route("/api", any(not_found)).route("/api/{*path}", any(not_found))
}

async fn not_found() -> Error {
    Error::new(Code::NotFound, "there is nothing at this address")
}
