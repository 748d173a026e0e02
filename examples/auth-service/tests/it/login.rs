//! `POST /login`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Bench, PASSWORD, refusal};

const WRONG: &str = "a wrong password";

fn body(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

/// The answer without what differs by nature.
fn plain(mut json: Value) -> Value {
    json["requestId"] = Value::Null;
    json
}

#[tokio::test]
async fn several_sessions_are_normal() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let again = bench.login(&ada.email, json!({ "id": "phone" })).await;
    assert_eq!(again.id, ada.id);
    assert_ne!(again.session, ada.session);
    for token in [&ada.token, &again.token] {
        assert_eq!(bench.me(token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_unknown_email_is_answered_like_a_wrong_password() {
    let bench = Bench::new().await;
    bench.register("ada").await;
    let wrong = bench.post("/api/auth/login", body("ada@example.com", WRONG)).await;
    let unknown = bench.post("/api/auth/login", body("nobody@example.com", WRONG)).await;
    let nonsense = bench.post("/api/auth/login", body("no e-mail at all", "")).await;
    assert_eq!(refusal(&wrong), (401, "INVALID_CREDENTIALS"));
    for other in [unknown, nonsense] {
        assert_eq!(other.status, wrong.status);
        assert_eq!(plain(other.json.clone()), plain(wrong.json.clone()));
        assert_eq!(other.headers.get("www-authenticate"), wrong.headers.get("www-authenticate"));
    }
}

#[tokio::test]
async fn an_unknown_email_costs_a_hash_from_the_first_on() {
    let bench = Bench::new().await;
    bench.register("ada").await;
    // The cost is measured against itself: the same order of time, not the same nanoseconds.
    let timed = async |email: &str| {
        let started = tokio::time::Instant::now();
        let answer = bench.post("/api/auth/login", body(email, WRONG)).await;
        assert_eq!(refusal(&answer), (401, "INVALID_CREDENTIALS"));
        started.elapsed()
    };
    let mut known = timed("ada@example.com").await;
    // One of four that nothing else has held up.
    for _ in 0..3 {
        known = known.min(timed("ada@example.com").await);
    }
    let unknown = timed("nobody@example.com").await.max(timed("nobody@example.com").await);
    assert!(unknown * 3 > known, "an unknown e-mail took {unknown:?}, a known one {known:?}");
}

#[tokio::test]
async fn suspension_is_told_only_to_who_has_the_password() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    bench.set(&ada.email, "status", "suspended").await;
    let wrong = bench.post("/api/auth/login", body(&ada.email, WRONG)).await;
    assert_eq!(refusal(&wrong), (401, "INVALID_CREDENTIALS"));
    // A right password is no failed attempt, however often.
    for _ in 0..6 {
        let right = bench.post("/api/auth/login", body(&ada.email, PASSWORD)).await;
        assert_eq!(refusal(&right), (403, "ACCOUNT_SUSPENDED"));
    }
}

#[tokio::test]
async fn five_failures_per_account_and_address() {
    let bench = Bench::new().await;
    bench.register("ada").await;
    bench.register("bob").await;
    let login = |email: &'static str, password: &'static str, addr: &'static str| {
        bench.call("POST", "/api/auth/login").from(addr).json(body(email, password)).send()
    };
    for _ in 0..4 {
        assert_eq!(login("ada@example.com", WRONG, "203.0.113.1").await.status, StatusCode::UNAUTHORIZED);
    }
    // In any case, an account is one.
    assert_eq!(login("ADA@Example.com", WRONG, "203.0.113.1").await.status, StatusCode::UNAUTHORIZED);
    let sixth = login("ada@example.com", PASSWORD, "203.0.113.1").await;
    assert_eq!(refusal(&sixth), (429, "TOO_MANY_ATTEMPTS"), "not even the right password is looked at");
    let wait: u64 = sixth.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(login("ada@example.com", PASSWORD, "203.0.113.2").await.status, StatusCode::OK);
    assert_eq!(login("bob@example.com", PASSWORD, "203.0.113.1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_success_forgets_the_failures_before_it() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    for _ in 0..2 {
        for _ in 0..4 {
            let answer = bench.post("/api/auth/login", body(&ada.email, WRONG)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(bench.post("/api/auth/login", body(&ada.email, PASSWORD)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_burst_of_guesses_gets_no_further_than_five() {
    let bench = Bench::new().await;
    bench.register("ada").await;
    let guess = || bench.post("/api/auth/login", body("ada@example.com", WRONG));
    let all = tokio::join!(guess(), guess(), guess(), guess(), guess(), guess(), guess(), guess());
    let statuses =
        [&all.0, &all.1, &all.2, &all.3, &all.4, &all.5, &all.6, &all.7].map(|answer| answer.status.as_u16());
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 3, "{statuses:?}");
}

#[tokio::test]
async fn says_where_the_body_is_wrong() {
    let bench = Bench::new().await;
    for (body, pointer) in [
        (json!({ "password": "x" }), "/email"),
        (json!({ "email": "x" }), "/password"),
        (json!({ "email": 1, "password": "x" }), "/email"),
        (json!({ "email": "x", "password": "x", "transport": 1 }), "/transport"),
        (json!([]), ""),
        (json!(["ada@example.com", PASSWORD]), ""),
    ] {
        let answer = bench.post("/api/auth/login", body.clone()).await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"), "{body}");
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
}

#[tokio::test]
async fn the_cookie_is_the_default_and_fits_its_page() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    for (header, value, name) in [
        ("origin", "https://pay.example.com", "__Secure-tramline_refresh="),
        ("origin", "http://127.0.0.1:3000", "tramline_refresh="),
        ("x-forwarded-proto", "https", "__Secure-tramline_refresh="),
        ("x-forwarded-proto", "http", "tramline_refresh="),
    ] {
        let call = bench.call("POST", "/api/auth/login").header(header, value);
        let answer = call.json(body(&ada.email, PASSWORD)).send().await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.json.get("refreshToken").is_none(), "no script may read it");
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with(name), "{header} {value}: {cookie}");
        for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/api/auth", "Max-Age=604800"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
        }
    }
}
