//! A payments service under test: its own database, a hub whose other queues are taken by us, and people.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use chassis::args;
use chassis::config::{Process, Secret};
use chassis::db::{Args, Db, DbConfig, Dialect};
use chassis::testing::{Answer, Issuer, answer, shell_on};
use contracts::{PaymentChanged, Role, UserChanged, UserCreated, UserStatus};
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use jiff::Timestamp;
use payments_service::{Config, Deps, build};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tramline_cache::twin::Twin;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::handler::RawDelivery;
use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome};
use tramline_observability::lifecycle::Phase;
use url::Url;
use uuid::Uuid;

/// What the provider of the tests signs with.
pub(crate) const SECRET: &str = "a secret of the tests' own";

/// Nobody listens on the discard port: a webhook that is away.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9/api/payments/webhooks/psp";

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
    pub(crate) place: Place,
    service: chassis::Service,
    /// Every event on the exchange, in the order of arrival; the consumer of admin's queue holds the other half.
    seen: watch::Receiver<Vec<Event>>,
    dead: watch::Receiver<usize>,
    _served: Option<Served>,
}

struct Served(JoinHandle<()>);

/// Someone with a token.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) token: String,
}

// === impl Place ===

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("payments.db").display());
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
    /// A service whose provider takes payments up at once, and whose webhook is away: they stay `processing`.
    pub(crate) async fn start(place: Place) -> Self {
        Self::open(place, NOWHERE.parse().unwrap(), None).await
    }

    /// A service whose provider is busy elsewhere: payments stay `pending`.
    pub(crate) async fn held(place: Place) -> Self {
        let app = Self::start(place).await;
        app.hold_jobs().await;
        app
    }

    /// The same with a tier that processes share.
    pub(crate) async fn held_beside_redis(place: Place) -> Self {
        let cache = Store::twin(&Twin::new(), StoreConfig::default());
        let app = Self::open_with(place, NOWHERE.parse().unwrap(), None, cache).await;
        eventually("it hears", async || app.cache.stats().attached).await;
        app.hold_jobs().await;
        app
    }

    /// A service that listens on a port of its own, where its provider calls it.
    pub(crate) async fn listening(place: Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/payments/webhooks/psp", listener.local_addr().unwrap());
        Self::open(place, url.parse().unwrap(), Some(listener)).await
    }

    /// A service on that database, calling that webhook, listening there if anywhere.
    pub(crate) async fn open(place: Place, webhook: Url, listener: Option<TcpListener>) -> Self {
        Self::open_with(place, webhook, listener, Store::memory(StoreConfig::default())).await
    }

    /// A service with that cache.
    pub(crate) async fn open_with(
        place: Place,
        webhook: Url,
        listener: Option<TcpListener>,
        cache: Store,
    ) -> Self {
        let hub = Hub::memory(MemoryConfig::default());
        let shell = shell_on(&Process::payments(), hub.clone());
        let issuer = Issuer::new().await;
        shell.use_auth(issuer.auth());
        let db = Db::open("PAYMENTS_DATABASE_URL", &place.url, &fast()).unwrap();
        let config = Config::new(place.url.parse().unwrap(), Secret::new(SECRET), webhook);
        let service = build(config, Deps::new(shell.clone(), db.clone(), cache.clone())).unwrap();
        assert!(shell.started(&shell.lifecycle().stopping(Phase::Flush)).await);
        let (seen, dead) = take_the_others_queues(&hub);
        let router = service.router();
        let served = listener.map(|listener| {
            let router = router.clone();
            Served(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
        });
        Self { router, db, hub, issuer, cache, place, service, seen, dead, _served: served }
    }

    /// Ends the service as a signal would, and gives its place for the next one.
    pub(crate) async fn end(self) -> Place {
        let report = self.service.lifecycle().drain(PATIENCE).await;
        assert!(report.aborted.is_empty(), "{report:?}");
        self.place
    }

    /// New jobs are not due before the year 2255.
    pub(crate) async fn hold_jobs(&self) {
        match self.db.dialect() {
            Dialect::Sqlite => {
                self.execute(
                    "CREATE TRIGGER hold AFTER INSERT ON psp_jobs BEGIN \
                     UPDATE psp_jobs SET due_at = 9000000000000000 WHERE payment_id = NEW.payment_id; END",
                    args![],
                )
                .await;
            }
            Dialect::Postgres => {
                self.execute(
                    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
                     'BEGIN NEW.due_at := 9000000000000000; RETURN NEW; END'",
                    args![],
                )
                .await;
                self.execute(
                    "CREATE TRIGGER hold BEFORE INSERT ON psp_jobs FOR EACH ROW EXECUTE FUNCTION hold()",
                    args![],
                )
                .await;
            }
        }
    }

    /// Events of our own stay in the outbox from now on: what is seen, was not seen by their help.
    pub(crate) async fn hold_events(&self) {
        match self.db.dialect() {
            Dialect::Sqlite => {
                self.execute(
                    "CREATE TRIGGER hold_events AFTER INSERT ON outbox BEGIN \
                     UPDATE outbox SET due_at = 9000000000000000 WHERE seq = NEW.seq; END",
                    args![],
                )
                .await;
            }
            Dialect::Postgres => {
                self.execute(
                    "CREATE FUNCTION hold_events() RETURNS trigger LANGUAGE plpgsql AS \
                     'BEGIN NEW.due_at := 9000000000000000; RETURN NEW; END'",
                    args![],
                )
                .await;
                self.execute(
                    "CREATE TRIGGER hold_events BEFORE INSERT ON outbox \
                     FOR EACH ROW EXECUTE FUNCTION hold_events()",
                    args![],
                )
                .await;
            }
        }
    }

    /// Everyone's copy has arrived when this returns.
    pub(crate) async fn person(&self, name: &str, role: Role) -> Person {
        let person = self.stranger(name, role).await;
        self.tell(&user_created(&person, 1)).await;
        person
    }

    /// Someone of whom no event has told.
    pub(crate) async fn stranger(&self, name: &str, role: Role) -> Person {
        let id = Uuid::now_v7();
        let token = self.issuer.token(id, role, name).await;
        Person { id, name: name.to_owned(), email: format!("{name}@example.com"), token }
    }

    pub(crate) async fn alice_and_bob(&self) -> (Person, Person) {
        (self.person("alice", Role::Customer).await, self.person("bob", Role::Vendor).await)
    }

    /// Publishes, and waits until every service's queue has acked it or its dead letter.
    pub(crate) async fn tell(&self, event: &Event) {
        let receipt = self.hub.publish(event).await.unwrap();
        timeout(PATIENCE, receipt.settled()).await.expect("no queue keeps an event").unwrap();
    }

    pub(crate) async fn get(&self, who: &Person, path: &str) -> Answer {
        self.send(who, "GET", path, &[], None).await
    }

    pub(crate) async fn post(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.send(who, "POST", path, &[], Some(body)).await
    }

    /// A payment as a client asks for it.
    pub(crate) async fn pay(&self, who: &Person, body: Value) -> Answer {
        self.post(who, "/api/payments", body).await
    }

    /// A payment that must succeed; its id.
    pub(crate) async fn paid(&self, from: &Person, to: &Person, amount: &str) -> String {
        let answer = self.pay(from, order(to, amount)).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["id"].as_str().unwrap().to_owned()
    }

    /// The same with a key.
    pub(crate) async fn pay_keyed(&self, who: &Person, key: &str, body: Value) -> Answer {
        self.send(who, "POST", "/api/payments", &[("idempotency-key", key)], Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        who: &Person,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", who.token))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        answer(&self.router, request.body(body).unwrap()).await
    }

    /// The provider's report, signed now.
    pub(crate) async fn report(&self, payment: &str, status: &str, reference: &str) -> Answer {
        let body = json!({ "paymentId": payment, "status": status, "pspReference": reference });
        self.webhook(
            &body.to_string(),
            Some(&signed(SECRET, Timestamp::now().as_second(), &body.to_string())),
        )
        .await
    }

    /// Any call of the webhook.
    pub(crate) async fn webhook(&self, body: &str, signature: Option<&str>) -> Answer {
        let mut request =
            Request::post("/api/payments/webhooks/psp").header("content-type", "application/json");
        if let Some(signature) = signature {
            request = request.header("x-signature", signature);
        }
        answer(&self.router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn status(&self, who: &Person, payment: &str) -> String {
        let answer = self.get(who, &format!("/api/payments/{payment}")).await;
        answer.json["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the payment has that state.
    pub(crate) async fn becomes(&self, who: &Person, payment: &str, status: &str) {
        eventually(&format!("{payment} is {status}"), async || self.status(who, payment).await == status)
            .await;
    }

    pub(crate) async fn execute(&self, sql: &'static str, args: Args) -> u64 {
        self.db.execute(sql, args).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str, args: Args) -> i64 {
        self.db.query_one(sql, args).await.unwrap().get("n").unwrap()
    }

    /// How often a cache has loaded.
    pub(crate) fn loads(&self, cache: &str) -> u64 {
        self.cache.caches().iter().find(|stats| stats.name == cache).unwrap().stats.loads
    }

    /// The payments that there are.
    pub(crate) async fn payments(&self) -> i64 {
        self.count("SELECT COUNT(*) AS n FROM payments", args![]).await
    }

    /// Waits for the payment's event that tells of `version`, and gives it.
    pub(crate) async fn event(&self, payment: &str, version: i64) -> Event {
        let mut seen = self.seen.clone();
        let found = async {
            let events = seen
                .wait_for(|events| events.iter().any(|event| is_version(event, payment, version)))
                .await
                .unwrap();
            events.iter().find(|event| is_version(event, payment, version)).unwrap().clone()
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no event of version {version}"))
    }

    /// The events of a payment so far.
    pub(crate) fn events(&self, payment: &str) -> Vec<Event> {
        let of = |event: &&Event| event.subject.as_deref() == Some(payment);
        self.seen.borrow().iter().filter(of).cloned().collect()
    }

    /// How many events became dead letters.
    pub(crate) fn dead_letters(&self) -> usize {
        *self.dead.borrow()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn is_version(event: &Event, payment: &str, version: i64) -> bool {
    event.subject.as_deref() == Some(payment)
        && event.data::<PaymentChanged>().is_ok_and(|data| data.version == version)
}

/// Tests need no `fsync`.
fn fast() -> DbConfig {
    let mut config = DbConfig::default();
    config.durable = false;
    config.connections = 4;
    config
}

/// Acks what the other services would, so that receipts settle; admin's queue has every event.
fn take_the_others_queues(hub: &Hub) -> (watch::Receiver<Vec<Event>>, watch::Receiver<usize>) {
    for queue in [contracts::AUTH_QUEUE, contracts::PROFILE_QUEUE] {
        let hub = hub.clone();
        let ack = async |_: Event, _: Context| Outcome::Ack;
        tokio::spawn(async move {
            hub.consume(queue, ConsumerConfig::default(), ack, std::future::pending()).await
        });
    }
    let (seen, events) = watch::channel(Vec::new());
    let mut in_order = ConsumerConfig::default();
    in_order.concurrency = 1;
    let note = move |event: Event, _: Context| {
        seen.send_modify(|events: &mut Vec<Event>| events.push(event));
        std::future::ready(Outcome::Ack)
    };
    let admin = hub.clone();
    tokio::spawn(async move {
        admin.consume(contracts::ADMIN_QUEUE, in_order, note, std::future::pending()).await
    });
    let (dead, letters) = watch::channel(0);
    let bury = move |_: RawDelivery, _: Context| {
        dead.send_modify(|letters| *letters += 1);
        std::future::ready(Outcome::Ack)
    };
    let dlq = hub.clone();
    tokio::spawn(async move {
        let config = ConsumerConfig::default();
        dlq.consume(contracts::DEAD_LETTER_QUEUE, config, bury, std::future::pending()).await
    });
    (events, letters)
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

/// The body of a payment.
pub(crate) fn order(to: &Person, amount: &str) -> Value {
    json!({
        "amount": amount, "currency": "EUR", "type": "instant", "recipientEmail": to.email,
        "description": "for the test",
    })
}

/// `auth.user.created` of someone.
pub(crate) fn user_created(person: &Person, version: i64) -> Event {
    contracts::wrap("/auth-service", &UserCreated(user(person, version))).unwrap()
}

/// Someone as auth tells of them.
pub(crate) fn user(person: &Person, version: i64) -> UserChanged {
    UserChanged {
        user_id: person.id,
        version,
        email: person.email.clone(),
        name: person.name.clone(),
        role: Role::Customer,
        status: UserStatus::Active,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

/// `X-Signature`, by the contract's sentence and not by the service's code.
pub(crate) fn signed(secret: &str, unix: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{unix}.{body}").as_bytes());
    format!("t={unix},v1={}", hex::encode(mac.finalize().into_bytes()))
}
