//! `POST /api/payments/{id}/cancel`.

use contracts::Role;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, Place};

on_both_databases! {
    held: its_sender_or_an_admin_takes_it_back, cancels_at_once_make_one;
}

async fn its_sender_or_an_admin_takes_it_back(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let admin = app.person("ada", Role::Admin).await;
    let eve = app.person("eve", Role::Customer).await;
    let id = app.paid(&alice, &bob, "5").await;
    let path = format!("/api/payments/{id}/cancel");
    for (who, path, status, code) in [
        (&bob, path.clone(), 403, "FORBIDDEN"),
        (&eve, path.clone(), 404, "NOT_FOUND"),
        (&alice, format!("/api/payments/{}/cancel", Uuid::now_v7()), 404, "NOT_FOUND"),
        (&alice, "/api/payments/x/cancel".to_owned(), 404, "NOT_FOUND"),
    ] {
        let answer = app.post(who, &path, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{}", who.name);
        assert_eq!(app.status(&alice, &id).await, "pending");
    }
    let done = app.send(&alice, "POST", &path, &[], None).await;
    assert_eq!((done.status.as_u16(), &done.json["status"]), (200, &json!("cancelled")), "{}", done.json);
    assert_eq!(done.json["completedAt"], json!(null));
    let again = app.post(&alice, &path, json!({})).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "INVALID_TRANSITION"));
    let second = app.paid(&alice, &bob, "5").await;
    assert_eq!(app.post(&admin, &format!("/api/payments/{second}/cancel"), json!({})).await.status, 200);
    // Nothing leaves a last state: not by the provider, either.
    let late = app.report(&id, "completed", "r").await;
    assert_eq!((late.status.as_u16(), late.code()), (409, "INVALID_TRANSITION"));
}

#[tokio::test]
async fn only_what_is_pending_can_be_cancelled() {
    let app = App::start(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let path = format!("/api/payments/{id}/cancel");
    app.becomes(&alice, &id, "processing").await;
    for end in ["processing", "completed"] {
        if end == "completed" {
            app.report(&id, end, "r").await;
        }
        let answer = app.post(&alice, &path, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, "INVALID_TRANSITION"));
        assert_eq!(app.status(&alice, &id).await, end);
    }
}

async fn cancels_at_once_make_one(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let path = format!("/api/payments/{id}/cancel");
    let asked = (0..6).map(|_| app.post(&alice, &path, json!({})));
    let answers = futures_util::future::join_all(asked).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409]);
    app.event(&id, 2).await;
    assert_eq!(app.events(&id).len(), 2);
}

/// A job whose payment was cancelled before the provider came is nobody's work.
#[tokio::test]
async fn the_provider_leaves_a_cancelled_payment_alone() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    app.post(&alice, &format!("/api/payments/{id}/cancel"), json!({})).await;
    app.execute("UPDATE psp_jobs SET due_at = 0", chassis::args![]).await;
    crate::support::eventually("the job is gone", async || {
        app.count("SELECT COUNT(*) AS n FROM psp_jobs", chassis::args![]).await == 0
    })
    .await;
    assert_eq!(app.status(&alice, &id).await, "cancelled");
}
