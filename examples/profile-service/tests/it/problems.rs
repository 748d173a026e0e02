//! Errors, all of them, are problems.

use axum::body::Body;
use chassis::testing::{Answer, answer, send};
use http::Request;
use serde_json::json;

use crate::support::{Bench, eventually, refusal};

fn whole(answer: &Answer, path: &str) {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.json);
    for member in ["type", "title", "detail", "requestId"] {
        assert!(answer.json[member].is_string(), "{member}: {}", answer.json);
    }
    assert_eq!(
        (&answer.json["status"], &answer.json["instance"]),
        (&json!(answer.status.as_u16()), &json!(path))
    );
}

#[tokio::test]
async fn bodies_and_places() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    let put = async |kind: &str, body: String, token: Option<&str>| {
        let mut request = Request::builder().method("PUT").uri("/api/profile").header("content-type", kind);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(&bench.router, request.body(Body::from(body)).unwrap()).await
    };
    let token = Some(ada.token.as_str());
    let json = "application/json";
    for (kind, body, token, expected) in [
        (json, "{ no json".to_owned(), None, (401, "UNAUTHENTICATED")),
        (json, "{ no json".to_owned(), Some("forged"), (401, "UNAUTHENTICATED")),
        (json, "{ no json".to_owned(), token, (400, "MALFORMED_BODY")),
        (json, format!("{{\"bio\":\"{}\"}}", "x".repeat(64 * 1024)), token, (413, "BODY_TOO_LARGE")),
        ("text/plain", "{}".to_owned(), token, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (json, "[]".to_owned(), token, (422, "VALIDATION")),
        (json, r#"{"bio":"\u0000"}"#.to_owned(), token, (422, "VALIDATION")),
    ] {
        let answer = put(kind, body, token).await;
        assert_eq!(refusal(&answer), expected);
        whole(&answer, "/api/profile");
    }
    for (method, path, expected) in [
        ("GET", "/api/profile/nothing", (404, "NOT_FOUND")),
        ("GET", "/api/auth/me", (404, "NOT_FOUND")),
        ("DELETE", "/api/profile", (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/api/profile", (401, "UNAUTHENTICATED")),
    ] {
        let answer = send(&bench.router, method, path, None, None).await;
        assert_eq!(refusal(&answer), expected, "{method} {path}");
        whole(&answer, path);
    }
}

#[tokio::test]
async fn a_session_that_ended_is_refused() {
    let bench = Bench::revoking().await;
    let ada = bench.person("ada").await;
    let claims = {
        use base64::Engine as _;
        let part = ada.token.split('.').nth(1).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    let revoked = contracts::SessionRevoked {
        user_id: ada.id,
        session_id: claims["sid"].as_str().unwrap().parse().unwrap(),
        device_id: None,
        reason: contracts::RevokeReason::Revoked,
        at: jiff::Timestamp::now(),
    };
    let event = contracts::wrap("/auth-service", &revoked).unwrap();
    let refused = || async {
        // Again and again: the feed may not have been open yet.
        bench.shell.hub().publish(&event).await.unwrap();
        (bench.get(&ada).await.code() == "TOKEN_REVOKED").then_some(())
    };
    eventually("the refusal", refused).await;
}
