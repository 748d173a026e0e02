//! `Idempotency-Key`: one key, one payment, one answer.

use std::pin::Pin;
use std::task::Poll;

use chassis::args;
use contracts::Role;
use serde_json::json;

use crate::support::{App, Place, order};

on_both_databases! {
    held: the_same_body_gives_the_first_answer_again, duplicates_at_once_make_one_payment,
        a_lease_is_held_and_ends, an_answer_lives_for_a_day, a_fault_of_ours_frees_the_key;
}

async fn the_same_body_gives_the_first_answer_again(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let first = app.pay_keyed(&alice, "k-1", order(&bob, "5")).await;
    assert_eq!(first.status, 201, "{}", first.json);
    // The answer stays the first one, whatever became of the payment since.
    let path = format!("/api/payments/{}/cancel", first.json["id"].as_str().unwrap());
    assert_eq!(app.post(&alice, &path, json!({})).await.json["status"], "cancelled");
    let again = app.pay_keyed(&alice, "k-1", order(&bob, "5")).await;
    assert_eq!((again.status, again.json), (first.status, first.json));
    assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    assert_eq!(app.payments().await, 1);

    let other = app.pay_keyed(&alice, "k-1", order(&bob, "6")).await;
    assert_eq!((other.status.as_u16(), other.code()), (422, "IDEMPOTENCY_MISMATCH"));
    // Another key, and another user's same key, are other requests.
    assert_eq!(app.pay_keyed(&alice, "k-2", order(&bob, "5")).await.status, 201);
    assert_eq!(app.pay_keyed(&bob, "k-1", order(&alice, "5")).await.status, 201);
    assert_eq!(app.payments().await, 3);
}

#[tokio::test]
async fn a_final_refusal_is_given_again_too() {
    let app = App::held(Place::sqlite()).await;
    let alice = app.person("alice", Role::Customer).await;
    let bob = app.stranger("bob", Role::Vendor).await;
    let ask = async |id: &str, amount: &str, key: &str| {
        let headers = [("idempotency-key", key), ("x-request-id", id)];
        app.send(&alice, "POST", "/api/payments", &headers, Some(order(&bob, amount))).await
    };
    for (key, amount, code) in [("unknown", "5", "UNKNOWN_RECIPIENT"), ("invalid", "0", "VALIDATION")] {
        let first = ask("first", amount, key).await;
        assert_eq!((first.status.as_u16(), first.code()), (422, code));
        // Bob has arrived; the key's answer is the first one all the same.
        app.tell(&crate::support::user_created(&bob, 1)).await;
        let again = ask("second", amount, key).await;
        assert_eq!(again.headers["content-type"], "application/problem+json");
        // Every problem names the request that it answers.
        assert_eq!(
            (&again.json["requestId"], &again.json["instance"]),
            (&json!("second"), &json!("/api/payments"))
        );
        let but_for_the_id = |mut json: serde_json::Value| {
            json.as_object_mut().unwrap().remove("requestId").unwrap();
            json
        };
        assert_eq!(but_for_the_id(again.json), but_for_the_id(first.json));
    }
    assert_eq!(ask("third", "5", "new").await.status, 201);
}

#[tokio::test]
async fn a_key_has_1_to_255_characters() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    for (key, status) in
        [(" ".to_owned(), 422), ("k".repeat(256), 422), ("k".repeat(255), 201), ("k".to_owned(), 201)]
    {
        let answer = app.pay_keyed(&alice, &key, order(&bob, "5")).await;
        assert_eq!(answer.status.as_u16(), status, "{} characters: {}", key.len(), answer.json);
    }
    assert_eq!(app.payments().await, 2);
}

/// White space and the order of the fields are not what a body says.
#[tokio::test]
async fn the_same_json_is_the_same_body() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let send = async |body: String| {
        let request = http::Request::post("/api/payments")
            .header("authorization", format!("Bearer {}", alice.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "k")
            .body(body.into())
            .unwrap();
        chassis::testing::answer(&app.router, request).await
    };
    let first = send(format!(
        r#"{{"amount":"5","currency":"EUR","type":"instant","recipientId":"{}","description":"d"}}"#,
        bob.id
    ))
    .await;
    let second = send(format!(
        r#" {{"description": "d", "recipientId": "{}", "type": "instant", "currency": "EUR", "amount": "5"}}"#,
        bob.id
    ))
    .await;
    assert_eq!((first.status.as_u16(), second.json), (201, first.json));
}

