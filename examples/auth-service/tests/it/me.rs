//! `GET` and `PATCH /me`.

use http::StatusCode;
use serde_json::json;

use crate::support::events::data;
use crate::support::{Bench, refusal};

#[tokio::test]
async fn a_rename_is_told_with_its_version() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let before = bench.me(&ada.token).await.json;
    for (version, name) in [(2, "Ada Lovelace"), (3, "Countess")] {
        let body = json!({ "name": format!(" {name} "), "role": "ADMIN", "email": "x@example.com" });
        let answer = bench.call("PATCH", "/api/auth/me").token(&ada.token).json(body).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        assert_eq!(answer.json["name"], name);
        assert_eq!((&answer.json["role"], &answer.json["email"]), (&before["role"], &before["email"]));
        assert_eq!(answer.json["createdAt"], before["createdAt"]);
        assert!(answer.json["updatedAt"].as_str() > before["updatedAt"].as_str());
        assert_eq!(bench.me(&ada.token).await.json, answer.json);

        let event = bench.events.wait("auth.user.updated", |data| data["version"] == version).await;
        let told = data(&event);
        assert_eq!((&told["name"], &told["updatedAt"]), (&json!(name), &answer.json["updatedAt"]));
        assert_eq!((&told["role"], &told["status"]), (&json!("CUSTOMER"), &json!("active")));
        assert_eq!(bench.me(&ada.token).await.status, StatusCode::OK, "a rename costs nobody their token");
    }
}

#[tokio::test]
async fn says_where_the_body_is_wrong() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let long = "x".repeat(101);
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": null }),
        json!({ "name": long }),
        json!({ "name": 7 }),
    ] {
        let answer = bench.call("PATCH", "/api/auth/me").token(&ada.token).json(body.clone()).send().await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"), "{body}");
        assert_eq!(answer.pointers(), ["/name"], "{body}");
    }
    assert!(bench.outbox().await.iter().all(|event| event["type"] != "auth.user.updated"));
}
