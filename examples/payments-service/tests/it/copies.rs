//! The copy of the users: newer versions only, and a tombstone.

use contracts::{Role, UserCreated, UserDeleted, UserUpdated};
use jiff::Timestamp;
use serde_json::json;
use tramline_event_hub::Event;

use crate::support::{App, Person, Place, order, user, user_created};

on_both_databases! {
    held: only_newer_versions_count, a_deleted_user_stays_deleted;
}

fn renamed(person: &Person, version: i64, name: &str) -> Event {
    let mut user = user(person, version);
    user.name = name.to_owned();
    contracts::wrap("/auth-service", &UserUpdated(user)).unwrap()
}

fn deleted(person: &Person, version: i64) -> Event {
    let gone = UserDeleted { user_id: person.id, version, deleted_at: Timestamp::now() };
    contracts::wrap("/auth-service", &gone).unwrap()
}

async fn only_newer_versions_count(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let name = async || {
        let read = app.get(&alice, &format!("/api/payments/{id}")).await.json;
        read["recipient"]["name"].as_str().unwrap().to_owned()
    };
    for (event, expected) in [
        (renamed(&bob, 3, "third"), "third"),
        (renamed(&bob, 2, "second"), "third"),
        (renamed(&bob, 3, "another third"), "third"),
        (user_created(&bob, 1), "third"),
        (renamed(&bob, 4, "fourth"), "fourth"),
    ] {
        app.tell(&event).await;
        app.tell(&event).await;
        assert_eq!(name().await, expected);
    }
    assert_eq!(app.dead_letters(), 0);
}

async fn a_deleted_user_stays_deleted(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    app.tell(&deleted(&bob, 5)).await;
    let payment = app.get(&alice, &format!("/api/payments/{id}")).await.json;
    assert_eq!(payment["recipient"], json!({ "id": bob.id, "name": "deleted user" }));
    // Late news of who he was do not bring him back; nor does what claims to be newer.
    for late in [user_created(&bob, 1), renamed(&bob, 4, "bob"), renamed(&bob, 6, "bob")] {
        app.tell(&late).await;
    }
    assert_eq!(app.pay(&alice, order(&bob, "5")).await.code(), "UNKNOWN_RECIPIENT");
    let mut by_id = order(&bob, "5");
    by_id.as_object_mut().unwrap().remove("recipientEmail");
    by_id["recipientId"] = json!(bob.id);
    assert_eq!(app.pay(&alice, by_id).await.code(), "UNKNOWN_RECIPIENT");
    let found = app.get(&alice, "/api/payments/recipients?query=bob").await;
    assert_eq!(found.json["items"], json!([]));
    let kept = app
        .count("SELECT COUNT(*) AS n FROM users WHERE email <> '' AND id = $1", chassis::args![bob.id])
        .await;
    assert_eq!(kept, 0, "nothing personal is kept");
    // A deletion that overtakes the creation.
    let carol = app.stranger("carol", Role::Customer).await;
    app.tell(&deleted(&carol, 2)).await;
    app.tell(&user_created(&carol, 1)).await;
    assert_eq!(app.pay(&alice, order(&carol, "5")).await.code(), "UNKNOWN_RECIPIENT");
}

/// What will never decode goes to the dead letters at once; what is not ours is acked.
#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter() {
    let app = App::held(Place::sqlite()).await;
    let alice = app.person("alice", Role::Customer).await;
    app.tell(&Event::new(<UserCreated as contracts::Payload>::TYPE, "/x", &json!({ "userId": 7 })).unwrap())
        .await;
    app.tell(&Event::new("payments.payment.created", "/x", &json!({})).unwrap()).await;
    assert_eq!(app.dead_letters(), 2);
    app.tell(&Event::new("auth.user.login", "/x", &json!({})).unwrap()).await;
    app.tell(&Event::new("payments.report.made", "/x", &json!({})).unwrap()).await;
    app.tell(&renamed(&alice, 2, "Alice")).await;
    assert_eq!(app.dead_letters(), 2);
}
