//! Who may call what, and what the answers look like that no handler makes.

use chassis::Shell;
use chassis::config::{Common, Process, Secret};
use chassis::db::{Db, DbConfig};
use chassis::testing::{Issuer, send};
use contracts::{DEMO_EMAILS, Role};
use http::StatusCode;
use payments_service::{Config, Deps, build};
use serde_json::json;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::{Hub, MemoryConfig};
use tramline_observability::Lifecycle;
use uuid::Uuid;

use crate::support::{App, NOWHERE, Place, SECRET, eventually};

#[tokio::test]
async fn without_a_token_nothing_but_the_webhook_answers() {
    let app = App::start(Place::sqlite()).await;
    let id = Uuid::now_v7();
    for (method, path) in [
        ("POST", "/api/payments".to_owned()),
        ("GET", "/api/payments".to_owned()),
        ("GET", format!("/api/payments/{id}")),
        ("PATCH", format!("/api/payments/{id}")),
        ("POST", format!("/api/payments/{id}/cancel")),
        ("PATCH", format!("/api/payments/{id}/status")),
        ("GET", "/api/payments/reports".to_owned()),
        ("GET", "/api/payments/recipients?query=bob".to_owned()),
    ] {
        for token in [None, Some("no.token.atall")] {
            let answer = send(&app.router, method, &path, token, None).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
                "{path}"
            );
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
}

/// 501 comes after 401 and 403, and before validation.
#[tokio::test]
async fn what_is_not_built_yet_says_so() {
    let app = App::start(Place::sqlite()).await;
    let customer = app.person("carol", Role::Customer).await;
    let vendor = app.person("victor", Role::Vendor).await;
    let admin = app.person("ada", Role::Admin).await;
    let id = Uuid::now_v7();
    let (own, state) = (format!("/api/payments/{id}"), format!("/api/payments/{id}/status"));
    for (who, method, path, status, code) in [
        (&customer, "PATCH", own.as_str(), 501, "NOT_IMPLEMENTED"),
        (&customer, "PATCH", &state, 403, "FORBIDDEN"),
        (&vendor, "PATCH", &state, 403, "FORBIDDEN"),
        (&admin, "PATCH", &state, 501, "NOT_IMPLEMENTED"),
    ] {
        let answer = app.send(who, method, path, &[], Some(json!(17))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{} {method} {path}", who.name);
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_with_the_requests_id() {
    let app = App::start(Place::sqlite()).await;
    let person = app.person("carol", Role::Customer).await;
    for (method, path, status, code) in [
        ("GET", "/api/payments/a/b/c", 404, "NOT_FOUND"),
        ("GET", "/api/payments/not-an-id", 404, "NOT_FOUND"),
        ("DELETE", "/api/payments", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/payments/webhooks/psp", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = app.send(&person, method, path, &[("x-request-id", "mine-1")], None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.headers["x-request-id"], "mine-1");
        assert_eq!((&answer.json["instance"], &answer.json["requestId"]), (&json!(path), &json!("mine-1")));
        for field in ["type", "title", "status", "detail"] {
            assert!(!answer.json[field].is_null(), "{field}: {}", answer.json);
        }
    }
}

#[tokio::test]
async fn the_list_answers_with_and_without_the_last_slash() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    assert_eq!(app.post(&alice, "/api/payments/", crate::support::order(&bob, "1")).await.status, 201);
    assert_eq!(app.get(&alice, "/api/payments/").await.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get(&alice, "/health").await.status, 200);
}

/// With the demo seed a service is healthy once its own store has the three accounts.
#[tokio::test]
async fn with_the_demo_seed_health_waits_for_the_accounts() {
    let place = Place::sqlite();
    let hub = Hub::memory(MemoryConfig::default());
    let mut common = Common::embedded(&Process::payments());
    common.demo_seed = true;
    let shell = Shell::new(common, hub.clone(), Lifecycle::new());
    shell.use_auth(Issuer::new().await.auth());
    let db = Db::open("DATABASE_URL", &place.url, &DbConfig::default()).unwrap();
    let config = Config::new(place.url.parse().unwrap(), Secret::new(SECRET), NOWHERE.parse().unwrap());
    let cache = Store::memory(StoreConfig::default());
    let router = build(config, Deps::new(shell.clone(), db, cache)).unwrap().router();
    assert!(
        shell.started(&shell.lifecycle().stopping(tramline_observability::lifecycle::Phase::Flush)).await
    );
    let healthy = async || send(&router, "GET", "/health", None, None).await.status == 200;
    for email in DEMO_EMAILS {
        assert!(!healthy().await);
        let mut user = crate::support::user(
            &crate::support::Person {
                id: Uuid::now_v7(),
                name: "demo".to_owned(),
                email: String::new(),
                token: String::new(),
            },
            1,
        );
        email.clone_into(&mut user.email);
        let event = contracts::wrap("/auth-service", &contracts::UserCreated(user)).unwrap();
        hub.publish(&event).await.unwrap();
    }
    eventually("the accounts are here", healthy).await;
}
