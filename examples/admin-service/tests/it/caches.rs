//! What is answered without the database, and the events that end it.

use chassis::args;
use chassis::testing::send;
use contracts::{PaymentStatus, Role, UserStatus};
use serde_json::{Value, json};
use tramline_cache::twin::Twin;
use tramline_cache::{Store, StoreConfig};
use uuid::Uuid;

use crate::support::{App, Place, created, deleted, eventually, paid, payment, updated, user};

on_both_databases! {
    start: a_hit_costs_no_query, an_event_ends_what_it_changes_and_nothing_else, only_admins_get_what_is_there;
}

const CACHES: [&str; 4] = ["admin-user", "admin-user-list", "admin-figures", "admin-actions"];

fn loads(app: &App) -> [u64; 4] {
    CACHES.map(|name| app.loads(name))
}

/// Asks for everything that is kept, once.
async fn ask(app: &App, id: Uuid) -> [Value; 4] {
    let dashboard = app.list("/dashboard").await;
    let figures =
        json!([dashboard["usersByRole"], dashboard["paymentsByStatus"], dashboard["volumeByCurrency"]]);
    [
        app.list(&format!("/users/{id}")).await,
        app.list("/users").await,
        figures,
        app.list("/audit-logs/actions").await,
    ]
}

async fn a_hit_costs_no_query(app: App) {
    let id = Uuid::from_u128(1);
    app.tell(&created(user(id, 1, "ada"))).await;
    let (first, before) = (ask(&app, id).await, loads(&app));
    for _ in 0..3 {
        assert_eq!(ask(&app, id).await, first);
    }
    assert_eq!(loads(&app), before);
    // Behind the service's back, so that only the database can have it.
    app.db.execute("UPDATE users SET name = 'x', folded = 'x'", args![]).await.unwrap();
    assert_eq!(ask(&app, id).await, first, "nobody has told");
    // Not kept: what is searched for, and who is not there.
    assert_eq!(app.list("/users?search=x").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get(&format!("/users/{}", Uuid::from_u128(2))).await.status, 404);
    assert_eq!(app.list("/users?search=x").await["items"][0]["name"], "x");
    assert_eq!(loads(&app)[1..], before[1..]);
}

async fn an_event_ends_what_it_changes_and_nothing_else(app: App) {
    let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    app.tell(&created(user(ada, 1, "ada"))).await;
    app.tell(&created(user(bob, 1, "bob"))).await;
    ask(&app, ada).await;
    ask(&app, bob).await;

    let mut risen = user(bob, 2, "bobby");
    (risen.role, risen.status) = (Role::Admin, UserStatus::Suspended);
    let before = loads(&app);
    app.tell(&updated(risen)).await;
    let [user, users, figures, actions] = ask(&app, bob).await;
    assert_eq!((&user["name"], &user["status"]), (&json!("bobby"), &json!("suspended")));
    assert!(users["items"].as_array().unwrap().contains(&user));
    assert_eq!(figures[0], json!({ "ADMIN": 1, "CUSTOMER": 1 }));
    assert_eq!(actions["items"], json!(["auth.user.created", "auth.user.updated"]));
    let after = loads(&app);
    ask(&app, ada).await;
    assert_eq!(loads(&app), after, "the other user is still there");
    assert_eq!(after, before.map(|loads| loads + 1), "each ended once");

    app.tell(&paid(&payment(Uuid::from_u128(3), 1, PaymentStatus::Pending))).await;
    let [_, _, figures, actions] = ask(&app, bob).await;
    assert_eq!(figures[1], json!({ "pending": 1 }));
    assert_eq!(actions["items"][2], json!("payments.payment.created"));
    assert_eq!(
        loads(&app),
        [after[0], after[1], after[2] + 1, after[3] + 1],
        "users are no business of payments"
    );
    app.tell(&paid(&payment(Uuid::from_u128(4), 1, PaymentStatus::Pending))).await;
    assert_eq!(ask(&app, bob).await[2][1], json!({ "pending": 2 }));
    assert_eq!(app.loads("admin-actions"), after[3] + 1, "an action that was there is no news");

    app.tell(&deleted(bob, 3)).await;
    assert_eq!(app.get(&format!("/users/{bob}")).await.status, 404);
    assert_eq!(app.list("/users").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.list("/dashboard").await["usersByRole"], json!({ "CUSTOMER": 1 }));
}

async fn only_admins_get_what_is_there(app: App) {
    let id = Uuid::from_u128(1);
    app.tell(&created(user(id, 1, "ada"))).await;
    ask(&app, id).await;
    for role in [Role::Customer, Role::Vendor] {
        // Ada herself, too.
        let token = app.issuer.token(id, role, "ada").await;
        for path in
            [format!("/users/{id}"), "/users".into(), "/dashboard".into(), "/audit-logs/actions".into()]
        {
            let path = format!("/api/admin{path}");
            let answer = send(&app.router, "GET", &path, Some(&token), None).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (403, "FORBIDDEN"), "{path}");
            assert_eq!(send(&app.router, "GET", &path, None, None).await.status, 401, "{path}");
        }
    }
}

/// In Redis a key is text: another filter is another one there as well. Two processes on one database.
#[tokio::test]
async fn in_redis_each_list_has_its_own_place() {
    let (twin, place) = (Twin::new(), Place::sqlite());
    let replica = async || App::start_with(place.again(), Store::twin(&twin, StoreConfig::default())).await;
    let (here, there) = (replica().await, replica().await);
    eventually("both hear", async || here.cache.stats().attached && there.cache.stats().attached).await;
    let people = [
        ("ada", Role::Admin, UserStatus::Active),
        ("bob", Role::Vendor, UserStatus::Suspended),
        ("eve", Role::Customer, UserStatus::Active),
    ];
    for ((name, role, status), n) in people.into_iter().zip(1..) {
        let mut user = user(Uuid::from_u128(n), 1, name);
        (user.role, user.status) = (role, status);
        here.tell(&created(user)).await;
    }
    let lists = [
        ("", &["eve", "bob", "ada"][..]),
        ("role=ADMIN", &["ada"]),
        ("role=VENDOR", &["bob"]),
        ("status=active", &["eve", "ada"]),
        ("status=suspended", &["bob"]),
        ("limit=2", &["eve", "bob"]),
        ("role=VENDOR&status=active", &[]),
    ];
    let everything = ask(&here, Uuid::from_u128(1)).await;
    for app in [&here, &there] {
        for (query, expected) in lists {
            let list = app.list(&format!("/users?{query}")).await;
            let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|user| &user["name"]).collect();
            assert_eq!(names, expected, "{query}");
        }
    }
    assert_eq!(ask(&there, Uuid::from_u128(1)).await, everything);
    assert_eq!(loads(&here)[1], lists.len() as u64);
    assert_eq!(loads(&there), [0; 4], "all of it came by way of Redis");
}
