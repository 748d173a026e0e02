//! A service on a hub and a database of its own, with an issuer of tokens beside it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use chassis::Shell;
use chassis::auth::{Keys, Snapshot};
use chassis::config::{Common, Process};
use chassis::db::{Db, DbConfig};
use chassis::testing::{Answer, Issuer, send};
use contracts::{Payload, Role, UserChanged, UserCreated, UserDeleted, UserStatus, UserUpdated};
use http::StatusCode;
use jiff::Timestamp;
use profile_service::{Config, Deps, build};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::feed::Feed;
use tramline_event_hub::{ConsumerConfig, Context, Event, Outcome};
use tramline_observability::Lifecycle;
use uuid::Uuid;

/// Far more than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A service under test.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) shell: Shell,
    pub(crate) db: Db,
    pub(crate) cache: Store,
    issuer: Issuer,
    heard: Arc<Mutex<Vec<Event>>>,
    more: Arc<Notify>,
    _folder: Option<TempDir>,
}

#[derive(Default)]
struct Setup {
    demo_seed: bool,
    /// Without, a deleted user's token goes on, so that a test can look behind it.
    revocations: bool,
}

/// A user with a token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) token: String,
}

// === impl Bench ===

impl Bench {
    pub(crate) async fn new() -> Self {
        let (db, folder) = chassis::testing::sqlite();
        Self::on(db, Some(folder), Setup::default()).await
    }

    /// Where sessions and users can end, as everywhere outside of tests.
    pub(crate) async fn revoking() -> Self {
        let (db, folder) = chassis::testing::sqlite();
        Self::on(db, Some(folder), Setup { revocations: true, demo_seed: false }).await
    }

    pub(crate) async fn seeded() -> Self {
        let (db, folder) = chassis::testing::sqlite();
        Self::on(db, Some(folder), Setup { demo_seed: true, revocations: false }).await
    }

    /// On PostgreSQL, when there is one.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let url = devkit::engines::fresh_database().await?;
        Some(Self::on(Db::open("X", &url, &DbConfig::default()).unwrap(), None, Setup::default()).await)
    }

    async fn on(db: Db, folder: Option<TempDir>, setup: Setup) -> Self {
        let mut common = Common::embedded(&Process::profile());
        common.demo_seed = setup.demo_seed;
        // Tokens are checked by the issuer's own keys: nothing is fetched.
        common.jwks_url = Some("http://127.0.0.1:1/.well-known/jwks.json".parse().unwrap());
        let hub = Shell::open_hub(&common).unwrap();
        let shell = Shell::new(common, hub, Lifecycle::new());
        let issuer = Issuer::new().await;
        if setup.revocations {
            let (keys, none) = (issuer.sessions().keys().clone(), || std::future::ready(Ok(Vec::new())));
            shell.auth_with(Keys::ring(keys), Snapshot::new(none)).unwrap();
        } else {
            shell.use_auth(issuer.auth());
        }
        let cache = Store::memory(StoreConfig::default());
        let deps = Deps::new(shell.clone(), db.clone(), cache.clone());
        let service = build(Config::new("sqlite:unused".parse().unwrap()), deps).unwrap();
        assert!(shell.started(&CancellationToken::new()).await);
        let router = service.router();
        let (heard, more) = (Arc::default(), Arc::default());
        let bench = Self { router, shell, db, cache, issuer, heard, more, _folder: folder };
        bench.listen().await;
        bench
    }

    async fn listen(&self) {
        let (heard, more) = (Arc::clone(&self.heard), Arc::clone(&self.more));
        let (hub, placed) = (self.shell.hub().clone(), Arc::new(Notify::new()));
        let place = Arc::clone(&placed);
        tokio::spawn(async move {
            let handle = move |event: Event, _: Context| {
                heard.lock().unwrap().push(event);
                more.notify_waiters();
                std::future::ready(Outcome::Ack)
            };
            let told = move |_| place.notify_one();
            let (feed, config) = (Feed::new("test.events", ["profile.#"]), ConsumerConfig::default());
            hub.consume_feed(feed, config, handle, told, std::future::pending()).await
        });
        placed.notified().await;
    }

    /// Someone whom auth has not told of yet.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let id = Uuid::now_v7();
        Person { id, token: self.issuer.token(id, Role::Customer, name).await }
    }

    /// A token of another role for someone.
    pub(crate) async fn token(&self, id: Uuid, role: Role) -> String {
        self.issuer.token(id, role, "x").await
    }

    pub(crate) async fn get(&self, who: &Person) -> Answer {
        send(&self.router, "GET", "/api/profile", Some(&who.token), None).await
    }

    pub(crate) async fn put(&self, who: &Person, body: Value) -> Answer {
        send(&self.router, "PUT", "/api/profile", Some(&who.token), Some(body)).await
    }

    /// Tells the service and waits until it has taken it: published, then empty behind it.
    pub(crate) async fn tell<P: Payload + Sync>(&self, payload: &P) -> Event {
        let event = contracts::wrap("/auth-service", payload).unwrap();
        self.deliver(&event).await;
        event
    }

    pub(crate) async fn deliver(&self, event: &Event) {
        self.shell.hub().publish(event).await.unwrap();
        // The other services' queues are nobody's here, so the receipt would never settle: ours is asked.
        let sql = "SELECT COUNT(*) AS n FROM inbox WHERE event_id = $1";
        let taken = || async {
            let row = self.db.query_one(sql, chassis::args![event.id.as_str()]).await.unwrap();
            (row.get::<i64>("n").unwrap() == 1).then_some(())
        };
        eventually("the event in the inbox", taken).await;
    }

    /// Asks for a profile until it `is` so: the cache is told after the commit.
    pub(crate) async fn until(&self, who: &Person, what: &str, is: impl Fn(&Answer) -> bool) -> Answer {
        eventually(what, || async { Some(self.get(who).await).filter(|answer| is(answer)) }).await
    }

    /// The n-th event that the service told.
    pub(crate) async fn heard(&self, at: usize) -> Event {
        let waiting = async {
            loop {
                let mut more = std::pin::pin!(self.more.notified());
                more.as_mut().enable();
                if let Some(event) = self.heard.lock().unwrap().get(at).cloned() {
                    return event;
                }
                more.await;
            }
        };
        tokio::time::timeout(LONG, waiting).await.expect("an event")
    }

    pub(crate) async fn outbox(&self) -> Vec<Value> {
        let rows = self.db.query("SELECT body FROM outbox ORDER BY seq", chassis::args![]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.get::<String>("body").unwrap()).unwrap()).collect()
    }
}

/// A user as auth tells of them.
pub(crate) fn user(id: Uuid, version: i64, email: &str) -> UserChanged {
    let now = Timestamp::now();
    UserChanged {
        user_id: id,
        version,
        email: email.to_owned(),
        name: "Ada".to_owned(),
        role: Role::Customer,
        status: UserStatus::Active,
        created_at: now,
        updated_at: now,
    }
}

pub(crate) fn created(id: Uuid, email: &str) -> UserCreated {
    UserCreated(user(id, 1, email))
}

pub(crate) fn updated(id: Uuid, version: i64, email: &str) -> UserUpdated {
    UserUpdated(user(id, version, email))
}

pub(crate) fn deleted(id: Uuid, version: i64) -> UserDeleted {
    UserDeleted { user_id: id, version, deleted_at: Timestamp::now() }
}

/// Status and code at a glance.
pub(crate) fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

pub(crate) fn good(answer: &Answer) -> &Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    &answer.json
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
