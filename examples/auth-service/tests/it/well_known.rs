//! The documents for other processes.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Bench, Setup, refusal, reopened};

async fn get(bench: &Bench, path: &str) -> Value {
    let answer = bench.call("GET", path).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{path}");
    answer.json
}

#[tokio::test]
async fn stand_at_both_places() {
    let bench = Bench::new().await;
    let keys = get(&bench, "/.well-known/jwks.json").await;
    assert_eq!(get(&bench, "/api/auth/.well-known/jwks.json").await, keys);
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert!(key["kid"].is_string() && key["x"].is_string());
    assert!(key.get("d").is_none(), "the public half only");

    let none = get(&bench, "/.well-known/revocations").await;
    assert_eq!(none, json!({ "revocations": [] }));
    let ada = bench.register("ada").await;
    bench.call("POST", "/api/auth/logout").token(&ada.token).send().await;
    let one = get(&bench, "/.well-known/revocations").await;
    assert_eq!(get(&bench, "/api/auth/.well-known/revocations").await, one);
    let entry = &one["revocations"][0];
    assert_eq!((&entry["userId"], &entry["sessionId"]), (&json!(ada.id), &json!(ada.session)));
    assert_eq!(entry["kind"], "session");
}

#[tokio::test]
async fn a_restart_keeps_keys_and_revocations() {
    let (db, folder) = chassis::testing::sqlite();
    let setup = Setup { db: Some(db), ..Setup::default() };
    let key_file = setup.key_file.clone();
    let first = Bench::with(setup).await;
    let (ada, bob) = (first.register("ada").await, first.register("bob").await);
    first.call("POST", "/api/auth/logout").token(&ada.token).send().await;
    let keys = get(&first, "/.well-known/jwks.json").await;

    let second = Bench::with(Setup { db: Some(reopened(&folder)), key_file, ..Setup::default() }).await;
    assert_eq!(get(&second, "/.well-known/jwks.json").await, keys);
    assert_eq!(second.me(&bob.token).await.status, StatusCode::OK);
    let loaded = || async { second.shell.health().ready().await.is_ready().then_some(()) };
    crate::support::eventually("readiness, which waits for the snapshot", loaded).await;
    assert_eq!(refusal(&second.me(&ada.token).await), (401, "TOKEN_REVOKED"));
}
