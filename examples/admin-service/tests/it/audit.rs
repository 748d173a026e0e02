//! The audit log: one entry for each event, found by what it says.

use contracts::{
    AuditCreated, ConfigUpdated, LoggedIn, LoggedOut, PasswordChanged, PaymentStatus, ProfileUpdated,
    RevokeReason, SessionRevoked,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tramline_event_hub::Event;
use uuid::Uuid;

use crate::support::{App, Place, created, deleted, paid, payment, updated, user};

on_both_databases! {
    start: every_event_has_its_entry, a_redelivered_event_is_audited_once, filters, a_walk_has_no_gap_and_no_repeat;
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().unwrap()
}

async fn every_event_has_its_entry(app: App) {
    let (u, s, p) = (Uuid::from_u128(1), Uuid::from_u128(7), Uuid::from_u128(9));
    let at = Timestamp::now();
    let (device_id, ip) = (Some("d".to_owned()), Some("10.1.2.3".to_owned()));
    let told = |payload: &dyn Fn() -> Event| payload();
    let session = |event: Event| (event, "session", s, Some(u));
    let of_user = |event: Event| (event, "user", u, Some(u));
    let of_payment = |status, actor| (paid(&payment(p, 1, status)), "payment", p, actor);
    let wrap = |event: Result<Event, tramline_event_hub::Error>| event.unwrap();
    let expected = [
        of_user(told(&|| created(user(u, 1, "ada")))),
        of_user(updated(user(u, 2, "ada"))),
        of_user(wrap(contracts::wrap("/t", &PasswordChanged { user_id: u, at }))),
        session(wrap(contracts::wrap(
            "/t",
            &LoggedIn { user_id: u, session_id: s, device_id: device_id.clone(), ip: ip.clone(), at },
        ))),
        session(wrap(contracts::wrap(
            "/t",
            &LoggedOut { user_id: u, session_id: s, device_id: device_id.clone(), ip, at },
        ))),
        session(wrap(contracts::wrap(
            "/t",
            &SessionRevoked { user_id: u, session_id: s, device_id, reason: RevokeReason::ALL[0], at },
        ))),
        of_payment(PaymentStatus::Pending, Some(u)),
        of_payment(PaymentStatus::Processing, None),
        of_payment(PaymentStatus::Completed, None),
        of_payment(PaymentStatus::Failed, None),
        (
            wrap(contracts::wrap("/t", &ProfileUpdated { user_id: u, fields: vec!["bio".to_owned()], at })),
            "profile",
            u,
            Some(u),
        ),
    ];
    for (event, resource_type, resource_id, user_id) in expected {
        let correlation = format!("r-{}", event.id.as_str());
        let event = event.with_correlation(correlation.clone());
        app.tell(&event).await;
        let entry = items(&app.list("/audit-logs?limit=1").await)[0].clone();
        let what = &event.event_type;
        assert_eq!(entry["action"], json!(what));
        assert_eq!(entry["eventId"], json!(event.id.as_str()), "{what}");
        assert_eq!(
            (&entry["resourceType"], &entry["resourceId"]),
            (&json!(resource_type), &json!(resource_id))
        );
        assert_eq!(entry["userId"], json!(user_id), "{what}");
        assert_eq!(entry["correlationId"], json!(correlation), "{what}");
        assert_eq!(entry["data"], event.data::<Value>().unwrap(), "{what}");
    }
    assert_eq!(app.entries().await, 11);
    let actions = app.list("/audit-logs/actions").await;
    let names: Vec<_> = items(&actions).iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.len() == 11, "{names:?}");
}

async fn a_redelivered_event_is_audited_once(app: App) {
    let event = created(user(Uuid::from_u128(1), 1, "ada"))
        .with_correlation("request-1")
        .with_trace(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()), None);
    let asked = (0..5).map(|_| app.tell(&event));
    futures_util::future::join_all(asked).await;
    app.tell(&event).await;
    app.tell(&updated(user(Uuid::from_u128(1), 2, "ada"))).await;
    assert_eq!(app.entries().await, 2);
    // Told once, too, and as a part of what caused it.
    let told = app.told(2).await;
    assert_eq!(told.len(), 2);
    let first = &told[0];
    assert_eq!(first.event_type, "admin.audit.created");
    let data: AuditCreated = first.data().unwrap();
    let entry = items(&app.list("/audit-logs?action=auth.user.created").await)[0].clone();
    assert_eq!((json!(data.audit_id), json!(data.action)), (entry["id"].clone(), entry["action"].clone()));
    assert_eq!(first.correlation_id.as_deref(), Some("request-1"));
    assert_eq!(first.causation_id.as_deref(), Some(event.id.as_str()));
    assert!(first.traceparent.as_deref().unwrap().contains("0af7651916cd43dd8448eb211c80319c"));
    let hours = app.count(
        "SELECT CAST(SUM(events) AS BIGINT) AS n FROM dashboard_hours WHERE action = 'auth.user.created'",
        chassis::args![],
    );
    assert_eq!(hours.await, 1);
}

