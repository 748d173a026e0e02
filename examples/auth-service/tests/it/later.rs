//! Rows of the contract that are not built yet: 401 and 403 first, then 501, before any look at the body.

use http::StatusCode;

use crate::support::{Bench, refusal};

const USER: &[(&str, &str)] = &[("PUT", "/me/password"), ("GET", "/activity")];
const ANYONE: &[(&str, &str)] = &[("POST", "/password-reset"), ("POST", "/password-reset/confirm")];
const ADMIN: &[(&str, &str)] = &[
    ("GET", "/users"),
    ("GET", "/users/0190d5a8-7b1a-7000-8000-000000000000"),
    ("PATCH", "/users/0190d5a8-7b1a-7000-8000-000000000000"),
    ("DELETE", "/users/0190d5a8-7b1a-7000-8000-000000000000"),
    ("POST", "/users/nonsense/unlock"),
    ("POST", "/keys/rotate"),
];

#[tokio::test]
async fn refuse_strangers_first() {
    let bench = Bench::new().await;
    let customer = bench.register("ada").await.token;
    let bob = bench.register("bob").await;
    bench.set(&bob.email, "role", "ADMIN").await;
    let admin = bench.refresh(&bob.refresh).await.json["accessToken"].as_str().unwrap().to_owned();

    let ask = async |(method, path): &(&str, &str), token: Option<&str>, expected: (u16, &str)| {
        let path = format!("/api/auth{path}");
        let call = bench.call(method, &path).header("content-type", "application/json").body("{ no json");
        let call = match token {
            Some(token) => call.token(token),
            None => call,
        };
        let answer = call.send().await;
        assert_eq!(refusal(&answer), expected, "{method} {path}");
    };
    let (stranger, forbidden, later) =
        ((401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (501, "NOT_IMPLEMENTED"));
    for row in USER {
        ask(row, None, stranger).await;
        ask(row, Some(&customer), later).await;
    }
    for row in ANYONE {
        ask(row, None, later).await;
    }
    for row in ADMIN {
        ask(row, None, stranger).await;
        ask(row, Some(&customer), forbidden).await;
        ask(row, Some(&admin), later).await;
    }
    assert_eq!(bench.me(&customer).await.status, StatusCode::OK);
}
