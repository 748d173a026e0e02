//! The provider simulator, against the service on a real port.

use chassis::args;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{App, NOWHERE, Place, eventually, order};

on_both_databases! {
    listening: a_payment_runs_to_its_end, many_payments_all_end;
}

async fn a_payment_runs_to_its_end(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let done = app.paid(&alice, &bob, "12.50").await;
    let failed = app.paid(&alice, &bob, "12.13").await;
    let stays = app.paid(&alice, &bob, "12.99").await;
    let mut yen = order(&bob, "113");
    yen["currency"] = json!("JPY");
    let yen = app.pay(&alice, yen).await.json["id"].as_str().unwrap().to_owned();
    app.becomes(&bob, &done, "completed").await;
    app.becomes(&bob, &failed, "failed").await;
    // 113 does not end in `.13`.
    app.becomes(&bob, &yen, "completed").await;
    let get = async |id: &str| app.get(&alice, &format!("/api/payments/{id}")).await.json;
    let payment = get(&done).await;
    assert!(payment["pspReference"].is_string() && payment["completedAt"].is_string());
    assert_eq!(payment["failureReason"], json!(null));
    let payment = get(&failed).await;
    assert!(payment["failureReason"].is_string() && payment["completedAt"].is_null());
    // No work is left, and the one that stays waits for whoever calls the webhook.
    eventually("no job is left", async || {
        app.count("SELECT COUNT(*) AS n FROM psp_jobs", args![]).await == 0
    })
    .await;
    assert_eq!(app.status(&alice, &stays).await, "processing");
    assert_eq!(app.report(&stays, "completed", "by hand").await.status, 204);
    assert_eq!(app.status(&alice, &stays).await, "completed");
}

async fn many_payments_all_end(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    for _ in 0..20 {
        app.paid(&alice, &bob, "1").await;
    }
    eventually("all are completed", async || {
        app.count("SELECT COUNT(*) AS n FROM payments WHERE status = 'completed'", args![]).await == 20
    })
    .await;
    assert_eq!(app.count("SELECT COUNT(*) AS n FROM payment_transactions", args![]).await, 60);
}

/// The due work is rows: another process, or the same one started again, goes on where it was left.
#[tokio::test]
async fn work_is_resumed_after_a_restart() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let untouched = app.paid(&alice, &bob, "5").await;
    app.execute("DROP TRIGGER hold", args![]).await;
    let reported = app.paid(&alice, &bob, "6").await;
    app.becomes(&alice, &reported, "processing").await;
    let (issued, place) = (alice.clone(), app.end().await);

    let next = App::open(place, NOWHERE.parse().unwrap(), None).await;
    // A process that was killed in the middle of its work leaves leases that end.
    next.execute("UPDATE psp_jobs SET due_at = 0, leased_until = 1", args![]).await;
    let place = next.end().await;

    let app = App::listening(place).await;
    // As if nobody had called in vain before: how long the next pause is depends on how long this has taken.
    app.execute("UPDATE psp_jobs SET attempts = 0, due_at = 0", args![]).await;
    // Tokens of another issuer do not count here: the same person signs in again.
    let token = app.issuer.token(issued.id, contracts::Role::Customer, &issued.name).await;
    let alice = crate::support::Person { token, ..issued };
    for id in [&untouched, &reported] {
        app.becomes(&alice, id, "completed").await;
    }
}

/// The webhook is away, then refuses, then answers 500, then takes the call: signed anew each time.
#[tokio::test]
async fn a_webhook_that_is_away_is_called_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    let app = App::open(Place::sqlite(), url.parse().unwrap(), None).await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "12.13").await;
    // The first call finds a peer that hangs up.
    drop(listener.accept().await.unwrap());
    let mut calls = Vec::new();
    for status in ["500 Internal Server Error", "401 Unauthorized", "204 No Content"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut call = Vec::new();
        while !call.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut call).await.unwrap(), 0);
        }
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        calls.push(String::from_utf8(call).unwrap());
    }
    eventually("the job is done", async || {
        app.count("SELECT COUNT(*) AS n FROM psp_jobs", args![]).await == 0
    })
    .await;
    for call in calls {
        let (head, body) = call.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
        let signature = head.lines().find_map(|line| line.strip_prefix("x-signature: ")).unwrap();
        let unix = signature.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(signature, crate::support::signed(crate::support::SECRET, unix, body));
        let report: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&report["paymentId"], &report["status"]), (&json!(id), &json!("failed")));
        assert!(report["pspReference"].is_string() && report["failureReason"].is_string());
    }
}
