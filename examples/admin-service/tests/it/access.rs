//! Admins only; and what is not built yet.

use admin_service::{Config, Deps, build};
use chassis::Shell;
use chassis::config::{Common, Process};
use chassis::db::{Db, DbConfig};
use chassis::testing::{Issuer, send};
use contracts::{DEMO_EMAILS, Role};
use serde_json::json;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::{Hub, MemoryConfig};
use tramline_observability::Lifecycle;
use uuid::Uuid;

use crate::support::{App, Place, eventually};

/// Method, path, whether it is built.
fn routes() -> Vec<(&'static str, String, bool)> {
    let id = Uuid::now_v7();
    vec![
        ("GET", "/users".to_owned(), true),
        ("GET", format!("/users/{id}"), true),
        ("GET", "/audit-logs".to_owned(), true),
        ("GET", "/audit-logs/actions".to_owned(), true),
        ("GET", "/dashboard".to_owned(), true),
        ("GET", "/audit-logs/verify".to_owned(), false),
        ("GET", "/config".to_owned(), false),
        ("PUT", "/config/theme".to_owned(), false),
        ("GET", "/dead-letters".to_owned(), false),
        ("GET", format!("/dead-letters/{id}"), false),
        ("DELETE", format!("/dead-letters/{id}"), false),
        ("POST", "/dead-letters/redrive".to_owned(), false),
    ]
}

#[tokio::test]
async fn who_may_do_what() {
    let app = App::start(Place::sqlite()).await;
    let customer = app.issuer.token(Uuid::now_v7(), Role::Customer, "carol").await;
    let vendor = app.issuer.token(Uuid::now_v7(), Role::Vendor, "victor").await;
    for (method, path, built) in routes() {
        let path = format!("/api/admin{path}");
        let ask = async |token: Option<&str>| {
            let answer = send(&app.router, method, &path, token, Some(json!("no body of any rule"))).await;
            (answer.status.as_u16(), answer.code().to_owned())
        };
        assert_eq!(ask(None).await, (401, "UNAUTHENTICATED".to_owned()), "{method} {path}");
        assert_eq!(ask(Some("x.y.z")).await, (401, "UNAUTHENTICATED".to_owned()), "{method} {path}");
        for token in [&customer, &vendor] {
            assert_eq!(ask(Some(token)).await, (403, "FORBIDDEN".to_owned()), "{method} {path}");
        }
        let (status, code) = ask(Some(&app.admin)).await;
        if built {
            assert!(matches!(status, 200 | 404), "{method} {path}: {status}");
        } else {
            assert_eq!((status, code.as_str()), (501, "NOT_IMPLEMENTED"), "{method} {path}");
        }
    }
}

/// A query that breaks a rule tells a stranger nothing but that they are one.
#[tokio::test]
async fn refused_before_validated() {
    let app = App::start(Place::sqlite()).await;
    let customer = app.issuer.token(Uuid::now_v7(), Role::Customer, "carol").await;
    for path in ["/api/admin/users?limit=0", "/api/admin/audit-logs?from=never", "/api/admin/users/not-an-id"]
    {
        assert_eq!(send(&app.router, "GET", path, None, None).await.status, 401, "{path}");
        assert_eq!(send(&app.router, "GET", path, Some(&customer), None).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let app = App::start(Place::sqlite()).await;
    for (method, path, status, code) in [
        ("GET", "/api/admin/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/admin/users/not-an-id", 404, "NOT_FOUND"),
        ("POST", "/api/admin/users", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/admin/audit-logs", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = send(&app.router, method, path, Some(&app.admin), None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json["instance"], path);
        assert!(answer.json["requestId"].is_string());
    }
}

/// With the demo seed a service is healthy once its own store has the three accounts.
#[tokio::test]
async fn with_the_demo_seed_health_waits_for_the_accounts() {
    let place = Place::sqlite();
    let hub = Hub::memory(MemoryConfig::default());
    let mut common = Common::embedded(&Process::admin());
    common.demo_seed = true;
    let shell = Shell::new(common, hub.clone(), Lifecycle::new());
    shell.use_auth(Issuer::new().await.auth());
    let db = Db::open("DATABASE_URL", &place.url, &DbConfig::default()).unwrap();
    let config = Config::new(place.url.parse().unwrap());
    let cache = Store::memory(StoreConfig::default());
    let router = build(config, Deps::new(shell.clone(), db, cache)).unwrap().router();
    assert!(
        shell.started(&shell.lifecycle().stopping(tramline_observability::lifecycle::Phase::Flush)).await
    );
    let healthy = async || send(&router, "GET", "/health", None, None).await.status == 200;
    for email in DEMO_EMAILS {
        assert!(!healthy().await);
        let mut user = crate::support::user(Uuid::now_v7(), 1, "demo");
        email.clone_into(&mut user.email);
        let event = contracts::wrap("/auth-service", &contracts::UserCreated(user)).unwrap();
        hub.publish(&event).await.unwrap();
    }
    eventually("the accounts are here", healthy).await;
}
