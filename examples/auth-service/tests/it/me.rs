//! `GET` and `PATCH /me`.

use contracts::{UserChanged, UserUpdated};
use http::StatusCode;
use serde_json::json;

use crate::support::events::data;
use crate::support::{Bench, eventually, refusal};

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

/// Who looks at themselves comes from the cache, until they change, or an event of theirs comes by.
#[tokio::test]
async fn what_is_read_comes_from_the_cache_until_it_changes() {
    for bench in [Some(Bench::new().await), Bench::on_postgres().await].into_iter().flatten() {
        let (ada, bob) = (bench.register("ada").await, bench.register("bob").await);
        let loads = || bench.cache.caches()[0].stats.loads;
        let before = bench.me(&ada.token).await.json;
        for _ in 0..3 {
            assert_eq!(bench.me(&ada.token).await.json, before);
        }
        assert_eq!(loads(), 1);
        assert_eq!(bench.me(&bob.token).await.json["id"], json!(bob.id), "everyone sees themselves");
        assert_eq!(loads(), 2);

        let body = json!({ "name": "Ada Lovelace" });
        let renamed = bench.call("PATCH", "/api/auth/me").token(&ada.token).json(body).send().await;
        assert_eq!(bench.me(&ada.token).await.json, renamed.json, "at once");
        // The event of it ends it once more.
        let ended = || bench.cache.caches()[0].stats.invalidations;
        eventually("its event has come by", || async { (ended() == 2).then_some(()) }).await;
        assert_eq!(bench.me(&ada.token).await.json, renamed.json);

        // Behind the service's back: only its event tells.
        bench.set("ada@example.com", "status", "suspended").await;
        assert_eq!(bench.me(&ada.token).await.json["status"], "active");
        // What decides asks the database: a suspended user gets no new token, whatever the cache says.
        let refused = bench.refresh(&ada.refresh).await;
        assert_eq!(refusal(&refused), (401, "INVALID_REFRESH"));
        let mut told: UserChanged =
            bench.events.wait("auth.user.updated", |data| data["userId"] == ada.id).await.data().unwrap();
        (told.version, told.name) = (3, "Ada".to_owned());
        let event = contracts::wrap("/auth-service", &UserUpdated(told)).unwrap();
        bench.shell.hub().publish(&event).await.unwrap();
        eventually("the event has ended it", || async {
            (bench.me(&ada.token).await.json["status"] == "suspended").then_some(())
        })
        .await;
    }
}
