//! `POST /refresh`.

use chassis::args;
use http::StatusCode;
use serde_json::json;

use crate::support::request::cookies;
use crate::support::{Bench, PASSWORD, refusal};

/// The value of the refresh cookie in an answer.
fn cookie_value(headers: &http::HeaderMap) -> String {
    let cookie = cookies(headers)[0].split(';').next().unwrap();
    cookie.to_owned()
}

async fn with_cookie(bench: &Bench) -> String {
    bench.register("ada").await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let call = bench.call("POST", "/api/auth/login").header("origin", crate::support::PAGE);
    cookie_value(&call.json(body).send().await.headers)
}

#[tokio::test]
async fn rotates_in_the_body_what_came_in_the_body() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let answer = bench.refresh(&ada.refresh).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let next = answer.json["refreshToken"].as_str().unwrap();
    assert_ne!(next, ada.refresh);
    assert!(cookies(&answer.headers).is_empty());
    assert_eq!(answer.json["session"]["id"], ada.session.as_str(), "the session goes on");
    assert_eq!(answer.json["expiresIn"], 900);
    assert!(answer.json.get("user").is_none());
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(bench.me(answer.json["accessToken"].as_str().unwrap()).await.status, StatusCode::OK);
    assert_eq!(bench.refresh(next).await.status, StatusCode::OK);
}

#[tokio::test]
async fn rotates_in_the_cookie_what_came_in_the_cookie() {
    let bench = Bench::new().await;
    let cookie = with_cookie(&bench).await;
    let answer = bench.call("POST", "/api/auth/refresh").page(&cookie).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert!(answer.json.get("refreshToken").is_none());
    let next = cookie_value(&answer.headers);
    assert!(next.starts_with("__Secure-tramline_refresh=") && next != cookie, "{next}");
    // The other cookie would leave the page with a spent one.
    let loopback = cookie.replace("__Secure-", "");
    let answer = bench.call("POST", "/api/auth/refresh").page(&loopback).send().await;
    assert!(cookie_value(&answer.headers).starts_with("tramline_refresh="), "the cookie that came");
}

#[tokio::test]
async fn the_cookie_counts_only_from_our_own_pages() {
    let bench = Bench::new().await;
    let cookie = with_cookie(&bench).await;
    let ask = || bench.call("POST", "/api/auth/refresh").header("cookie", &cookie);
    let page = crate::support::PAGE;
    let strangers: [&[(&str, &str)]; 4] = [
        &[],
        &[("origin", "https://evil.example.com")],
        &[("origin", "null")],
        &[("origin", page), ("sec-fetch-site", "cross-site")],
    ];
    for stranger in strangers {
        let call = stranger.iter().fold(ask(), |call, (name, value)| call.header(name, value));
        let answer = call.send().await;
        assert_eq!(refusal(&answer), (403, "FORBIDDEN"));
        assert!(cookies(&answer.headers).is_empty(), "a stranger clears no cookie either");
    }
    assert_eq!(bench.call("POST", "/api/auth/refresh").page(&cookie).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_in_the_body_needs_no_page() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let call = bench.call("POST", "/api/auth/refresh").header("origin", "https://elsewhere.example.com");
    let answer = call.json(json!({ "refreshToken": ada.refresh })).send().await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_token_is_invalid_and_its_cookie_goes() {
    let bench = Bench::new().await;
    let none = bench.call("POST", "/api/auth/refresh").send().await;
    assert_eq!(refusal(&none), (401, "INVALID_REFRESH"));
    for token in ["", "x", &"A".repeat(43)] {
        assert_eq!(refusal(&bench.refresh(token).await), (401, "INVALID_REFRESH"), "{token}");
    }
    let cookie = format!("__Secure-tramline_refresh={}", "A".repeat(43));
    let answer = bench.call("POST", "/api/auth/refresh").page(&cookie).send().await;
    assert_eq!(refusal(&answer), (401, "INVALID_REFRESH"));
    let cleared = cookies(&answer.headers);
    assert!(cleared[0].starts_with("__Secure-tramline_refresh=;") && cleared[0].contains("Max-Age=0"));
    let typed = bench.post("/api/auth/refresh", json!({ "refreshToken": 7 })).await;
    assert_eq!((refusal(&typed), typed.pointers()), ((422, "VALIDATION"), vec!["/refreshToken"]));
}

#[tokio::test]
async fn two_tabs_get_the_same_successor() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let (one, two) = tokio::join!(bench.refresh(&ada.refresh), bench.refresh(&ada.refresh));
    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(one.json["refreshToken"], two.json["refreshToken"]);
    assert!(one.json["refreshToken"].as_str().is_some_and(|token| token != ada.refresh));
}

#[tokio::test]
async fn the_parent_is_theft_once_its_successor_was_used() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let next = bench.refresh(&ada.refresh).await.json["refreshToken"].as_str().unwrap().to_owned();
    let answer = bench.refresh(&next).await;
    let (newest, access) = (
        answer.json["refreshToken"].as_str().unwrap().to_owned(),
        answer.json["accessToken"].as_str().unwrap().to_owned(),
    );
    let theft = bench.refresh(&ada.refresh).await;
    assert_eq!(refusal(&theft), (401, "REFRESH_REUSED"));
    // The session ends for everyone, at once.
    assert_eq!(refusal(&bench.refresh(&newest).await), (401, "INVALID_REFRESH"));
    assert_eq!(refusal(&bench.me(&access).await), (401, "TOKEN_REVOKED"));
    let event = bench.events.wait("auth.session.revoked", |_| true).await;
    let data = crate::support::events::data(&event);
    assert_eq!((&data["reason"], &data["sessionId"]), (&json!("reuse"), &json!(ada.session)));
    let outbox = bench.outbox().await;
    assert_eq!(outbox.iter().filter(|event| event["type"] == "auth.session.revoked").count(), 1);
}

