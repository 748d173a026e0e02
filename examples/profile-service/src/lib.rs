//! The profile service: what users tell of themselves. Made by a user's creation, purged by their deletion.

mod config;
mod deps;
mod domain;
mod events;
mod http;
mod store;

use chassis::config::ConfigError;
use chassis::{Service, Shell};
use tramline_observability::lifecycle::Phase;

pub use crate::config::Config;
pub use crate::deps::Deps;

use crate::store::Store;

/// Builds the service; it starts to work at once and is ready when its database and hub are.
///
/// # Errors
///
/// A variable that does not fit, named.
pub fn build(_: Config, deps: Deps) -> Result<Service, ConfigError> {
    let Deps { shell, db, cache } = deps;
    shell.auth()?;
    shell.database(&db, store::MIGRATIONS);
    let feed = cache.clone();
    shell.lifecycle().spawn(Phase::Consumers, "profile-cache", move |stop| async move {
        feed.run(stop.cancelled()).await;
    });
    let store = Store::new(db, &cache).map_err(|fault| ConfigError::new("REDIS_URL", fault))?;
    let handled = store.clone();
    shell.consume(contracts::PROFILE_QUEUE, Shell::consumer_config("profile"), move |event, cx| {
        events::handle(handled.clone(), event, cx)
    });
    let seeded = store.clone();
    Ok(shell.service(http::router(store)).when_seeded(move || {
        let store = seeded.clone();
        async move { store.knows_demo_accounts().await }
    }))
}
