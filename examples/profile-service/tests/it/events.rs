//! What auth's events do to profiles.

use chassis::args;
use chassis::testing::send;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Bench, Person, created, deleted, eventually, good, refusal, updated};

async fn row(bench: &Bench, who: &Person) -> (i64, String, bool) {
    let sql = "SELECT version, email, deleted FROM profiles WHERE user_id = $1";
    let row = bench.db.query_one(sql, args![who.id]).await.unwrap();
    (row.get("version").unwrap(), row.get("email").unwrap(), row.get("deleted").unwrap())
}

async fn on_both(story: impl AsyncFn(Bench)) {
    story(Bench::new().await).await;
    if let Some(bench) = Bench::on_postgres().await {
        story(bench).await;
    }
}

#[tokio::test]
async fn a_creation_makes_the_profile() {
    on_both(async |bench| {
        let ada = bench.person("ada").await;
        // Asked before it arrived, which must not be remembered.
        let before = bench.get(&ada).await;
        assert_eq!((&good(&before)["userId"], &before.json["bio"]), (&json!(ada.id), &Value::Null));
        let event = created(ada.id, "ada@example.com");
        bench.tell(&event).await;
        let made = event.0.created_at.as_microsecond();
        let told = |answer: &chassis::testing::Answer| {
            let at = answer.json["createdAt"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            at.is_some_and(|at| at.as_microsecond() == made)
        };
        bench.until(&ada, "the time of auth's own creation", told).await;
        assert_eq!(row(&bench, &ada).await, (1, "ada@example.com".to_owned(), false));
    })
    .await;
}

#[tokio::test]
async fn a_profile_written_before_the_creation_arrives_is_kept() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    good(&bench.put(&ada, json!({ "bio": "early" })).await);
    bench.tell(&created(ada.id, "ada@example.com")).await;
    assert_eq!(good(&bench.get(&ada).await)["bio"], "early");
    assert_eq!(row(&bench, &ada).await.0, 1);
}

#[tokio::test]
async fn only_newer_versions_are_taken() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    bench.tell(&updated(ada.id, 3, "three@example.com")).await;
    bench.tell(&created(ada.id, "one@example.com")).await;
    bench.tell(&updated(ada.id, 2, "two@example.com")).await;
    assert_eq!(row(&bench, &ada).await, (3, "three@example.com".to_owned(), false));
    bench.tell(&updated(ada.id, 4, "four@example.com")).await;
    assert_eq!(row(&bench, &ada).await.1, "four@example.com");
}

#[tokio::test]
async fn a_deletion_purges_for_good() {
    on_both(async |bench| {
        let ada = bench.person("ada").await;
        bench.tell(&created(ada.id, "ada@example.com")).await;
        let whole = json!({ "phone": "030 1234", "address": "Rail Street 7", "bio": "driver" });
        good(&bench.put(&ada, whole).await);
        good(&bench.get(&ada).await);
        bench.tell(&deleted(ada.id, 5)).await;
        bench
            .until(&ada, "the end of the cached profile", |answer| answer.status == StatusCode::NOT_FOUND)
            .await;

        // Nothing personal is left.
        let sql = "SELECT COUNT(*) AS n FROM profiles WHERE user_id = $1 AND email = '' \
             AND phone IS NULL AND address IS NULL AND bio IS NULL";
        let purged = bench.db.query_one(sql, args![ada.id]).await.unwrap();
        assert_eq!(purged.get::<i64>("n").unwrap(), 1);

        // Late and repeated events, and the user's own last request, make nothing anew.
        bench.tell(&deleted(ada.id, 5)).await;
        bench.tell(&created(ada.id, "ada@example.com")).await;
        bench.tell(&updated(ada.id, 9, "ada@example.com")).await;
        assert_eq!(refusal(&bench.put(&ada, json!({ "bio": "back" })).await), (404, "NOT_FOUND"));
        assert_eq!(refusal(&bench.get(&ada).await), (404, "NOT_FOUND"));
        let (_, email, gone) = row(&bench, &ada).await;
        assert_eq!((email.as_str(), gone), ("", true));
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_comes_first_stays() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    bench.tell(&deleted(ada.id, 2)).await;
    bench.tell(&created(ada.id, "ada@example.com")).await;
    assert_eq!(refusal(&bench.get(&ada).await), (404, "NOT_FOUND"));
    assert_eq!(row(&bench, &ada).await, (2, String::new(), true));
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_dead_letter_and_blocks_nobody() {
    let bench = Bench::new().await;
    let ada = bench.person("ada").await;
    let event =
        |data: &Value| tramline_event_hub::Event::new("auth.user.created", "/auth-service", data).unwrap();
    let good_data = serde_json::to_value(created(ada.id, "v2@example.com")).unwrap();
    let hub = bench.shell.hub();
    hub.publish(&event(&json!({ "userId": "nobody" }))).await.unwrap();
    hub.publish(&event(&good_data).with_version(2)).await.unwrap();
    let dead = || async {
        let stats = hub.queue(contracts::DEAD_LETTER_QUEUE).await.unwrap();
        stats.filter(|stats| stats.messages >= 2)
    };
    eventually("two dead letters", dead).await;
    bench.tell(&created(ada.id, "ada@example.com")).await;
    assert_eq!(row(&bench, &ada).await.1, "ada@example.com");
}

#[tokio::test]
async fn health_waits_for_the_demo_accounts() {
    let bench = Bench::seeded().await;
    let health = || send(&bench.router, "GET", "/health", None, None);
    let asked = health().await;
    assert_eq!(refusal(&asked), (503, "UNAVAILABLE"));
    for email in contracts::DEMO_EMAILS {
        bench.tell(&created(uuid::Uuid::now_v7(), email)).await;
    }
    let sql = "SELECT COUNT(*) AS n FROM profiles";
    let row = bench.db.query_one(sql, args![]).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 3);
}
