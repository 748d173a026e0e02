//! Orders are taken over HTTP, and each is confirmed by a mail: `docs/guides/events.md` walks through it.

use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::handler::{Action, BoxError, Data, ErrorTable};
use tramline_event_hub::outbox::sqlite::{self as outbox, Relay};
use tramline_event_hub::outbox::{OutboxWaker, RelayConfig, RelayMonitor};
use tramline_event_hub::schema::{Upcasts, Versioned};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Event, Hub, HubConfig, MemoryConfig, inbox};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The driver logs whole messages, and the answers to our own questions as errors; the hub says what is true.
    tracing_subscriber::fmt().with_env_filter("info,lapin=off").init();
    let mut common = HubConfig::default();
    common.upcasts = Upcasts::new().with::<OrderPlaced>(); // see «Versions»
    let hub = match std::env::var("RABBITMQ_URL") {
        Ok(url) => {
            let mut config = AmqpConfig::default();
            config.hub = common;
            Hub::amqp(&url, config)?
        }
        Err(_) => {
            let mut config = MemoryConfig::default();
            config.hub = common;
            Hub::memory(config)
        }
    };
    let pool = SqlitePool::connect("sqlite:orders.db?mode=rwc").await?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        }
    });
    serve(hub, pool, TcpListener::bind("127.0.0.1:8080").await?, stop).await
}

fn topology() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("events"))
        .exchange(Exchange::direct("events.dlx"))
        .queue(Queue::quorum("mail.orders").with_dead_letter("events.dlx", "dead-letter"))
        .binding(Binding::new("events", "orders.order.*", "mail.orders"))
        .queue(Queue::quorum("events.dlq").with_delivery_limit(None))
        .binding(Binding::new("events.dlx", "dead-letter", "events.dlq"))
}

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order: i64,
    item: String,
}

impl Versioned for OrderPlaced {
    const TYPE: &'static str = "orders.order.placed";
    const VERSION: u32 = 1;
}

#[derive(Clone)]
struct App {
    pool: SqlitePool,
    hub: Hub,
    waker: OutboxWaker,
    relay: RelayMonitor,
}

#[derive(Deserialize)]
struct NewOrder {
    item: String,
}

/// The order and its event: both are there or neither is.
async fn place(State(app): State<App>, Json(new): Json<NewOrder>) -> Result<Response, Failed> {
    let mut tx = app.pool.begin_with("BEGIN IMMEDIATE").await?;
    let order = sqlx::query_scalar("INSERT INTO orders (item) VALUES ($1) RETURNING id")
        .bind(&new.item)
        .fetch_one(&mut *tx)
        .await?;
    let placed = OrderPlaced { order, item: new.item };
    let event = Event::of("orders", &placed)?.with_partition_key(order.to_string());
    outbox::enqueue(&mut tx, &event).await?;
    tx.commit().await?;
    app.waker.notify();
    Ok((StatusCode::CREATED, Json(placed)).into_response())
}

/// The mark and the effect: one transaction, so that a repeat does nothing.
async fn mail(pool: SqlitePool, event: Event, Data(placed): Data<OrderPlaced>) -> Result<(), BoxError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    if !inbox::sqlite::record(&mut tx, "mail", &event.id).await? {
        return Ok(());
    }
    let price: Option<i64> = sqlx::query_scalar("SELECT cents FROM prices WHERE item = $1")
        .bind(&placed.item)
        .fetch_optional(&mut *tx)
        .await?;
    let cents = price.ok_or(NoPrice(placed.item))?;
    sqlx::query("INSERT INTO mails (order_id, cents) VALUES ($1, $2)")
        .bind(placed.order)
        .bind(cents)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

fn consumer() -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    config.name = Some("mail".to_owned());
    // Another try finds no price either; everything else (the database is away) is tried again.
    config.errors = ErrorTable::new().on::<NoPrice>(Action::Reject);
    config
}

/// Whether this process should get requests, and why not, for people.
async fn ready(State(app): State<App>) -> (StatusCode, String) {
    let (hub, relay) = (app.hub.health(), app.relay.status());
    let code = if hub.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{hub:#?}\n{relay:#?}\n"))
}

/// Runs until `stop`, and drains.
pub(crate) async fn serve(
    hub: Hub,
    pool: SqlitePool,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS prices (item TEXT PRIMARY KEY, cents INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS mails (order_id INTEGER NOT NULL, cents INTEGER NOT NULL);
         INSERT OR IGNORE INTO prices VALUES ('tea', 450);",
    )
    .execute(&pool)
    .await?;
    outbox::migrate(&pool).await?;
    inbox::sqlite::migrate(&pool).await?;

    let relay = Relay::new(pool.clone(), hub.clone(), RelayConfig::default());
    let app = App { pool: pool.clone(), hub: hub.clone(), waker: relay.waker(), relay: relay.monitor() };
    let (drain, relays) = (CancellationToken::new(), CancellationToken::new());
    let events = tokio::spawn({
        let (hub, drain) = (hub.clone(), drain.clone());
        // Should the events end by themselves, the process does not go on without them.
        let guard = stop.clone().drop_guard();
        async move {
            let _guard = guard;
            // Waits for the broker, however long that takes; orders are taken meanwhile.
            let Some(declared) = drain.run_until_cancelled(hub.declare(&topology())).await else {
                return Ok(());
            };
            declared?;
            let handler = move |event: Event, data: Data<OrderPlaced>| mail(pool.clone(), event, data);
            let consume = async {
                let ended = hub.consume("mail.orders", consumer(), handler, drain.cancelled()).await;
                relays.cancel();
                ended
            };
            let (ended, ()) = tokio::join!(consume, relay.run(relays.cancelled()));
            ended
        }
    });

    let router = Router::new().route("/orders", post(place)).route("/readyz", get(ready)).with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    // In this order: no new requests; no new events, the running handlers finish; what they enqueued is sent; then
    // the connections.
    drain.cancel();
    events.await??;
    hub.shutdown().await;
    Ok(())
}

#[derive(Debug)]
struct NoPrice(String);

impl fmt::Display for NoPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no price", self.0)
    }
}

impl std::error::Error for NoPrice {}

struct Failed(BoxError);

impl<E: Into<BoxError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "request failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
