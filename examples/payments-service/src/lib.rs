//! The payments service: payments, their events, and a provider that is simulated but called like a real one.

mod config;
mod deps;
mod domain;
mod events;
mod http;
mod psp;
mod store;

use std::sync::Arc;

use chassis::Service;
use chassis::cache::forgetting;
use chassis::config::ConfigError;
use tokio::sync::Notify;
use tramline_observability::lifecycle::Phase;

pub use crate::config::Config;
pub use crate::deps::Deps;

use crate::psp::simulator::Simulator;
use crate::store::Store;

/// Builds the service; it starts to work at once and is ready when its database and hub are.
///
/// # Errors
///
/// A variable that does not fit, named.
pub fn build(config: Config, deps: Deps) -> Result<Service, ConfigError> {
    let Deps { shell, db, cache } = deps;
    shell.auth()?;
    shell.database(&db, store::MIGRATIONS);
    shell.cache(&cache);

    let store = Store::new(db.clone(), cache).map_err(|fault| ConfigError::new("REDIS_URL", fault))?;
    let work = Arc::new(Notify::new());
    let handled = db.clone();
    let handler = forgetting(store.clone(), move |event, cx| events::handle(handled.clone(), event, cx));
    shell.consume(contracts::PAYMENTS_QUEUE, chassis::Shell::consumer_config("payments"), handler);
    let simulator =
        Simulator::new(store.clone(), config.webhook_url, config.webhook_secret.clone(), Arc::clone(&work));
    for _ in 0..psp::WORKERS {
        let worker = simulator.clone();
        shell.lifecycle().spawn(Phase::Consumers, "psp-simulator", move |stop| async move {
            worker.run(stop.cancelled()).await;
        });
    }
    let pruned = db;
    shell.lifecycle().spawn(Phase::Consumers, "idempotency-keys", move |stop| async move {
        stop.run_until_cancelled(store::forget_old_keys(pruned)).await;
    });

    let seeded = store.clone();
    let state = http::State { store, webhook_secret: config.webhook_secret, work };
    Ok(shell.service(http::router(state)).when_seeded(move || {
        let store = seeded.clone();
        async move { store.knows_demo_accounts().await }
    }))
}
