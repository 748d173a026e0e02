//! The list of sessions, ending them, and `POST /logout`.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::events::data;
use crate::support::request::cookies;
use crate::support::{Bench, PAGE, PASSWORD, SignedIn, refusal};

async fn list(bench: &Bench, token: &str, query: &str) -> Value {
    let answer = bench.call("GET", &format!("/api/auth/sessions{query}")).token(token).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    answer.json
}

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap()).collect()
}

async fn delete(bench: &Bench, who: &SignedIn, id: &str) -> chassis::testing::Answer {
    bench.call("DELETE", &format!("/api/auth/sessions/{id}")).token(&who.token).send().await
}

#[tokio::test]
async fn lists_ones_own_with_the_current_one_marked() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let phone = bench.login(&ada.email, json!({ "id": "p1", "name": "Phone", "kind": "phone" })).await;
    bench.register("bob").await;
    let listed = list(&bench, &phone.token, "").await;
    assert_eq!(listed["nextCursor"], Value::Null);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(ids(&listed), [&phone.session, &ada.session], "the latest used first, and nobody else's");
    let mut names: Vec<_> = items[0].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["createdAt", "current", "device", "id", "ip", "lastSeenAt", "userAgent"]);
    assert_eq!((&items[0]["current"], &items[1]["current"]), (&json!(true), &json!(false)));
    assert_eq!(items[0]["device"], json!({ "id": "p1", "name": "Phone", "kind": "phone" }));

    // Used again, it comes first.
    assert_eq!(bench.refresh(&ada.refresh).await.status, StatusCode::OK);
    let listed = list(&bench, &phone.token, "").await;
    assert_eq!(ids(&listed), [&ada.session, &phone.session]);
}

#[tokio::test]
async fn the_list_comes_in_parts() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let mut made = vec![ada.session.clone()];
    for _ in 0..4 {
        made.push(bench.login(&ada.email, Value::Null).await.session);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let part = list(&bench, &ada.token, &query).await;
        seen.extend(ids(&part).into_iter().map(str::to_owned));
        let Some(cursor) = part["nextCursor"].as_str() else { break };
        assert_eq!(ids(&part).len(), 2);
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made);
    for (query, pointer) in
        [("?limit=0", "?limit"), ("?limit=101", "?limit"), ("?limit=x", "?limit"), ("?cursor=x", "?cursor")]
    {
        let answer = bench.call("GET", &format!("/api/auth/sessions{query}")).token(&ada.token).send().await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"), "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn ending_another_session_is_felt_at_once() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let phone = bench.login(&ada.email, json!({ "id": "p1" })).await;
    assert_eq!(delete(&bench, &ada, &phone.session).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refusal(&bench.me(&phone.token).await), (401, "TOKEN_REVOKED"));
    assert_eq!(refusal(&bench.refresh(&phone.refresh).await), (401, "INVALID_REFRESH"));
    assert_eq!(bench.me(&ada.token).await.status, StatusCode::OK);
    assert_eq!(ids(&list(&bench, &ada.token, "").await), [&ada.session]);

    let event = bench.events.wait("auth.session.revoked", |_| true).await;
    let told = data(&event);
    assert_eq!((&told["reason"], &told["sessionId"]), (&json!("revoked"), &json!(phone.session)));
    assert_eq!((&told["userId"], &told["deviceId"]), (&json!(ada.id), &json!("p1")));
    assert_eq!(refusal(&delete(&bench, &ada, &phone.session).await), (404, "NOT_FOUND"), "it is gone");
    assert_eq!(bench.events.all("auth.user.logout").len(), 0, "nobody signed out");
}

