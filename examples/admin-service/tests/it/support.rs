//! An admin service under test: its own database, a hub whose other queues are taken by us, and an admin.

use std::time::Duration;

use admin_service::{Config, Deps, build};
use axum::Router;
use chassis::config::Process;
use chassis::db::{Args, Db, DbConfig};
use chassis::testing::{Answer, Issuer, send, shell_on};
use contracts::{
    PaymentChanged, PaymentEvent, PaymentStatus, PaymentType, Role, UserChanged, UserCreated, UserDeleted,
    UserStatus, UserUpdated,
};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::feed::Feed;
use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome};
use tramline_observability::lifecycle::Phase;
use uuid::Uuid;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the database is; gone with the value.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

/// A running service.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) db: Db,
    pub(crate) hub: Hub,
    pub(crate) issuer: Issuer,
    pub(crate) cache: Store,
    /// An admin's token.
    pub(crate) admin: String,
    /// What the service told, in the order of arrival; a feed's consumer holds the other half.
    told: watch::Receiver<Vec<Event>>,
    _place: Place,
}

// === impl Place ===

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("admin.db").display());
        Self { url, _folder: Some(folder) }
    }

    /// The same database, for as long as this place is kept.
    pub(crate) fn again(&self) -> Self {
        Self { url: self.url.clone(), _folder: None }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let url = devkit::engines::fresh_database().await?;
        Some(Self { url, _folder: None })
    }
}

// === impl App ===