#[tokio::test]
async fn the_parent_is_theft_after_ten_seconds() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    assert_eq!(bench.refresh(&ada.refresh).await.status, StatusCode::OK);
    let back = |micros: i64| {
        let sql =
            "UPDATE refresh_tokens SET superseded_at = superseded_at - $1 WHERE superseded_at IS NOT NULL";
        bench.db.execute(sql, args![micros])
    };
    assert_eq!(back(5_000_000).await.unwrap(), 1);
    assert_eq!(bench.refresh(&ada.refresh).await.status, StatusCode::OK, "a lost answer, five seconds later");
    back(6_000_000).await.unwrap();
    assert_eq!(refusal(&bench.refresh(&ada.refresh).await), (401, "REFRESH_REUSED"));
}

#[tokio::test]
async fn the_parent_from_another_device_is_theft() {
    let bench = Bench::new().await;
    bench.register("ada").await;
    let laptop = bench.login("ada@example.com", json!({ "id": "laptop" })).await;
    let ask = |device: &str| {
        let body = json!({ "refreshToken": laptop.refresh, "device": { "id": device } });
        bench.post("/api/auth/refresh", body)
    };
    assert_eq!(ask("laptop").await.status, StatusCode::OK);
    assert_eq!(ask("laptop").await.status, StatusCode::OK);
    assert_eq!(refusal(&ask("elsewhere").await), (401, "REFRESH_REUSED"));
}

#[tokio::test]
async fn only_hashes_are_stored() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let sql = "SELECT CAST(hex(hash) AS TEXT) AS hash FROM refresh_tokens";
    let rows = bench.db.query(sql, args![]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<String>("hash").unwrap().len(), 64, "a SHA-256");
    for table in ["SELECT phc AS t FROM credentials", "SELECT body AS t FROM outbox"] {
        for row in bench.db.query(table, args![]).await.unwrap() {
            let text: String = row.get("t").unwrap();
            assert!(!text.contains(PASSWORD) && !text.contains(&ada.refresh) && !text.contains(&ada.token));
        }
    }
    let phc: String =
        bench.db.query_one("SELECT phc FROM credentials", args![]).await.unwrap().get("phc").unwrap();
    assert!(phc.starts_with("$argon2id$"), "{phc}");
    assert!(bench.outbox().await.iter().all(|event| !event.to_string().contains("argon2")));
}

#[tokio::test]
async fn who_is_suspended_or_has_another_role_gets_what_they_are_now() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.register("ada").await, bench.register("bob").await);
    bench.set(&ada.email, "status", "suspended").await;
    assert_eq!(refusal(&bench.refresh(&ada.refresh).await), (401, "INVALID_REFRESH"));
    bench.set(&bob.email, "role", "ADMIN").await;
    let renewed = bench.refresh(&bob.refresh).await;
    let token = renewed.json["accessToken"].as_str().unwrap();
    let users = bench.call("GET", "/api/auth/users").token(token).send().await;
    assert_eq!(refusal(&users), (501, "NOT_IMPLEMENTED"), "an admin now");
}