async fn duplicates_at_once_make_one_payment(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let asked = (0..8).map(|_| app.pay_keyed(&alice, "twice", order(&bob, "5")));
    let answers = futures_util::future::join_all(asked).await;
    let mut ids = Vec::new();
    for answer in answers {
        match answer.status.as_u16() {
            201 => ids.push(answer.json["id"].clone()),
            409 => {
                assert_eq!(answer.code(), "IDEMPOTENCY_IN_FLIGHT");
                assert!(answer.headers.contains_key("retry-after"));
            }
            other => panic!("{other}: {}", answer.json),
        }
    }
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(app.payments().await, 1);
    assert_eq!(app.pay_keyed(&alice, "twice", order(&bob, "5")).await.json["id"], ids[0]);
}

/// A process died between its claim and its commit: the key is in flight until the lease ends, then free.
async fn a_lease_is_held_and_ends(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let first = app.pay_keyed(&alice, "k", order(&bob, "5")).await.json;
    let lease = |until| args![until];
    let lost = "UPDATE idempotency_keys SET status = NULL, answer = NULL, leased_until = $1";
    app.execute(lost, lease(i64::MAX)).await;
    let held = app.pay_keyed(&alice, "k", order(&bob, "5")).await;
    assert_eq!((held.status.as_u16(), held.code()), (409, "IDEMPOTENCY_IN_FLIGHT"));
    assert!(held.headers.contains_key("retry-after"));
    let other = app.pay_keyed(&alice, "k", order(&bob, "6")).await;
    assert_eq!((other.status.as_u16(), other.code()), (422, "IDEMPOTENCY_MISMATCH"));
    app.execute(lost, lease(0_i64)).await;
    let other = app.pay_keyed(&alice, "k", order(&bob, "6")).await;
    assert_eq!(other.code(), "IDEMPOTENCY_MISMATCH", "a lease that ended does not make it another request");
    let done = app.pay_keyed(&alice, "k", order(&bob, "5")).await;
    assert_eq!(done.status, 201);
    assert_ne!(done.json["id"], first["id"]);
}

async fn an_answer_lives_for_a_day(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let first = app.pay_keyed(&alice, "k", order(&bob, "5")).await.json;
    let minute = 60_000_000_i64;
    let aged = "UPDATE idempotency_keys SET created_at = created_at - $1";
    app.execute(aged, args![24 * 60 * minute - minute]).await;
    assert_eq!(app.pay_keyed(&alice, "k", order(&bob, "5")).await.json, first);
    app.execute(aged, args![2 * minute]).await;
    let next = app.pay_keyed(&alice, "k", order(&bob, "6")).await;
    assert_eq!(next.status, 201, "{}", next.json);
    assert_eq!(app.pay_keyed(&alice, "k", order(&bob, "6")).await.json, next.json);
}

async fn a_fault_of_ours_frees_the_key(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    app.execute("ALTER TABLE payment_transactions RENAME TO away", args![]).await;
    let failed = app.pay_keyed(&alice, "k", order(&bob, "5")).await;
    assert!(failed.status.is_server_error(), "{}", failed.json);
    assert_eq!(app.payments().await, 0, "nothing of a failed transaction stays");
    app.execute("ALTER TABLE away RENAME TO payment_transactions", args![]).await;
    let done = app.pay_keyed(&alice, "k", order(&bob, "5")).await;
    assert_eq!(done.status, 201, "{}", done.json);
    assert_eq!(app.payments().await, 1);
}

/// A client that goes away half-way comes back with the same key, and must get its answer and not a lease.
#[tokio::test]
async fn a_client_that_went_away_finds_its_payment() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    // Somebody else writes: the payment waits for the database, and its client does not.
    let tx = app.db.begin().await.unwrap();
    let mut asked = Box::pin(app.pay_keyed(&alice, "k", order(&bob, "5")));
    assert!(poll_once(asked.as_mut()).await.is_pending());
    tx.rollback().await.unwrap();
    // The key is claimed; then the work stands still again, and the client hangs up.
    crate::support::eventually("the key is claimed", async || {
        drop(poll_once(asked.as_mut()).await);
        app.count("SELECT COUNT(*) AS n FROM idempotency_keys", args![]).await == 1
    })
    .await;
    drop(asked);
    crate::support::eventually("the payment is made", async || app.payments().await == 1).await;
    assert_eq!(app.pay_keyed(&alice, "k", order(&bob, "5")).await.status, 201);
    assert_eq!(app.payments().await, 1);
}

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