/// The log does not audit itself, and a setting was audited in the transaction that made it.
#[tokio::test]
async fn its_own_events_are_acked_only() {
    let app = App::start(Place::sqlite()).await;
    app.tell(&created(user(Uuid::from_u128(1), 1, "ada"))).await;
    let own = app.told(1).await.remove(0);
    // Once more by hand: settled means that admin has taken it.
    let again = Event::new("admin.audit.created", "/t", &own.data::<Value>().unwrap()).unwrap();
    app.tell(&again).await;
    let config =
        ConfigUpdated { key: "k".to_owned(), value: json!(1), updated_by: Uuid::nil(), at: Timestamp::now() };
    app.tell(&contracts::wrap("/t", &config).unwrap()).await;
    assert_eq!(app.entries().await, 1);
    assert_eq!(app.count("SELECT COUNT(*) AS n FROM dead_letters", chassis::args![]).await, 0);
}

async fn filters(app: App) {
    let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut first = created(user(ada, 1, "ada"));
    first.time = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut second = created(user(bob, 1, "bob"));
    second.time = "2026-03-02T00:00:00Z".parse().unwrap();
    let mut third = paid(&payment(Uuid::from_u128(9), 1, PaymentStatus::Pending));
    third.time = "2026-03-03T00:00:00Z".parse().unwrap();
    for event in [&first, &second, &third] {
        app.tell(event).await;
    }
    for (query, expected) in [
        (String::new(), vec![&third, &second, &first]),
        ("?action=auth.user.created".to_owned(), vec![&second, &first]),
        ("?action=auth.user".to_owned(), vec![]),
        (format!("?userId={ada}"), vec![&third, &first]),
        (format!("?userId={bob}"), vec![&second]),
        ("?resourceType=payment".to_owned(), vec![&third]),
        ("?resourceType=config".to_owned(), vec![]),
        (format!("?resourceType=user&resourceId={bob}"), vec![&second]),
        (format!("?resourceType=payment&resourceId={bob}"), vec![]),
        ("?from=2026-03-02T00:00:00Z".to_owned(), vec![&third, &second]),
        ("?to=2026-03-02T00:00:00Z".to_owned(), vec![&first]),
        ("?from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z".to_owned(), vec![&second]),
        (format!("?userId={ada}&resourceType=user"), vec![&first]),
    ] {
        let list = app.list(&format!("/audit-logs{query}")).await;
        let found: Vec<_> = items(&list).iter().map(|entry| entry["eventId"].as_str().unwrap()).collect();
        let expected: Vec<_> = expected.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_are_422_with_their_pointer() {
    let app = App::start(Place::sqlite()).await;
    for (query, pointer) in [
        ("userId=me", "?userId"),
        ("resourceType=thing", "?resourceType"),
        ("from=yesterday", "?from"),
        ("to=1", "?to"),
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("cursor=AAAA", "?cursor"),
    ] {
        let answer = app.get(&format!("/audit-logs?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "VALIDATION"), "{query}");
        assert_eq!(answer.pointers(), [pointer]);
    }
}

/// Entries are added while someone reads: they come before the first page, and move nothing.
async fn a_walk_has_no_gap_and_no_repeat(app: App) {
    let id = Uuid::from_u128(1);
    let mut expected = Vec::new();
    for version in 1..=9 {
        let event = updated(user(id, version, "ada"));
        app.tell(&event).await;
        expected.insert(0, event.id.as_str().to_owned());
    }
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.list(&format!("/audit-logs?resourceType=user&limit=4&cursor={cursor}")).await;
        walked.extend(items(&page).iter().map(|entry| entry["eventId"].as_str().unwrap().to_owned()));
        app.tell(&updated(user(id, 99, "ada"))).await;
        let Some(next) = page["nextCursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(walked, expected);
    for other in ["resourceType=payment&", "", "resourceType=user&action=auth.user.updated&"] {
        let answer = app.get(&format!("/audit-logs?{other}cursor={cursor}")).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?cursor"]), "{other}");
    }
    app.tell(&deleted(id, 100)).await;
    assert_eq!(items(&app.list("/audit-logs?action=auth.user.deleted").await).len(), 1);
}