#[tokio::test]
async fn anothers_session_is_not_found_and_goes_on() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.register("ada").await, bench.register("bob").await);
    for id in [bob.session.as_str(), &Uuid::now_v7().to_string(), "nonsense", "%00"] {
        assert_eq!(refusal(&delete(&bench, &ada, id).await), (404, "NOT_FOUND"), "{id}");
    }
    assert_eq!(bench.me(&bob.token).await.status, StatusCode::OK);
    assert_eq!(bench.refresh(&bob.refresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn ending_the_others_leaves_this_one() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let others = [bench.login(&ada.email, Value::Null).await, bench.login(&ada.email, Value::Null).await];
    let bob = bench.register("bob").await;
    let end = || bench.call("POST", "/api/auth/sessions/revoke-others").token(&ada.token).send();
    let answer = end().await;
    assert_eq!((answer.status, answer.json), (StatusCode::OK, json!({ "revoked": 2 })));
    for other in &others {
        assert_eq!(refusal(&bench.me(&other.token).await), (401, "TOKEN_REVOKED"), "at once");
        let of = |told: &Value| told["sessionId"] == other.session.as_str();
        let event = bench.events.wait("auth.session.revoked", of).await;
        assert_eq!(data(&event)["reason"], "others");
    }
    for still in [&ada, &bob] {
        assert_eq!(bench.me(&still.token).await.status, StatusCode::OK);
    }
    assert_eq!(end().await.json, json!({ "revoked": 0 }));
}

#[tokio::test]
async fn signing_out_ends_this_session_and_clears_the_cookie() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let phone = bench.login(&ada.email, Value::Null).await;
    let out = bench.call("POST", "/api/auth/logout").token(&ada.token).header("origin", PAGE).send().await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let cleared = cookies(&out.headers);
    assert!(cleared[0].starts_with("__Secure-tramline_refresh=;"), "{cleared:?}");
    assert!(cleared[0].contains("Max-Age=0") && cleared[0].contains("Path=/api/auth"), "{cleared:?}");
    assert_eq!(refusal(&bench.me(&ada.token).await), (401, "TOKEN_REVOKED"));
    assert_eq!(refusal(&bench.refresh(&ada.refresh).await), (401, "INVALID_REFRESH"));
    assert_eq!(bench.me(&phone.token).await.status, StatusCode::OK, "the other session goes on");
    assert_eq!(
        data(&bench.events.wait("auth.user.logout", |_| true).await)["sessionId"],
        ada.session.as_str()
    );
    assert_eq!(data(&bench.events.wait("auth.session.revoked", |_| true).await)["reason"], "logout");

    let again = bench.call("POST", "/api/auth/logout").token(&ada.token).send().await;
    assert_eq!(refusal(&again), (401, "TOKEN_REVOKED"));
}

#[tokio::test]
async fn the_cookie_alone_signs_out_from_our_own_pages_only() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let body = json!({ "email": ada.email, "password": PASSWORD });
    let call = bench.call("POST", "/api/auth/login").header("origin", PAGE).json(body);
    let login = call.send().await;
    let cookie = cookies(&login.headers)[0].split(';').next().unwrap().to_owned();
    let out = || bench.call("POST", "/api/auth/logout");

    assert_eq!(refusal(&out().send().await), (401, "UNAUTHENTICATED"));
    let stranger = out().header("cookie", &cookie).header("origin", "https://evil.example.com").send().await;
    assert_eq!(refusal(&stranger), (403, "FORBIDDEN"));
    let forged = out().page(&cookie).token("forged").send().await;
    assert_eq!(refusal(&forged), (401, "UNAUTHENTICATED"), "a token that is there is what counts");
    let token = login.json["accessToken"].as_str().unwrap();
    assert_eq!(bench.me(token).await.status, StatusCode::OK, "all of that ended nothing");

    let done = out().page(&cookie).send().await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    assert!(cookies(&done.headers)[0].starts_with("__Secure-tramline_refresh=;"));
    assert_eq!(refusal(&bench.me(token).await), (401, "TOKEN_REVOKED"));
    assert_eq!(bench.me(&ada.token).await.status, StatusCode::OK);
}
