//! The topology, the tables and the settings that all processes share.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgPool};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, Hub, dead_letters, inbox, outbox};

const EXCHANGE: &str = "torture.events";
const GRAVE: &str = "torture.dead";

pub(crate) const DIRECT_QUEUE: &str = "torture.direct.queue";
pub(crate) const ORDERED_QUEUE: &str = "torture.ordered.queue";
pub(crate) const HOPELESS_QUEUE: &str = "torture.hopeless.queue";
pub(crate) const LETTERS_QUEUE: &str = "torture.dead-letters.queue";

/// How many keys the outboxes write to: enough for every partition to have work, few enough for keys to be busy.
pub(crate) const KEYS: i32 = 24;

/// `effects` has no unique id: what is there twice must be seen, not refused. `tries` are the handler's last words
/// before an event dies, each in a transaction of its own.
const TABLES: &str = "
    CREATE TABLE effects (id BIGSERIAL PRIMARY KEY, event_id TEXT NOT NULL, consumer TEXT NOT NULL, key TEXT NOT NULL, seq BIGINT NOT NULL);
    CREATE TABLE tries (event_id TEXT NOT NULL);
    CREATE TABLE written (event_id TEXT PRIMARY KEY, key TEXT NOT NULL, seq BIGINT NOT NULL, poison BOOLEAN NOT NULL);
    CREATE TABLE keys (key TEXT PRIMARY KEY, seq BIGINT NOT NULL);
";

/// All of it; the delays come by themselves.
pub(crate) fn topology() -> Topology {
    let work = |queue: Queue| queue.with_dead_letter(GRAVE, "dead-letter");
    Topology::new()
        .exchange(Exchange::topic(EXCHANGE))
        .exchange(Exchange::direct(GRAVE))
        .queue(Queue::quorum(LETTERS_QUEUE))
        .binding(Binding::new(GRAVE, "dead-letter", LETTERS_QUEUE))
        .queue(work(Queue::quorum(DIRECT_QUEUE)))
        .queue(work(Queue::quorum(ORDERED_QUEUE).with_single_active_consumer()))
        .queue(work(Queue::quorum(HOPELESS_QUEUE)))
        .binding(Binding::new(EXCHANGE, "direct.#", DIRECT_QUEUE))
        .binding(Binding::new(EXCHANGE, "ordered.#", ORDERED_QUEUE))
        .binding(Binding::new(EXCHANGE, "hopeless.#", HOPELESS_QUEUE))
}

/// A hub with short patience, so that a minute has room for many outages.
pub(crate) fn hub(url: &str, name: &str) -> anyhow::Result<Hub> {
    let mut config = AmqpConfig::default();
    EXCHANGE.clone_into(&mut config.hub.exchange);
    config.hub.publish_timeout = Duration::from_secs(4);
    format!("torture {name}").clone_into(&mut config.connection_name);
    config.heartbeat = Duration::from_secs(2);
    config.connect_timeout = Duration::from_secs(4);
    config.backoff_max = Duration::from_millis(500);
    Ok(Hub::amqp(url, config)?)
}

/// Declares everything, for as long as it takes.
pub(crate) async fn declare(hub: &Hub) -> anyhow::Result<()> {
    let declared = hub.declare(&topology()).await?;
    ensure!(declared.conflicts.is_empty(), "declared differently: {:?}", declared.conflicts);
    Ok(())
}

pub(crate) fn pool(url: &str) -> anyhow::Result<PgPool> {
    // A handler at each place, the writers, and one to spare.
    let options = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(20));
    // Not before it is used: the database may be frozen at this moment.
    options.connect_lazy(url).context("the database's URL")
}

pub(crate) async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    outbox::postgres::migrate(pool).await?;
    inbox::postgres::migrate(pool).await?;
    dead_letters::postgres::migrate(pool).await?;
    pool.execute(TABLES).await?;
    sqlx::query("INSERT INTO keys SELECT 'k' || n, 0 FROM generate_series(0, $1 - 1) AS n")
        .bind(KEYS)
        .execute(pool)
        .await?;
    Ok(())
}
