//! `GET /api/admin/users` and `/users/{id}`: the copy of the users.

use contracts::{Role, UserStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Place, created, deleted, updated, user};

on_both_databases! {
    start: only_newer_versions_count, a_deleted_user_stays_deleted, search_and_filters, a_walk_has_no_gap_and_no_repeat;
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect()
}

async fn only_newer_versions_count(app: App) {
    let id = Uuid::from_u128(1);
    for (event, expected) in [
        (updated(user(id, 2, "second")), "second"),
        (created(user(id, 1, "first")), "second"),
        (updated(user(id, 2, "another second")), "second"),
        (updated(user(id, 3, "third")), "third"),
    ] {
        app.tell(&event).await;
        app.tell(&event).await;
        assert_eq!(app.list(&format!("/users/{id}")).await["name"], expected);
    }
    assert_eq!(
        app.list(&format!("/users/{id}")).await,
        json!({
            "id": id, "email": "third@example.com", "name": "third", "role": "CUSTOMER", "status": "active",
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z",
        })
    );
    let absent = app.get(&format!("/users/{}", Uuid::from_u128(2))).await;
    assert_eq!((absent.status.as_u16(), absent.code()), (404, "NOT_FOUND"));
}

async fn a_deleted_user_stays_deleted(app: App) {
    let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    app.tell(&created(user(ada, 1, "ada"))).await;
    app.tell(&deleted(ada, 2)).await;
    app.tell(&deleted(bob, 2)).await;
    for late in [updated(user(ada, 3, "ada")), created(user(bob, 1, "bob"))] {
        app.tell(&late).await;
    }
    assert_eq!(app.list("/users").await["items"], json!([]));
    assert_eq!(app.get(&format!("/users/{ada}")).await.status, 404);
    let kept = "SELECT COUNT(*) AS n FROM users WHERE email <> '' OR name <> '' OR folded <> ''";
    assert_eq!(app.count(kept, chassis::args![]).await, 0);
}

async fn search_and_filters(app: App) {
    let people = [
        ("Ada Müller", Role::Admin, UserStatus::Active),
        ("bob", Role::Vendor, UserStatus::Suspended),
        ("100%_off", Role::Customer, UserStatus::Active),
        ("100xxoff!", Role::Customer, UserStatus::Active),
    ];
    for ((name, role, status), n) in people.into_iter().zip(1_u128..) {
        let mut user = user(Uuid::from_u128(n), 1, name);
        (user.role, user.status, user.email) = (role, status, format!("person{n}@Example.com"));
        app.tell(&created(user)).await;
    }
    for (query, expected) in [
        ("", &["100xxoff!", "100%_off", "bob", "Ada Müller"][..]),
        ("search=bob", &["bob"]),
        ("search=M%C3%9CLL", &["Ada Müller"]),
        ("search=person2@example", &["bob"]),
        ("search=%20ada%20", &["Ada Müller"]),
        ("search=%25", &["100%_off"]),
        ("search=_", &["100%_off"]),
        ("search=!", &["100xxoff!"]),
        ("search=100%25_", &["100%_off"]),
        ("search='", &[]),
        ("search=", &["100xxoff!", "100%_off", "bob", "Ada Müller"]),
        ("role=ADMIN", &["Ada Müller"]),
        ("role=CUSTOMER&search=xx", &["100xxoff!"]),
        ("status=suspended", &["bob"]),
        ("status=suspended&role=CUSTOMER", &[]),
    ] {
        assert_eq!(names(&app.list(&format!("/users?{query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_are_422_with_their_pointer() {
    let app = App::start(Place::sqlite()).await;
    let long = format!("search={}", "x".repeat(101));
    for (query, pointer) in [
        (long.as_str(), "?search"),
        ("role=admin", "?role"),
        ("status=deleted", "?status"),
        ("limit=-1", "?limit"),
        ("limit=101", "?limit"),
        ("cursor=AAAA", "?cursor"),
    ] {
        let answer = app.get(&format!("/users?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "VALIDATION"), "{query}");
        assert_eq!(answer.pointers(), [pointer]);
    }
}

/// All were made in the same microsecond.
async fn a_walk_has_no_gap_and_no_repeat(app: App) {
    for n in 1..=11_u128 {
        app.tell(&created(user(Uuid::from_u128(n), 1, &format!("user{n:02}")))).await;
    }
    let whole: Vec<String> =
        names(&app.list("/users?limit=100").await).into_iter().map(ToOwned::to_owned).collect();
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.list(&format!("/users?limit=4&cursor={cursor}")).await;
        walked.extend(names(&page).into_iter().map(ToOwned::to_owned));
        let Some(next) = page["nextCursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!((walked.len(), &walked), (11, &whole));
    for other in ["role=CUSTOMER", "search=user"] {
        let answer = app.get(&format!("/users?{other}&cursor={cursor}")).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?cursor"]), "{other}");
    }
}
