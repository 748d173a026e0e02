//! Tests of the extractors: bad input, and the contract's answer to each.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::page::PageRequest;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    amount: String,
    kind: Option<Kind>,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Instant,
}

#[derive(Deserialize)]
struct Line {
    count: u8,
}

#[derive(Deserialize)]
struct Search {
    query: String,
    max: Option<u32>,
}

fn app() -> Router {
    Router::new()
        .route(
            "/order",
            post(async |Json(order): Json<Order>| {
                let _ = order.kind.map(|Kind::Instant| ());
                format!("{}{}", order.amount, order.lines.iter().map(|l| u32::from(l.count)).sum::<u32>())
            }),
        )
        .route("/maybe", post(async |JsonOrDefault(order): JsonOrDefault<Order>| order.amount))
        .route("/search", get(async |Query(s): Query<Search>| format!("{}{:?}", s.query, s.max)))
        .route("/page", get(async |page: PageRequest| page.limit.to_string()))
        .route("/item/{id}", get(async |Path(id): Path<Uuid>| id.to_string()))
}

async fn send(request: Request<Body>) -> (u16, Value) {
    let response = app().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into())),
    )
}

async fn post_to(path: &str, kind: Option<&str>, body: impl Into<Body>) -> (u16, Value) {
    let mut request = Request::post(path);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    send(request.body(body.into()).unwrap()).await
}

async fn get_from(path: &str) -> (u16, Value) {
    send(Request::get(path).body(Body::empty()).unwrap()).await
}

const JSON: Option<&str> = Some("application/json");

/// Content type, body; status, code, pointer.
type Case<'a> = (Option<&'a str>, &'a [u8], u16, &'a str, Option<&'a str>);

#[tokio::test]
async fn bad_bodies() {
    let large = format!("{{\"amount\":\"{}\"}}", "x".repeat(BODY_LIMIT));
    let deep = "[".repeat(100_000);
    let deep_data = format!("{{\"amount\":\"1\",\"other\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let cases: &[Case<'_>] = &[
        (JSON, b"", 400, "MALFORMED_BODY", None),
        (JSON, b"{", 400, "MALFORMED_BODY", None),
        (JSON, b"amount=1", 400, "MALFORMED_BODY", None),
        (JSON, b"{\"amount\":\"\xff\"}", 400, "MALFORMED_BODY", None),
        (JSON, b"{\"amount\":1} trailing", 400, "MALFORMED_BODY", None),
        (JSON, b"{\"amount\":\"\\ud800\"}", 400, "MALFORMED_BODY", None),
        (JSON, &deep.as_bytes()[..60_000], 400, "MALFORMED_BODY", None),
        (JSON, large.as_bytes(), 413, "BODY_TOO_LARGE", None),
        (None, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", None),
        (Some("text/plain"), b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", None),
        (JSON, b"[]", 422, "VALIDATION", Some("")),
        (JSON, b" [\"1\"]", 422, "VALIDATION", Some("")),
        (JSON, b"\"x\"", 422, "VALIDATION", Some("")),
        (JSON, b"null", 422, "VALIDATION", Some("")),
        (JSON, b"{}", 422, "VALIDATION", Some("/amount")),
        (JSON, b"{\"amount\":1}", 422, "VALIDATION", Some("/amount")),
        (JSON, b"{\"amount\":null}", 422, "VALIDATION", Some("/amount")),
        (JSON, b"{\"amount\":\"1\",\"kind\":7}", 422, "VALIDATION", Some("/kind")),
        (JSON, b"{\"amount\":\"1\",\"kind\":[\"instant\"]}", 422, "VALIDATION", Some("/kind")),
        (JSON, b"{\"amount\":\"1\",\"kind\":\"later\"}", 422, "VALIDATION", Some("/kind")),
        (JSON, b"{\"amount\":\"1\",\"lines\":[{\"count\":1},{}]}", 422, "VALIDATION", Some("/lines/1/count")),
        (JSON, b"{\"amount\":\"1\",\"lines\":[{\"count\":300}]}", 422, "VALIDATION", Some("/lines/0/count")),
        (JSON, b"{\"amount\":\"a\\u0000\"}", 422, "VALIDATION", Some("")),
    ];
    for (kind, body, status, code, pointer) in cases {
        let (got, json) = post_to("/order", *kind, body.to_vec()).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!((got, json["code"].as_str()), (*status, Some(*code)), "{shown}: {json}");
        assert_eq!(json["errors"][0]["pointer"].as_str(), *pointer, "{shown}: {json}");
        assert!(!json["detail"].as_str().unwrap().is_empty());
    }
    // Unknown fields are ignored, however deep, unless no parser should follow them.
    assert!([200, 400].contains(&post_to("/order", JSON, deep_data).await.0));
}

#[tokio::test]
async fn good_bodies() {
    let (status, body) =
        post_to("/order", Some("application/json; charset=utf-8"), "{\"amount\":\"1\",\"x\":2}").await;
    assert_eq!((status, body.to_string()), (200, "10".to_owned()));
    // An escaped backslash before `u0000` is no U+0000.
    assert_eq!(post_to("/order", JSON, "{\"amount\":\"\\\\u0000\"}").await.0, 200);
    assert_eq!(post_to("/maybe", None, "").await.0, 200);
    assert_eq!(post_to("/maybe", JSON, "").await.0, 200);
    assert_eq!(post_to("/maybe", JSON, "{").await.0, 400);
    assert_eq!(post_to("/maybe", Some("text/xml"), "<a/>").await.0, 415);
}

#[tokio::test]
async fn a_chunked_body_above_the_limit_is_refused() {
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 1024])));
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    assert_eq!(post_to("/order", JSON, body).await.0, StatusCode::PAYLOAD_TOO_LARGE.as_u16());
}

#[tokio::test]
async fn bad_queries() {
    let cases = [
        ("/search", "?query"),
        ("/search?query=", "?query"),
        ("/search?query=a&max=x", "?max"),
        ("/search?query=a&max=-1", "?max"),
        ("/search?query=a%00", "?query"),
        ("/search?query=a&query=b", "?query"),
        ("/page?limit=0", "?limit"),
        ("/page?limit=101", "?limit"),
        ("/page?limit=ten", "?limit"),
        ("/page?cursor=%F0%9F%92%A9", "?cursor"),
    ];
    for (path, pointer) in cases {
        let (status, json) = get_from(path).await;
        assert_eq!((status, json["code"].as_str()), (422, Some("VALIDATION")), "{path}: {json}");
        if path != "/search?query=a&query=b" {
            assert_eq!(json["errors"][0]["pointer"], pointer, "{path}: {json}");
        }
    }
    assert_eq!(get_from("/search?query=a&max=&unknown=1").await, (200, "aNone".into()));
    assert_eq!(get_from("/page").await.1.to_string(), "20");
    assert_eq!(get_from("/page?limit=100&status=x").await.1.to_string(), "100");
}

#[tokio::test]
async fn an_id_that_does_not_parse_names_nothing() {
    for path in ["/item/7", "/item/%00", "/item/%ff", "/item/0000"] {
        let (status, json) = get_from(path).await;
        assert_eq!((status, json["code"].as_str()), (404, Some("NOT_FOUND")), "{path}");
    }
    assert_eq!(get_from("/item/00000000-0000-0000-0000-000000000000").await.0, 200);
}
