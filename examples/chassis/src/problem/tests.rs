//! Tests of problem answers.

use axum::Router;
use axum::routing::{get, post};
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::*;

fn app() -> Router {
    Router::new()
        .route("/panic", get(async || if true { panic!("boom") } else { "" }))
        .route("/foreign", get(async || (StatusCode::CONFLICT, "plain text")))
        .route("/own", get(async || Problem::unavailable("later")))
        .route(
            "/upstream",
            get(async || (StatusCode::BAD_GATEWAY, [(CONTENT_TYPE, MEDIA_TYPE)], "{\"code\":\"THEIRS\"}")),
        )
        .route("/typed", post(async |_: axum::Json<u8>| "fine"))
        .route("/user", get(async || Problem::new(Code::TOKEN_EXPIRED, "over")))
        .layer(CatchPanicLayer::custom(catch_panic))
        .layer(axum::middleware::from_fn(problems))
}

async fn ask(method: &str, path: &str) -> (StatusCode, HeaderMap, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-request-id", "rid-1")
        .body(Body::empty())
        .unwrap();
    let response = app().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status, parts.headers, json)
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let cases = [
        ("GET", "/nowhere?x=1", 404, "NOT_FOUND"),
        ("DELETE", "/own", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/panic", 500, "INTERNAL"),
        ("GET", "/foreign", 409, "CONFLICT"),
        ("GET", "/own", 503, "UNAVAILABLE"),
        ("POST", "/typed", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GET", "/user", 401, "TOKEN_EXPIRED"),
    ];
    for (method, path, status, code) in cases {
        let (got, headers, json) = ask(method, path).await;
        assert_eq!(got.as_u16(), status, "{path}");
        assert_eq!(headers[CONTENT_TYPE], MEDIA_TYPE, "{path}");
        assert_eq!(json["code"], code, "{path}");
        assert_eq!(json["status"], status, "{path}");
        assert_eq!(json["instance"], path.split('?').next().unwrap());
        assert_eq!(json["requestId"], "rid-1");
        assert!(json["title"].is_string() && json["detail"].is_string() && json["type"].is_string());
    }
}

#[tokio::test]
async fn headers_that_matter_stay() {
    assert_eq!(ask("DELETE", "/own").await.1[ALLOW], "GET,HEAD");
    assert_eq!(ask("GET", "/own").await.1[RETRY_AFTER], "1");
    assert!(ask("GET", "/user").await.1[WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
}

#[tokio::test]
async fn an_upstreams_problem_passes() {
    assert_eq!(ask("GET", "/upstream").await.2["code"], "THEIRS");
}

#[tokio::test]
async fn the_answer_to_head_has_no_body() {
    let (status, headers, json) = ask("HEAD", "/nowhere").await;
    assert_eq!((status.as_u16(), json), (404, Value::Null));
    assert_eq!(headers[CONTENT_TYPE], MEDIA_TYPE);
}

#[test]
fn the_body_is_as_rfc_9457_and_the_contract_say() {
    let text = Problem::invalid("/amount", "is missing").to_json(Some("/p"), None);
    assert_eq!(
        text,
        "{\"type\":\"urn:tramline:problem:validation\",\"title\":\"Unprocessable Entity\",\"status\":422,\
         \"detail\":\"the request does not meet the rules\",\"instance\":\"/p\",\"code\":\"VALIDATION\",\
         \"errors\":[{\"pointer\":\"/amount\",\"detail\":\"is missing\"}]}"
    );
}
