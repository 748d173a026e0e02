//! What a service is built with: the hub, the life of the process, and the tasks that every service has.

mod start;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::config::ManagementUrl;
use tramline_event_hub::dead_letters::DrainConfig;
use tramline_event_hub::outbox::RelayConfig;
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Handler, Hub, HubConfig, MemoryConfig};
use tramline_observability::health::Need;
use tramline_observability::lifecycle::Phase;
use tramline_observability::trace_context::{continue_from, link_to};
use tramline_observability::{Health, Lifecycle};

use crate::auth::Auth;
use crate::config::{Common, ConfigError};
use crate::db::{Db, DbConfig, DbError, Migration};
use crate::service::Service;

/// What `build` gets, beside the service's own configuration. Clones are the same shell.
///
/// Nothing here waits for an engine: what is away makes the service not ready, and is tried again.
#[derive(Clone, Debug)]
pub struct Shell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    common: Common,
    hub: Hub,
    lifecycle: Lifecycle,
    health: Health,
    /// Whether the topology is declared: relays and consumers wait for it.
    declared: watch::Sender<bool>,
    databases: Mutex<Vec<Db>>,
    auth: Mutex<Option<Auth>>,
}

// === impl Shell ===

impl Shell {
    /// A shell on an open hub. `lifecycle` may be shared by several services in one process.
    ///
    /// Declares the contract's topology in the background, again and again until it succeeds. Must be called inside
    /// the runtime.
    #[must_use]
    pub fn new(common: Common, hub: Hub, lifecycle: Lifecycle) -> Self {
        let health = Health::new(common.name);
        let shell = Self(Arc::new(Inner {
            common,
            hub,
            lifecycle,
            health,
            declared: watch::Sender::new(false),
            databases: Mutex::default(),
            auth: Mutex::default(),
        }));
        shell.declare();
        shell
    }

    /// The hub that the configuration names; the in-memory one without `RABBITMQ_URL`.
    ///
    /// # Errors
    ///
    /// A URL does not parse. A broker, or its management, that is away is no error.
    pub fn open_hub(common: &Common) -> Result<Hub, ConfigError> {
        let mut hub = HubConfig::default();
        contracts::EXCHANGE.clone_into(&mut hub.exchange);
        let join = tramline_event_hub::config::SpanHook::new(|span, traceparent| {
            continue_from(span, traceparent);
        });
        hub.join_trace = Some(join.with_link(|span, traceparent| {
            link_to(span, traceparent);
        }));
        let Some(url) = &common.rabbitmq_url else {
            let mut config = MemoryConfig::default();
            config.hub = hub;
            return Ok(Hub::memory(config));
        };
        let mut config = AmqpConfig::default();
        config.hub = hub;
        config.connection_name = format!("{}.{}", common.name, common.instance_id);
        if let Some(url) = &common.rabbitmq_management_url {
            let url = ManagementUrl::parse(url.expose());
            config.management = Some(url.map_err(|e| ConfigError::new("RABBITMQ_MANAGEMENT_URL", e))?);
        }
        Hub::amqp(url.expose(), config).map_err(|e| ConfigError::new("RABBITMQ_URL", e))
    }

    /// The shared variables.
    #[must_use]
    pub fn common(&self) -> &Common {
        &self.0.common
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// The life of the process: spawn the service's own tasks here.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    /// The service's health: add the service's own checks here.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Settings for the service's database.
    #[must_use]
    pub fn db_config(&self) -> DbConfig {
        DbConfig { name: format!("tramline-{}", self.0.common.name), ..DbConfig::default() }
    }

    /// Takes care of a database: runs `migrations` and those of outbox and inbox until they succeed, then the relay;
    /// the service is not ready before, nor while the database is away; the connections are closed last.
    pub fn database(&self, db: &Db, migrations: &'static [Migration]) {
        let owned = db.clone();
        self.database_with(db, move || {
            let db = owned.clone();
            async move { db.migrate(migrations).await }
        });
    }

    /// Like [`database`](Self::database), with all of the migration in your hands: call [`Db::migrate`] in it, and
    /// what else has a schema in this database. It is called again until it succeeds.
    pub fn database_with<F>(&self, db: &Db, migrate: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), DbError>> + Send + 'static,
    {
        self.databases().push(db.clone());
        let checked = db.clone();
        self.0.health.check("database", Need::Required, move || {
            let db = checked.clone();
            async move {
                if !db.is_migrated() {
                    return Err("the schema is not there yet".into());
                }
                db.ping().await.map_err(Box::<dyn std::error::Error + Send + Sync>::from)
            }
        });
        // Optional: a service whose events are late still answers.
        let sent = db.clone();
        self.0.health.check("outbox", Need::Optional, move || {
            let status = sent.relay_status();
            async move {
                match status {
                    Some(status) if status.alarm => {
                        let oldest = status.oldest.unwrap_or_default().as_secs();
                        Err(format!("{} events wait, the oldest for {oldest} s", status.waiting).into())
                    }
                    _ => Ok::<_, Box<dyn std::error::Error + Send + Sync>>(()),
                }
            }
        });
        let lifecycle = &self.0.lifecycle;
        let migrated = db.clone();
        lifecycle.spawn(Phase::Consumers, "migrations", move |stop| async move {
            start::until_done("migrations", &stop, &migrate).await;
            if !stop.is_cancelled() {
                migrated.set_migrated();
                migrated.run_housekeeping(stop.cancelled()).await;
            }
        });
        let (shell, relayed) = (self.clone(), db.clone());
        lifecycle.spawn(Phase::Relays, "relay", move |stop| async move {
            if shell.started(&stop).await {
                let mut config = RelayConfig::default();
                shell.0.common.name.clone_into(&mut config.name);
                relayed.run_relay(shell.0.hub.clone(), config, stop.cancelled()).await;
            }
        });
        let closed = db.clone();
        lifecycle.on(Phase::Flush, "database", move || async move { closed.close().await });
    }

    /// Consumes a work queue, once the topology and every [`database`](Self::database) are there, until the drain.
    pub fn consume<M: 'static>(&self, queue: &'static str, config: ConsumerConfig, handler: impl Handler<M>) {
        let shell = self.clone();
        self.0.lifecycle.spawn(Phase::Consumers, queue, move |stop| async move {
            if shell.started(&stop).await {
                let run = shell.0.hub.consume(queue, config, handler, stop.cancelled());
                start::end_of(queue, run.await);
            }
        });
    }

