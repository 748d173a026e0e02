//! Errors, all of them, are problems.

use http::StatusCode;
use serde_json::json;

use crate::support::{Bench, refusal};

fn whole(answer: &chassis::testing::Answer, path: &str) {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.json);
    for member in ["type", "title", "status", "detail", "instance", "code", "requestId"] {
        assert!(answer.json.get(member).is_some(), "{member}: {}", answer.json);
    }
    assert_eq!(answer.json["status"], answer.status.as_u16());
    assert_eq!(answer.json["instance"], path);
    assert_eq!(answer.headers["x-request-id"], *answer.json["requestId"].as_str().unwrap());
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let bench = Bench::new().await;
    for path in ["/api/auth/register", "/api/auth/login", "/api/auth/refresh"] {
        let send = |kind: &'static str, body: String| {
            bench.call("POST", path).header("content-type", kind).body(body).send()
        };
        let json = "application/json";
        let malformed = send(json, "{\"email\":".to_owned()).await;
        assert_eq!(refusal(&malformed), (400, "MALFORMED_BODY"), "{path}");
        whole(&malformed, path);
        let large = send(json, json!({ "email": "x".repeat(64 * 1024) }).to_string()).await;
        assert_eq!(refusal(&large), (413, "BODY_TOO_LARGE"), "{path}");
        whole(&large, path);
        let typed = send("text/plain", "{}".to_owned()).await;
        assert_eq!(refusal(&typed), (415, "UNSUPPORTED_MEDIA_TYPE"), "{path}");
        whole(&typed, path);
        let nul =
            send(json, r#"{"email":"a\u0000b","password":"x","name":"x","refreshToken":"x"}"#.to_owned())
                .await;
        assert_eq!(refusal(&nul), (422, "VALIDATION"), "{path}");
    }
    let untyped = bench.call("POST", "/api/auth/login").body("{}").send().await;
    assert_eq!(refusal(&untyped), (415, "UNSUPPORTED_MEDIA_TYPE"));
}

#[tokio::test]
async fn strangers_are_refused_before_their_bodies_are_read() {
    let bench = Bench::new().await;
    for (method, path) in [
        ("POST", "/api/auth/logout"),
        ("GET", "/api/auth/me"),
        ("PATCH", "/api/auth/me"),
        ("GET", "/api/auth/sessions?limit=0"),
        ("DELETE", "/api/auth/sessions/nonsense"),
        ("POST", "/api/auth/sessions/revoke-others"),
        ("POST", "/api/auth/ws-ticket"),
    ] {
        let answer = bench
            .call(method, path)
            .header("content-type", "application/json")
            .body("{ no json")
            .send()
            .await;
        assert_eq!(refusal(&answer), (401, "UNAUTHENTICATED"), "{method} {path}");
        assert!(answer.headers.contains_key("www-authenticate"), "{method} {path}");
        whole(&answer, path.split('?').next().unwrap());
    }
}

#[tokio::test]
async fn unknown_places_and_methods() {
    let bench = Bench::new().await;
    for path in ["/", "/api/auth", "/api/auth/", "/api/auth/nothing", "/api/auth/me/x", "/api/profile"] {
        let answer = bench.call("GET", path).send().await;
        assert_eq!(refusal(&answer), (404, "NOT_FOUND"), "{path}");
        whole(&answer, path);
    }
    for (method, path, allow) in [
        ("GET", "/api/auth/login", "POST"),
        ("DELETE", "/api/auth/me", "GET"),
        ("PUT", "/api/auth/sessions/x", "DELETE"),
        ("POST", "/.well-known/jwks.json", "GET"),
    ] {
        let answer = bench.call(method, path).send().await;
        assert_eq!(refusal(&answer), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
        assert!(answer.headers["allow"].to_str().unwrap().contains(allow), "{method} {path}");
        whole(&answer, path);
    }
}

#[tokio::test]
async fn a_request_keeps_its_ids() {
    let bench = Bench::new().await;
    let call = bench.call("GET", "/.well-known/jwks.json").header("x-request-id", "A-z_0.9");
    let answer = call.send().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-request-id"], "A-z_0.9");
    assert!(answer.headers["traceparent"].to_str().unwrap().starts_with("00-"));
}
