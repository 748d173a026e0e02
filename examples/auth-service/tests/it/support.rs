//! A service on a hub and a database of its own, requests into its router, and what it tells the hub.

pub(crate) mod events;
pub(crate) mod request;

use std::time::Duration;

use auth_service::{Config, Deps, build};
use axum::Router;
use chassis::config::{Common, Process};
use chassis::db::{Db, DbConfig};
use chassis::testing::Answer;
use chassis::{Shell, args};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tramline_cache::{Store, StoreConfig};
use tramline_observability::Lifecycle;
use tramline_session_sync::KeyFile;
use tramline_session_sync::attempts::{Attempts, AttemptsConfig};
use tramline_session_sync::cookie::Origins;
use tramline_session_sync::tickets::{Tickets, TicketsConfig};
use tramline_streaming_proxy::layer::rate_limit::Quota;

pub(crate) use self::events::Events;
pub(crate) use self::request::Call;

/// A password that meets the rules.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The one page that may use the cookie.
pub(crate) const PAGE: &str = "https://pay.example.com";
/// Far more than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What a test changes of the usual.
pub(crate) struct Setup {
    pub(crate) db: Option<Db>,
    pub(crate) demo_seed: bool,
    pub(crate) key_file: KeyFile,
    pub(crate) rate_limit: Option<Quota>,
    pub(crate) tickets: bool,
    pub(crate) redis: Option<&'static str>,
}

/// A service under test.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) shell: Shell,
    pub(crate) db: Db,
    pub(crate) cache: Store,
    pub(crate) events: Events,
    pub(crate) key_file: KeyFile,
    pub(crate) tickets: Option<Tickets>,
    _folder: Option<TempDir>,
}

/// Someone who is signed in.
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
}

// === impl Setup ===

impl Default for Setup {
    fn default() -> Self {
        let key_file = KeyFile::generate();
        Self { db: None, demo_seed: false, key_file, rate_limit: None, tickets: true, redis: None }
    }
}

// === impl Bench ===

impl Bench {
    /// On SQLite, without limits.
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        events::traced();
        let (db, folder) = match setup.db {
            Some(db) => (db, None),
            None => {
                let (db, folder) = chassis::testing::sqlite();
                (db, Some(folder))
            }
        };
        let mut common = Common::embedded(&Process::auth());
        common.demo_seed = setup.demo_seed;
        common.redis_url = setup.redis.map(|url| url.parse().unwrap());
        let hub = Shell::open_hub(&common).unwrap();
        let shell = Shell::new(common, hub.clone(), Lifecycle::new());
        let events = Events::of(&hub).await;

        let url = "sqlite:unused".parse().unwrap();
        let mut config = Config::new(url, setup.key_file.clone(), Origins::new([PAGE.to_owned()]));
        config.rate_limit = setup.rate_limit;
        let tickets = setup.tickets.then(|| Tickets::memory(TicketsConfig::default()));
        let attempts = Attempts::memory(AttemptsConfig::default());
        let cache = Store::memory(StoreConfig::default());
        let deps = Deps::new(shell.clone(), db.clone(), attempts, tickets.clone(), cache.clone());
        let service = build(config, deps).unwrap();
        assert!(shell.started(&CancellationToken::new()).await);
        let router = service.router();
        Self { router, shell, db, cache, events, key_file: setup.key_file, tickets, _folder: folder }
    }

    /// On PostgreSQL, when there is one.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let url = devkit::engines::fresh_database().await?;
        let db = Db::open("AUTH_DATABASE_URL", &url, &DbConfig::default()).unwrap();
        Some(Self::with(Setup { db: Some(db), ..Setup::default() }).await)
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(&self.router, method, path)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    /// Registers `name@example.com`, with the refresh token in the body.
    pub(crate) async fn register(&self, name: &str) -> SignedIn {
        let email = format!("{name}@example.com");
        let body = json!({ "email": email, "password": PASSWORD, "name": name, "transport": "body" });
        let answer = self.post("/api/auth/register", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        SignedIn::of(&answer, &email)
    }

    /// Signs in once more.
    pub(crate) async fn login(&self, email: &str, device: Value) -> SignedIn {
        let body = json!({ "email": email, "password": PASSWORD, "device": device, "transport": "body" });
        let answer = self.post("/api/auth/login", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        SignedIn::of(&answer, email)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/auth/refresh", json!({ "refreshToken": token })).await
    }

    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.call("GET", "/api/auth/me").token(token).send().await
    }

    /// Changes a user behind the service's back, as routes that come later will.
    pub(crate) async fn set(&self, email: &str, column: &'static str, value: &str) {
        let sql = match column {
            "role" => "UPDATE users SET role = $2 WHERE email = $1",
            "status" => "UPDATE users SET status = $2 WHERE email = $1",
            other => panic!("{other}"),
        };
        assert_eq!(self.db.execute(sql, args![email, value]).await.unwrap(), 1);
    }

    /// The outbox, oldest first.
    pub(crate) async fn outbox(&self) -> Vec<Value> {
        let rows = self.db.query("SELECT body FROM outbox ORDER BY seq", args![]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.get::<String>("body").unwrap()).unwrap()).collect()
    }
}

// === impl SignedIn ===

impl SignedIn {
    pub(crate) fn of(answer: &Answer, email: &str) -> Self {
        let text = |at: &str| answer.json.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            id: text("/user/id"),
            email: email.to_owned(),
            token: text("/accessToken"),
            refresh: text("/refreshToken"),
            session: text("/session/id"),
        }
    }
}

/// A handle of its own to the database in a folder, as a second process has one.
pub(crate) fn reopened(folder: &TempDir) -> Db {
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    Db::open("AUTH_DATABASE_URL", &url, &DbConfig::default()).unwrap()
}

/// Status and code at a glance.
pub(crate) fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// Asks again until there is an answer; the one place that waits for what tells nobody.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    tokio::time::timeout(LONG, asking).await.unwrap_or_else(|_| panic!("never came: {what}"))
}