    /// Moves dead letters out of their queue into a database, once the topology and every
    /// [`database`](Self::database) are there, until the drain. Its migration makes their tables
    /// ([`Db::migrate_dead_letters`]).
    pub fn drain_dead_letters(&self, db: &Db, queue: &'static str) {
        let (shell, letters) = (self.clone(), db.dead_letters());
        self.0.lifecycle.spawn(Phase::Consumers, queue, move |stop| async move {
            if shell.started(&stop).await {
                let hub = shell.hub();
                let run = letters.drain(hub, queue, DrainConfig::default(), |_| {}, stop.cancelled());
                start::end_of(queue, run.await.map(drop));
            }
        });
    }

    /// The usual settings of a work queue's consumer.
    #[must_use]
    pub fn consumer_config(name: &str) -> ConsumerConfig {
        let mut config = ConsumerConfig::default();
        config.name = Some(name.to_owned());
        // Four handlers keep a database of ten connections free for requests; eight times as many wait at hand.
        config.prefetch = 32;
        config.concurrency = 4;
        config
    }

    /// The finished service: `router` within all that every service's HTTP has, and `GET /health`.
    #[must_use]
    pub fn service(&self, router: Router) -> Service {
        Service::new(self, router, true)
    }

    /// Like [`service`](Self::service), for a router that has its own `/health`: the gateway's.
    #[must_use]
    pub fn service_at_the_edge(&self, router: Router) -> Service {
        Service::new(self, router, false)
    }

    /// Waits until the topology is declared; false when `stop` came first.
    pub async fn declared(&self, stop: &CancellationToken) -> bool {
        let mut declared = self.0.declared.subscribe();
        // The sender lives in `self`, so the wait cannot end in an error.
        stop.run_until_cancelled(declared.wait_for(|done| *done)).await.is_some()
    }

    /// Waits until the topology is declared and every database is migrated; false when `stop` came first.
    pub async fn started(&self, stop: &CancellationToken) -> bool {
        if !self.declared(stop).await {
            return false;
        }
        let ready = async {
            let databases = self.databases().clone();
            for db in databases {
                db.migrated().await;
            }
        };
        stop.run_until_cancelled(ready).await.is_some()
    }

    pub(crate) fn set_auth(&self, auth: Auth) {
        *self.0.auth.lock().unwrap_or_else(PoisonError::into_inner) = Some(auth);
    }

    pub(crate) fn auth_handle(&self) -> Option<Auth> {
        self.0.auth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn declare(&self) {
        let shell = self.clone();
        self.0.health.check("hub", Need::Required, move || {
            let (declared, ready) = (*shell.0.declared.borrow(), shell.0.hub.health().ready());
            async move {
                match (declared, ready) {
                    (true, true) => Ok(()),
                    (false, _) => Err("the topology is not declared yet"),
                    (true, false) => Err("the hub is not connected, is blocked, or a consumer is not active"),
                }
            }
        });
        let shell = self.clone();
        self.0.lifecycle.spawn(Phase::Consumers, "topology", move |stop| async move {
            let declare = || async {
                let declared = shell.0.hub.declare(&contracts::topology()).await?;
                for conflict in &declared.conflicts {
                    tracing::warn!(?conflict, "the broker has this with other settings; left alone");
                }
                if !declared.frozen.is_empty() {
                    let queues = &declared.frozen;
                    tracing::info!(?queues, "made with arguments: policies cannot change what these say");
                }
                Ok::<_, tramline_event_hub::Error>(())
            };
            start::until_done("topology", &stop, &declare).await;
            if !stop.is_cancelled() {
                shell.0.declared.send_replace(true);
            }
            stop.cancelled().await;
        });
    }

    fn databases(&self) -> MutexGuard<'_, Vec<Db>> {
        self.0.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the first and the longest pause between two tries are: a server that is back is found soon.
pub(crate) const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[cfg(test)]
mod tests;
