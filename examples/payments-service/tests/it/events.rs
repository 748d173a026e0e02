//! What the service tells of its payments.

use contracts::PaymentChanged;
use serde_json::{Value, json};

use crate::support::{App, Place, order};

on_both_databases! {
    start: every_change_is_told_in_order;
    listening: what_the_provider_does_belongs_to_the_request;
}

async fn every_change_is_told_in_order(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let done = app.paid(&alice, &bob, "12.50").await;
    app.becomes(&alice, &done, "processing").await;
    app.report(&done, "completed", "r").await;
    app.event(&done, 3).await;
    let told = app.events(&done);
    let types: Vec<_> = told.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["payments.payment.created", "payments.payment.updated", "payments.payment.completed"]);
    let read = app.get(&alice, &format!("/api/payments/{done}")).await.json;
    for ((event, version), status) in told.iter().zip(1..).zip(["pending", "processing", "completed"]) {
        let mut data: Value = event.data().unwrap();
        let at = data.as_object_mut().unwrap().remove("occurredAt").unwrap();
        let entered = &read["transactions"].as_array().unwrap()[version - 1];
        assert_eq!((&at, &json!(status)), (&entered["at"], &entered["status"]));
        assert_eq!(
            data,
            json!({
                "paymentId": done, "version": version, "senderId": alice.id, "recipientId": bob.id,
                "amount": "12.50", "currency": "EUR", "status": status, "type": "instant",
                "description": "for the test",
            })
        );
        assert_eq!(event.partition_key.as_deref(), Some(done.as_str()));
        assert_eq!((event.data_version, event.source.is_empty()), (1, false));
    }
}

/// From the click to the last event one correlation and one trace, through the provider's rows and its call, too.
async fn what_the_provider_does_belongs_to_the_request(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let done = app.paid(&alice, &bob, "12.50").await;
    app.event(&done, 3).await;
    let ids = app.events(&done).into_iter().map(|event| {
        let trace = event.traceparent.and_then(|parent| Some(parent.split('-').nth(1)?.to_owned()));
        (event.correlation_id, trace)
    });
    let ids: Vec<_> = ids.collect();
    assert!(ids[0].0.is_some());
    assert_eq!(ids, [ids[0].clone(), ids[0].clone(), ids[0].clone()]);
}

#[tokio::test]
async fn failures_tell_their_reason_and_cancels_are_told() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let cancelled = app.paid(&alice, &bob, "1").await;
    app.post(&alice, &format!("/api/payments/{cancelled}/cancel"), json!({})).await;
    let event = app.event(&cancelled, 2).await;
    assert_eq!(event.event_type, "payments.payment.cancelled");
    app.execute("DROP TRIGGER hold", chassis::args![]).await;
    let failed = app.paid(&alice, &bob, "2").await;
    app.becomes(&alice, &failed, "processing").await;
    let body =
        json!({ "paymentId": failed, "status": "failed", "pspReference": "r", "failureReason": "no funds" })
            .to_string();
    let now = jiff::Timestamp::now().as_second();
    app.webhook(&body, Some(&crate::support::signed(crate::support::SECRET, now, &body))).await;
    let event = app.event(&failed, 3).await;
    assert_eq!(event.event_type, "payments.payment.failed");
    assert_eq!(event.data::<PaymentChanged>().unwrap().failure_reason.as_deref(), Some("no funds"));
}

/// A refused request tells nothing.
#[tokio::test]
async fn what_did_not_happen_is_not_told() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    assert_eq!(app.pay(&alice, order(&alice, "1")).await.code(), "SELF_PAYMENT");
    assert_eq!(app.pay(&alice, order(&bob, "0")).await.status, 422);
    app.execute("ALTER TABLE psp_jobs RENAME TO away", chassis::args![]).await;
    assert!(app.pay(&alice, order(&bob, "1")).await.status.is_server_error());
    let rows = app.count("SELECT COUNT(*) AS n FROM payments", chassis::args![]).await
        + app.count("SELECT COUNT(*) AS n FROM outbox", chassis::args![]).await;
    assert_eq!(rows, 0);
}

/// The request's id is the correlation id of its events, and its trace goes on in them.
#[tokio::test]
async fn the_request_is_known_by_its_events() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let config = tramline_observability::TelemetryConfig::new("test");
    let (dispatch, _guard) =
        tramline_observability::Telemetry::build(&config, Box::new(std::io::sink())).unwrap();
    let _default = tracing::dispatcher::set_default(&dispatch);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let headers = [("x-request-id", "request-1"), ("traceparent", parent.as_str())];
    let made = app.send(&alice, "POST", "/api/payments", &headers, Some(order(&bob, "5"))).await;
    assert_eq!(made.headers["x-request-id"], "request-1");
    let id = made.json["id"].as_str().unwrap();
    let told = app.event(id, 1).await;
    assert_eq!(told.correlation_id.as_deref(), Some("request-1"));
    let of_event = told.traceparent.unwrap();
    assert!(of_event.contains(trace) && of_event != parent, "{of_event}");

    // With a key the work is done in a task of its own, and is the same request's all the same.
    let headers = [("x-request-id", "request-2"), ("traceparent", parent.as_str()), ("idempotency-key", "k")];
    let made = app.send(&alice, "POST", "/api/payments", &headers, Some(order(&bob, "5"))).await;
    let told = app.event(made.json["id"].as_str().unwrap(), 1).await;
    assert_eq!(told.correlation_id.as_deref(), Some("request-2"));
    assert!(told.traceparent.unwrap().contains(trace));
}

/// Killed between the commit and the publish: the event is a row, and the next process sends it.
#[tokio::test]
async fn an_event_that_was_not_sent_is_sent_after_a_restart() {
    let place = Place::sqlite();
    let app = App::held(place).await;
    let (alice, bob) = app.alice_and_bob().await;
    // The hub is gone; the service does not know, and its clients do not care.
    app.hub.shutdown().await;
    let id = app.paid(&alice, &bob, "5").await;
    assert!(app.events(&id).is_empty());
    let next = App::start(app.end().await).await;
    assert_eq!(next.event(&id, 1).await.event_type, "payments.payment.created");
}

/// What the provider does later still belongs to the request that began it.
#[tokio::test]
async fn the_request_is_known_to_the_end() {
    let app = App::listening(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let headers = [("x-request-id", "request-1")];
    let made = app.send(&alice, "POST", "/api/payments", &headers, Some(order(&bob, "5"))).await;
    let id = made.json["id"].as_str().unwrap();
    for version in 1..=3 {
        assert_eq!(app.event(id, version).await.correlation_id.as_deref(), Some("request-1"), "{version}");
    }
}
