//! `POST /api/payments/webhooks/psp`, by a provider of our own.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, Place, SECRET, signed};

on_both_databases! {
    start: a_report_ends_a_payment_once;
}

fn report(payment: &str, status: &str, reference: &str) -> String {
    json!({ "paymentId": payment, "status": status, "pspReference": reference }).to_string()
}

#[tokio::test]
async fn what_is_not_signed_by_the_provider_is_refused() {
    let app = App::start(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    app.becomes(&alice, &id, "processing").await;
    let body = report(&id, "completed", "r");
    let now = || Timestamp::now().as_second();
    let begin = now();
    let good = signed(SECRET, begin, &body);
    let (time, digest) = good.split_once(',').unwrap();
    let refused = async |name: &str, signature: Option<String>| {
        let answer = app.webhook(&body, signature.as_deref()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "UNAUTHENTICATED"), "{name}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    };
    for (name, signature) in [
        ("missing", None),
        ("empty", Some(String::new())),
        ("no signature", Some("hello".to_owned())),
        ("no time", Some(digest.to_owned())),
        ("no digest", Some(time.to_owned())),
        ("no hex", Some(format!("{time},v1=zz"))),
        ("cut short", Some(good[..good.len() - 2].to_owned())),
        ("another scheme", Some(good.replace("v1", "v0"))),
        ("another secret", Some(signed("another secret, as long as it", begin, &body))),
        ("another body", Some(signed(SECRET, begin, &report(&id, "failed", "r")))),
        ("another time", Some(format!("t={},{digest}", begin - 1))),
        ("too old", Some(signed(SECRET, begin - 302, &body))),
    ] {
        refused(name, signature).await;
    }
    // The future comes nearer while the others are asked.
    refused("from the future", Some(signed(SECRET, now() + 310, &body))).await;
    assert_eq!(app.status(&alice, &id).await, "processing");
    // Inside the window, either way; and a bearer token is not asked for.
    assert_eq!(app.webhook(&body, Some(&signed(SECRET, now() - 290, &body))).await.status, 204);
    assert_eq!(app.webhook(&body, Some(&signed(SECRET, now() + 290, &body))).await.status, 204);
    assert_eq!(app.status(&alice, &id).await, "completed");
}

#[tokio::test]
async fn a_signed_body_must_still_be_a_report() {
    let app = App::start(Place::sqlite()).await;
    let id = Uuid::now_v7().to_string();
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    let long = report(&id, "completed", &"r".repeat(256));
    for (body, status, code, pointer) in [
        (report(&id, "completed", "r"), 404, "NOT_FOUND", None),
        ("{".to_owned(), 400, "MALFORMED_BODY", None),
        ("{}".to_owned(), 422, "VALIDATION", Some("/paymentId")),
        (report("7", "completed", "r"), 422, "VALIDATION", Some("/paymentId")),
        (report(&id, "pending", "r"), 422, "VALIDATION", Some("/status")),
        (report(&id, "completed", ""), 422, "VALIDATION", Some("/pspReference")),
        (long, 422, "VALIDATION", Some("/pspReference")),
        (large, 413, "BODY_TOO_LARGE", None),
    ] {
        let signature = signed(SECRET, Timestamp::now().as_second(), &body);
        let answer = app.webhook(&body, Some(&signature)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body:.80}");
        assert_eq!(answer.pointers().first().copied(), pointer, "{body:.80}");
    }
}

async fn a_report_ends_a_payment_once(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let (good, bad) = (app.paid(&alice, &bob, "5").await, app.paid(&alice, &bob, "6").await);
    app.becomes(&alice, &good, "processing").await;
    app.becomes(&alice, &bad, "processing").await;

    let asked = (0..4).map(|_| app.report(&good, "completed", "r-1"));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 204, "a replay is taken and changes nothing: {}", answer.json);
    }
    let once = app.get(&alice, &format!("/api/payments/{good}")).await.json;
    assert_eq!(app.report(&good, "completed", "r-1").await.status, 204);
    assert_eq!(app.get(&alice, &format!("/api/payments/{good}")).await.json, once);
    assert_eq!(once["transactions"].as_array().unwrap().len(), 3);

    let body = json!({
        "paymentId": bad, "status": "failed", "pspReference": "r-2", "failureReason": "no funds",
    })
    .to_string();
    let signature = signed(SECRET, Timestamp::now().as_second(), &body);
    assert_eq!(app.webhook(&body, Some(&signature)).await.status, 204);
    let failed = app.get(&alice, &format!("/api/payments/{bad}")).await.json;
    assert_eq!((&failed["failureReason"], &failed["completedAt"]), (&json!("no funds"), &json!(null)));

    for (payment, status, reference) in
        [(&bad, "completed", "r-2"), (&good, "failed", "r-1"), (&good, "completed", "r-9")]
    {
        let answer = app.report(payment, status, reference).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (409, "INVALID_TRANSITION"),
            "{status} {reference}"
        );
    }
    app.event(&good, 3).await;
    app.event(&bad, 3).await;
    assert_eq!((app.events(&good).len(), app.events(&bad).len()), (3, 3));
}

#[tokio::test]
async fn a_payment_that_nobody_took_up_cannot_end() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let answer = app.report(&id, "completed", "r").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "INVALID_TRANSITION"));
    assert_eq!(app.status(&alice, &id).await, "pending");
}
