//! `GET /api/payments/recipients`.

use contracts::{Role, UserStatus, UserUpdated};
use serde_json::{Value, json};

use crate::support::{App, Person, user, user_created};

on_both_databases! {
    held: who_is_found, wildcards_are_letters, ten_at_most;
}

async fn search(app: &App, who: &Person, query: &str) -> Vec<String> {
    let answer = app.get(who, &format!("/api/payments/recipients?query={query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.json);
    assert_eq!(answer.json["nextCursor"], Value::Null);
    answer.json["items"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

async fn who_is_found(app: App) {
    let alice = app.person("alice", Role::Customer).await;
    let mut bob = app.stranger("bobby", Role::Vendor).await;
    bob.name = "Bobby Müller".to_owned();
    bob.email = "Mueller@Example.com".to_owned();
    app.tell(&user_created(&bob, 1)).await;
    for (query, found) in [
        ("bob", true),
        ("BOBBY%20M%C3%9C", true),
        ("mueller@EX", true),
        ("%20bob%20", true),
        ("obby", false),
        ("m%C3%BCller", false),
        ("example.com", false),
    ] {
        let names = search(&app, &alice, query).await;
        assert_eq!(names.len(), usize::from(found), "{query}: {names:?}");
    }
    let found = app.get(&alice, "/api/payments/recipients?query=bob").await.json;
    assert_eq!(
        found["items"][0],
        json!({ "id": bob.id, "name": "Bobby Müller", "email": "M***@Example.com" })
    );
    // Not oneself.
    assert!(search(&app, &alice, "alice").await.is_empty());
    assert_eq!(search(&app, &bob, "alice").await, ["alice"]);
    // Not those who cannot be paid.
    let mut suspended = user(&bob, 2);
    suspended.status = UserStatus::Suspended;
    app.tell(&contracts::wrap("/auth-service", &UserUpdated(suspended)).unwrap()).await;
    assert!(search(&app, &alice, "bob").await.is_empty());
    // Three characters, not bytes, without the blanks around them.
    for query in ["", "?query=", "?query=al", "?query=%C3%A4%C3%A4", "?query=%20%20al%20%20"] {
        let answer = app.get(&alice, &format!("/api/payments/recipients{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?query"]), "{query}");
    }
}

async fn wildcards_are_letters(app: App) {
    let alice = app.person("alice", Role::Customer).await;
    for name in ["100%_off", "100xxoff", "a\\%b"] {
        let mut person = app.stranger("someone", Role::Vendor).await;
        person.name = name.to_owned();
        app.tell(&user_created(&person, 1)).await;
    }
    for (query, expected) in [
        ("%25%25%25", &[][..]),
        ("___", &[]),
        ("100", &["100%_off", "100xxoff"]),
        ("100%25", &["100%_off"]),
        ("100%25_", &["100%_off"]),
        ("100__", &[]),
        ("a%5C%25", &["a\\%b"]),
        ("'%20OR%20'1'='1", &[]),
    ] {
        assert_eq!(search(&app, &alice, query).await, expected, "{query}");
    }
}

async fn ten_at_most(app: App) {
    let alice = app.person("alice", Role::Customer).await;
    for n in 0..12 {
        app.person(&format!("peer{n:02}"), Role::Vendor).await;
    }
    let names = search(&app, &alice, "peer").await;
    assert_eq!(names, (0..10).map(|n| format!("peer{n:02}")).collect::<Vec<_>>());
}
