//! Rows of the contract that are not built yet: 401 first, then 501, before any look at the body.

use axum::body::Body;
use chassis::testing::answer;
use contracts::Role;
use http::Request;
use uuid::Uuid;

use crate::support::{Bench, refusal};

#[tokio::test]
async fn refuse_strangers_first() {
    let bench = Bench::new().await;
    let token = bench.token(Uuid::now_v7(), Role::Vendor).await;
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "text/plain");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(&bench.router, request.body(Body::from("{ no json")).unwrap()).await
    };
    for (method, path) in [
        ("GET", "/api/profile/preferences"),
        ("PATCH", "/api/profile/preferences"),
        ("PUT", "/api/profile/avatar"),
        ("DELETE", "/api/profile/avatar"),
    ] {
        assert_eq!(refusal(&ask(method, path, None).await), (401, "UNAUTHENTICATED"), "{method} {path}");
        assert_eq!(
            refusal(&ask(method, path, Some(&token)).await),
            (501, "NOT_IMPLEMENTED"),
            "{method} {path}"
        );
    }
    let picture = ask("GET", "/api/profile/avatar/0190d5a8-7b1a-7000-8000-000000000000", None).await;
    assert_eq!(refusal(&picture), (501, "NOT_IMPLEMENTED"), "anyone may ask for a picture");
}
