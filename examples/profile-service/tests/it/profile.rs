//! `GET` and `PUT /api/profile`.

use serde_json::{Value, json};

use crate::support::{Bench, created, good, refusal};

#[tokio::test]
async fn null_clears_absent_leaves_text_sets() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    bench.tell(&created(ada.id, "ada@example.com")).await;
    let fresh = bench.until(&ada, "the profile", |answer| answer.json["userId"] == ada.id.to_string()).await;
    for field in ["phone", "address", "bio"] {
        assert_eq!(good(&fresh)[field], Value::Null, "there, and empty");
    }
    let whole = json!({ "phone": "+49 30 1234", "address": " Rail Street 7\n10115 Berlin ", "bio": "🚋" });
    let answer = bench.put(&ada, whole).await;
    let set = good(&answer).clone();
    assert_eq!(set["address"], "Rail Street 7\n10115 Berlin", "trimmed");
    assert_eq!(good(&bench.get(&ada).await), &set, "read as it was answered");

    let answer =
        bench.put(&ada, json!({ "phone": null, "bio": "driver", "userId": "x", "unknown": 1 })).await;
    let changed = good(&answer).clone();
    assert_eq!((&changed["phone"], &changed["address"]), (&Value::Null, &set["address"]));
    assert_eq!((&changed["bio"], &changed["userId"]), (&json!("driver"), &set["userId"]));
    assert_eq!(changed["createdAt"], set["createdAt"]);
    assert!(changed["updatedAt"].as_str() > set["updatedAt"].as_str());
    assert_eq!(good(&bench.get(&ada).await), &changed, "the cache knows");
    let slash = chassis::testing::send(&bench.router, "GET", "/api/profile/", Some(&ada.token), None).await;
    assert_eq!(good(&slash), &changed);
}

#[tokio::test]
async fn a_change_is_told_without_its_values() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    let answer = bench.put(&ada, json!({ "phone": "030 1234", "bio": "secret words" })).await;
    good(&answer);
    let outbox = bench.outbox().await;
    assert_eq!(outbox.len(), 1, "in the outbox before the answer");
    let event = bench.heard(0).await;
    let wire: Value = serde_json::from_slice(&event.to_json()).unwrap();
    assert_eq!(wire, outbox[0]);
    assert_eq!(
        (&wire["type"], &wire["source"]),
        (&json!("profile.profile.updated"), &json!("/profile-service"))
    );
    let id = json!(ada.id);
    assert_eq!((&wire["subject"], &wire["partitionkey"], &wire["data"]["userId"]), (&id, &id, &id));
    assert_eq!(wire["data"]["fields"], json!(["phone", "bio"]));
    assert_eq!(wire["data"]["at"], answer.json["updatedAt"]);
    assert_eq!(wire["data"].as_object().unwrap().len(), 3);
    assert_eq!(wire["correlationid"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(!wire.to_string().contains("secret"));

    // What changes nothing is told to nobody.
    good(&bench.put(&ada, json!({ "phone": "030 1234" })).await);
    good(&bench.put(&ada, json!({})).await);
    assert_eq!(bench.outbox().await.len(), 1);
}

#[tokio::test]
async fn says_where_the_body_is_wrong() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    for (body, pointers) in [
        (json!({ "phone": "call me" }), vec!["/phone"]),
        (json!({ "phone": "" }), vec!["/phone"]),
        (json!({ "phone": "1".repeat(41) }), vec!["/phone"]),
        (json!({ "phone": 30_1234 }), vec!["/phone"]),
        (json!({ "address": "x".repeat(301) }), vec!["/address"]),
        (json!({ "address": ["x"] }), vec!["/address"]),
        (json!({ "bio": "x".repeat(1_001) }), vec!["/bio"]),
        (json!({ "bio": "a\u{1}b" }), vec!["/bio"]),
        (json!({ "phone": "x", "address": "", "bio": "" }), vec!["/address", "/bio", "/phone"]),
    ] {
        let answer = bench.put(&ada, body.clone()).await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"), "{body}");
        let mut found = answer.pointers();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    assert!(bench.outbox().await.is_empty());
    assert_eq!(good(&bench.get(&ada).await)["phone"], Value::Null);
}

#[tokio::test]
async fn everyone_has_their_own() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.person("ada").await, bench.person("bob").await);
    good(&bench.put(&ada, json!({ "bio": "Ada's" })).await);
    good(&bench.put(&bob, json!({ "bio": "Bob's" })).await);
    assert_eq!(good(&bench.get(&ada).await)["bio"], "Ada's");
    assert_eq!(good(&bench.get(&bob).await)["bio"], "Bob's");
}

#[tokio::test]
async fn two_writers_lose_nothing_of_each_other() {
    for bench in [Some(Bench::new().await), Bench::on_postgres().await].into_iter().flatten() {
        let ada = bench.person("ada").await;
        let (one, two) = tokio::join!(
            bench.put(&ada, json!({ "phone": "030 1" , "bio": "x" })),
            bench.put(&ada, json!({ "address": "y" }))
        );
        good(&one);
        good(&two);
        let both = bench.get(&ada).await;
        let fields = ["phone", "address", "bio"].map(|field| good(&both)[field].clone());
        assert_eq!(fields, [json!("030 1"), json!("y"), json!("x")]);
    }
}

#[tokio::test]
async fn what_is_read_comes_from_the_cache_until_it_changes() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    good(&bench.put(&ada, json!({ "bio": "one" })).await);
    let loads = || bench.cache.caches()[0].stats.loads;
    let before = loads();
    for _ in 0..5 {
        assert_eq!(good(&bench.get(&ada).await)["bio"], "one");
    }
    assert_eq!(loads() - before, 1);
    good(&bench.put(&ada, json!({ "bio": "two" })).await);
    assert_eq!(good(&bench.get(&ada).await)["bio"], "two");
    assert_eq!(loads() - before, 2);
}
