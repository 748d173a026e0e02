//! The chain of the audit log, recomputed here, and what can be erased without breaking it.

use chassis::args;
use contracts::{LoggedIn, PaymentStatus};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::{App, created, deleted, paid, payment, updated, user};

on_both_databases! {
    start: many_at_once_make_one_chain, a_deleted_users_data_goes_and_the_chain_stays, late_events_bring_nothing_back;
}

/// Hash of the last entry, and how many there are; the first entry that does not fit is an error.
async fn verify(app: &App) -> Result<(Vec<u8>, i64), i64> {
    let rows = app.db.query("SELECT seq, entry, hash FROM audit_logs ORDER BY seq", args![]).await.unwrap();
    let mut last = vec![0_u8; 32];
    let mut expected = 0;
    for row in rows {
        expected += 1;
        let (seq, entry): (i64, String) = (row.get("seq").unwrap(), row.get("entry").unwrap());
        let mut hash = Sha256::new();
        hash.update(&last);
        hash.update(entry.as_bytes());
        last = hash.finalize().to_vec();
        if seq != expected || row.get::<Vec<u8>>("hash").unwrap() != last {
            return Err(expected);
        }
    }
    Ok((last, expected))
}

async fn whole(app: &App, entries: i64) {
    let head = app.db.query_one("SELECT seq, hash FROM audit_head", args![]).await.unwrap();
    let head: (Vec<u8>, i64) = (head.get("hash").unwrap(), head.get("seq").unwrap());
    assert_eq!(verify(app).await, Ok(head.clone()));
    assert_eq!(head.1, entries);
}

/// Everything that the log stores about anybody.
async fn stored(app: &App) -> String {
    let rows = app.db.query("SELECT entry, personal FROM audit_logs ORDER BY seq", args![]).await.unwrap();
    let text = |row: &chassis::db::Row| {
        let personal: Option<String> = row.get("personal").unwrap();
        format!("{}{}\n", row.get::<String>("entry").unwrap(), personal.unwrap_or_default())
    };
    rows.iter().map(text).collect()
}

async fn many_at_once_make_one_chain(app: App) {
    whole(&app, 0).await;
    let events: Vec<_> = (0..40_u128).map(|n| created(user(Uuid::from_u128(n), 1, "somebody"))).collect();
    futures_util::future::join_all(events.iter().map(|event| app.tell(event))).await;
    whole(&app, 40).await;
    // And it tells: a changed entry, a missing one.
    app.db
        .execute("UPDATE audit_logs SET entry = REPLACE(entry, 'CUSTOMER', 'ADMIN') WHERE seq = 17", args![])
        .await
        .unwrap();
    assert_eq!(verify(&app).await, Err(17));
    app.db.execute("DELETE FROM audit_logs WHERE seq = 5", args![]).await.unwrap();
    assert_eq!(verify(&app).await, Err(5));
}

async fn a_deleted_users_data_goes_and_the_chain_stays(app: App) {
    let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    app.tell(&created(user(ada, 1, "ada"))).await;
    app.tell(&created(user(bob, 1, "bob"))).await;
    let login = LoggedIn {
        user_id: ada,
        session_id: Uuid::from_u128(7),
        device_id: Some("d".to_owned()),
        ip: Some("203.0.113.9".to_owned()),
        at: Timestamp::now(),
    };
    app.tell(&contracts::wrap("/t", &login).unwrap()).await;
    app.tell(&paid(&payment(Uuid::from_u128(9), 1, PaymentStatus::Pending))).await;
    let personal = ["ada@example.com", "\"ada\"", "203.0.113.9", "a private matter"];
    let before = stored(&app).await;
    assert!(personal.iter().all(|text| before.contains(text)), "{before}");
    let hashed = app.db.query("SELECT entry FROM audit_logs", args![]).await.unwrap();
    for row in hashed {
        let entry: String = row.get("entry").unwrap();
        assert!(!personal.iter().any(|text| entry.contains(text)), "hashed for ever: {entry}");
    }
    whole(&app, 4).await;
    app.tell(&deleted(ada, 2)).await;
    whole(&app, 5).await;
    let after = stored(&app).await;
    assert!(!personal.iter().any(|text| after.contains(text)), "{after}");
    assert!(after.contains("bob@example.com"), "another's data stay");
    // The entries are there all the same, and say what is nobody's secret.
    let list = app.get("/audit-logs?action=auth.user.created").await.json;
    let of_ada = &list["items"].as_array().unwrap()[1];
    assert_eq!((&of_ada["resourceId"], &of_ada["data"]["role"]), (&json!(ada), &json!("CUSTOMER")));
    assert_eq!((&of_ada["data"]["email"], &of_ada["data"]["name"]), (&Value::Null, &Value::Null));
}

/// Events come in any order: one that was late must not bring back what a deletion erased.
async fn late_events_bring_nothing_back(app: App) {
    let ada = Uuid::from_u128(1);
    app.tell(&deleted(ada, 5)).await;
    app.tell(&created(user(ada, 1, "ada"))).await;
    app.tell(&updated(user(ada, 4, "ada"))).await;
    app.tell(&paid(&payment(Uuid::from_u128(9), 1, PaymentStatus::Pending))).await;
    let kept = stored(&app).await;
    assert!(!kept.contains("ada@example.com") && !kept.contains("a private matter"), "{kept}");
    assert_eq!(app.get(&format!("/users/{ada}")).await.status, 404);
    whole(&app, 4).await;
}
