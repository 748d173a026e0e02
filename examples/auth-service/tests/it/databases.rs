//! One story on both databases: what the dialects could tell apart.

use chassis::args;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::events::data;
use crate::support::{Bench, eventually, refusal};

#[tokio::test]
async fn on_sqlite() {
    story(&Bench::new().await).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(bench) = Bench::on_postgres().await else { return };
    story(&bench).await;
    assert!(bench.shell.lifecycle().drain(crate::support::LONG).await.finished());
}

async fn story(bench: &Bench) {
    let ada = bench.register("Ada").await;
    let taken = json!({ "email": "aDa@example.com", "password": crate::support::PASSWORD, "name": "x" });
    let (one, two) = tokio::join!(
        bench.post("/api/auth/register", taken.clone()),
        bench.post("/api/auth/register", taken)
    );
    assert_eq!((refusal(&one), refusal(&two)), ((409, "EMAIL_TAKEN"), (409, "EMAIL_TAKEN")));

    let phone = bench.login("ada@EXAMPLE.com", json!({ "id": "phone" })).await;
    let rename = bench.call("PATCH", "/api/auth/me").token(&phone.token).json(json!({ "name": "Ada 🚋" }));
    let renamed = rename.send().await;
    assert_eq!((renamed.status, &renamed.json["name"]), (StatusCode::OK, &json!("Ada 🚋")));
    let updated = bench.events.wait("auth.user.updated", |_| true).await;
    assert_eq!(data(&updated)["version"], 2);

    let (left, right) = tokio::join!(bench.refresh(&ada.refresh), bench.refresh(&ada.refresh));
    assert_eq!((left.status, right.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(left.json["refreshToken"], right.json["refreshToken"]);
    let next = bench.refresh(left.json["refreshToken"].as_str().unwrap()).await;
    assert_eq!(refusal(&bench.refresh(&ada.refresh).await), (401, "REFRESH_REUSED"));
    let token = next.json["accessToken"].as_str().unwrap();
    assert_eq!(refusal(&bench.me(token).await), (401, "TOKEN_REVOKED"));

    let list = bench.call("GET", "/api/auth/sessions").token(&phone.token).send().await;
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    bench.login(&ada.email, Value::Null).await;
    let others = bench.call("POST", "/api/auth/sessions/revoke-others").token(&phone.token).send().await;
    assert_eq!(others.json, json!({ "revoked": 1 }));
    let out = bench.call("POST", "/api/auth/logout").token(&phone.token).send().await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let revocations = bench.call("GET", "/.well-known/revocations").send().await.json;
    assert_eq!(revocations["revocations"].as_array().unwrap().len(), 3);

    // Three sign-ins, three endings, one sign-out.
    let written = || async {
        let row = bench.db.query_one("SELECT COUNT(*) AS n FROM activity", args![]).await.unwrap();
        (row.get::<i64>("n").unwrap() == 7).then_some(())
    };
    eventually("the activity", written).await;
}
