//! The profile service: what users tell of themselves. Made by a user's creation, purged by their deletion.

mod config;
mod deps;
mod domain;
mod events;
mod http;
mod store;

use chassis::cache::forgetting;
use chassis::config::ConfigError;
use chassis::{Service, Shell};

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
    shell.cache(&cache);
    let store = Store::new(db, &cache).map_err(|fault| ConfigError::new("REDIS_URL", fault))?;
    let handled = store.clone();
    let handler = forgetting(store.clone(), move |event, cx| events::handle(handled.clone(), event, cx));
    shell.consume(contracts::PROFILE_QUEUE, Shell::consumer_config("profile"), handler);
    let seeded = store.clone();
    Ok(shell.service(http::router(store)).when_seeded(move || {
        let store = seeded.clone();
        async move { store.knows_demo_accounts().await }
    }))
}
