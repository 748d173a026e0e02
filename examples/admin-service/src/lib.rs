//! The admin service: a read model fed by every event, with an audit log that cannot be rewritten unseen.

mod config;
mod deps;
mod domain;
mod events;
mod http;
mod store;

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
    let Deps { shell, db } = deps;
    shell.auth()?;
    let migrated = db.clone();
    shell.database_with(&db, move || {
        let db = migrated.clone();
        async move { store::migrate(&db).await }
    });
    shell.drain_dead_letters(&db, contracts::DEAD_LETTER_QUEUE);
    let store = Store::new(db);
    let handled = store.clone();
    shell.consume(contracts::ADMIN_QUEUE, Shell::consumer_config("admin"), move |event, cx| {
        events::handle(handled.clone(), event, cx)
    });
    let seeded = store.clone();
    Ok(shell.service(http::router(store)).when_seeded(move || {
        let store = seeded.clone();
        async move { store.knows_demo_accounts().await }
    }))
}