impl App {
    /// On a database as the first version of the service left it, with two letters: an event, and what is none.
    pub(crate) async fn upgraded(place: Place) -> Self {
        let db = Db::open("ADMIN_DATABASE_URL", &place.url, &DbConfig::default()).unwrap();
        db.migrate(&[chassis::migration!("0001_admin")]).await.unwrap();
        let event = created(user(Uuid::from_u128(1), 1, "ada"));
        let now = Timestamp::now();
        let insert = "INSERT INTO dead_letters (id, event_id, event_type, queue, routing_key, reason, error, handler, \
             attempts, first_failed_at, last_failed_at, headers, body, received_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let (queue, headers) =
            ("admin.events.queue", r#"{"x-tramline-attempts":"1","x-tramline-death":"d"}"#);
        let kind = Some(event.event_type.as_str());
        let args = chassis::args![
            Uuid::now_v7(),
            Some(event.id.as_str()),
            kind,
            Some(queue),
            kind,
            "rejected",
            Some("no rule"),
            Some("admin"),
            1,
            Some(now),
            Some(now),
            headers,
            &event.to_json()[..],
            now,
        ];
        db.execute(insert, args).await.unwrap();
        let (no_text, no_time) = (None::<&str>, None::<Timestamp>);
        let args = chassis::args![
            Uuid::now_v7(),
            no_text,
            no_text,
            no_text,
            no_text,
            "unknown",
            no_text,
            no_text,
            0,
            no_time,
            no_time,
            "{}",
            &b"none"[..],
            now + Duration::from_micros(1),
        ];
        db.execute(insert, args).await.unwrap();
        db.close().await;
        Self::start(place).await
    }

    pub(crate) async fn start(place: Place) -> Self {
        Self::start_with(place, Store::memory(StoreConfig::default())).await
    }

    /// A service with that cache.
    pub(crate) async fn start_with(place: Place, cache: Store) -> Self {
        let hub = Hub::memory(MemoryConfig::default());
        let shell = shell_on(&Process::admin(), hub.clone());
        let issuer = Issuer::new().await;
        shell.use_auth(issuer.auth());
        let mut fast = DbConfig::default();
        fast.durable = false;
        fast.connections = 5;
        let db = Db::open("ADMIN_DATABASE_URL", &place.url, &fast).unwrap();
        let config = Config::new(place.url.parse().unwrap());
        let service = build(config, Deps::new(shell.clone(), db.clone(), cache.clone())).unwrap();
        assert!(shell.started(&shell.lifecycle().stopping(Phase::Flush)).await);
        let told = listen(&hub).await;
        let admin = issuer.token(Uuid::now_v7(), Role::Admin, "admin").await;
        Self { router: service.router(), db, hub, issuer, cache, admin, told, _place: place }
    }

    /// Publishes, and waits until every queue has acked the event, or admin's table has its dead letter.
    pub(crate) async fn tell(&self, event: &Event) {
        let receipt = self.hub.publish(event).await.unwrap();
        timeout(PATIENCE, receipt.settled()).await.expect("no queue keeps an event").unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(&self.router, "GET", &format!("/api/admin{path}"), Some(&self.admin), None).await
    }

    /// How often a cache has loaded.
    pub(crate) fn loads(&self, cache: &str) -> u64 {
        self.cache.caches().iter().find(|stats| stats.name == cache).unwrap().stats.loads
    }

    /// A list that must be there.
    pub(crate) async fn list(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json
    }

    pub(crate) async fn count(&self, sql: &'static str, args: Args) -> i64 {
        self.db.query_one(sql, args).await.unwrap().get("n").unwrap()
    }

    pub(crate) async fn entries(&self) -> i64 {
        self.count("SELECT COUNT(*) AS n FROM audit_logs", chassis::args![]).await
    }

    /// Waits until the service has told `n` events, and gives all of them.
    pub(crate) async fn told(&self, n: usize) -> Vec<Event> {
        let mut told = self.told.clone();
        let enough = async { told.wait_for(|events| events.len() >= n).await.unwrap().clone() };
        timeout(PATIENCE, enough).await.unwrap_or_else(|_| panic!("not {n} events in time"))
    }
}

/// Asks again until the answer is yes. The one place that waits by the clock.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Takes the queues of the other services, and listens to what admin tells.
async fn listen(hub: &Hub) -> watch::Receiver<Vec<Event>> {
    for queue in [contracts::AUTH_QUEUE, contracts::PAYMENTS_QUEUE, contracts::PROFILE_QUEUE] {
        let hub = hub.clone();
        let ack = async |_: Event, _: Context| Outcome::Ack;
        tokio::spawn(async move {
            hub.consume(queue, ConsumerConfig::default(), ack, std::future::pending()).await
        });
    }
    let (told, events) = watch::channel(Vec::new());
    let (open, opened) = tokio::sync::oneshot::channel();
    let open = std::sync::Mutex::new(Some(open));
    let hub = hub.clone();
    tokio::spawn(async move {
        let note = move |event: Event, _: Context| {
            told.send_modify(|events: &mut Vec<Event>| events.push(event));
            std::future::ready(Outcome::Ack)
        };
        let place = move |_| {
            let _ = open.lock().unwrap().take().map(|open| open.send(()));
        };
        let mut in_order = ConsumerConfig::default();
        in_order.concurrency = 1;
        hub.consume_feed(Feed::new("test", ["admin.#"]), in_order, note, place, std::future::pending()).await
    });
    timeout(PATIENCE, opened).await.unwrap().unwrap();
    events
}

/// A user as auth tells of them.
pub(crate) fn user(id: Uuid, version: i64, name: &str) -> UserChanged {
    UserChanged {
        user_id: id,
        version,
        email: format!("{name}@example.com"),
        name: name.to_owned(),
        role: Role::Customer,
        status: UserStatus::Active,
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        updated_at: "2026-01-02T00:00:00Z".parse().unwrap(),
    }
}

pub(crate) fn created(user: UserChanged) -> Event {
    contracts::wrap("/auth-service", &UserCreated(user)).unwrap()
}

pub(crate) fn updated(user: UserChanged) -> Event {
    contracts::wrap("/auth-service", &UserUpdated(user)).unwrap()
}

pub(crate) fn deleted(id: Uuid, version: i64) -> Event {
    let gone = UserDeleted { user_id: id, version, deleted_at: Timestamp::now() };
    contracts::wrap("/auth-service", &gone).unwrap()
}

/// A payment of 12.50 EUR that enters `status`.
pub(crate) fn payment(id: Uuid, version: i64, status: PaymentStatus) -> PaymentChanged {
    PaymentChanged {
        payment_id: id,
        version,
        sender_id: Uuid::from_u128(1),
        recipient_id: Uuid::from_u128(2),
        amount: "12.50".to_owned(),
        currency: "EUR".to_owned(),
        status,
        payment_type: PaymentType::Instant,
        description: "a private matter".to_owned(),
        failure_reason: None,
        occurred_at: Timestamp::now(),
    }
}

pub(crate) fn paid(payment: &PaymentChanged) -> Event {
    payment.wrap("/payments-service", PaymentEvent::entering(payment.status)).unwrap()
}
