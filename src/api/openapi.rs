//! The OpenAPI document, collected from the attributes at the handlers and at the wire types.

use axum::Json;
use utoipa::OpenApi;

use super::error::ErrorResponse;
use super::{rest, socket};

/// Where it is served.
pub const PATH: &str = "/api/v1/openapi.json";

/// Ninefold
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ninefold",
        description = "Rooms and participants of a Ninefold media server. A response that is no success is \
                       `{\"error\":{\"code\",\"message\"}}`: codes are stable and for programs, messages are for persons. \
                       `src/api/protocol.md` lists all codes and describes the signalling. Unless the server is open to its own machine, each request \
                       needs `Authorization: Bearer` with a token of an admin or, below a room, of a moderator of that room: without one it \
                       answers 401 `token_needed`, with one that is not good 401 (`bad_token`, `token_expired`, `token_early`), and with one that does \
                       not allow this 403 (`not_allowed`, `wrong_room`).",
    ),
    paths(
        rest::list_rooms,
        rest::create_room,
        rest::show_room,
        rest::change_room,
        rest::close_room,
        rest::list_participants,
        rest::show_participant,
        rest::change_participant,
        rest::remove_participant,
        rest::show_layers,
        rest::mute_participant,
        rest::list_lobby,
        rest::admit,
        rest::refuse,
        socket::connect,
    ),
    components(schemas(ErrorResponse)),
    tags(
        (name = "rooms", description = "Where people meet"),
        (name = "participants", description = "Who is in a room"),
        (name = "lobby", description = "Who waits to be let in"),
        (name = "signalling", description = "Joining a room"),
    )
)]
struct Document;

/// `GET /api/v1/openapi.json`
pub async fn show() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::error::Code;

    fn document() -> Value {
        serde_json::to_value(Document::openapi()).expect("the document is JSON")
    }

    /// Method, path and what is said of it.
    fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().expect("paths");
        paths
            .iter()
            .flat_map(|(path, operations)| {
                let operations = operations.as_object().expect("methods");
                operations.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
            })
            .collect()
    }

    #[test]
    fn it_says_what_it_is() {
        let document = document();
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
        assert_eq!(document["info"]["title"], "Ninefold");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_route_is_in_it() {
        let document = document();
        let described: BTreeSet<(&str, &str)> = operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let mut routes: BTreeSet<(&str, &str)> = rest::routes().into_iter().map(|(method, path, _)| (method, path)).collect();
        routes.insert(("get", socket::PATH));
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_says_which_codes_it_answers_under_their_status() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                if !status.starts_with(['4', '5']) {
                    continue;
                }
                let named: Vec<&str> = response["description"].as_str().unwrap_or_default().split('`').skip(1).step_by(2).collect();
                assert!(!named.is_empty(), "{method} {path} {status} names no code");
                for name in named {
                    let code = Code::ALL.iter().find(|code| code.text() == name);
                    assert_eq!(code.map(|code| code.status().as_str().to_owned()).as_ref(), Some(status), "{method} {path} {name}");
                }
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorResponse", "{method} {path} {status}");
            }
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let text = document().to_string();
        let schemas = document()["components"]["schemas"].clone();
        for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()) {
            assert!(schemas[name].is_object(), "{name}");
        }
    }
}
