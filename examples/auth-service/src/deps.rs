//! The engines that the service runs on.

use chassis::Shell;
use chassis::config::ConfigError;
use chassis::db::Db;
use tramline_cache::Store;
use tramline_session_sync::attempts::{Attempts, AttemptsConfig};
use tramline_session_sync::tickets::{Tickets, TicketsConfig};

use crate::config::{Config, DATABASE_URL};

/// What [`build`](crate::build) gets beside the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deps {
    /// The hub and the life of the process.
    pub shell: Shell,
    /// The service's own database.
    pub db: Db,
    /// Failed sign-ins.
    pub attempts: Attempts,
    /// Socket tickets; none where nobody could tell that one was used.
    pub tickets: Option<Tickets>,
    /// Users who looked at themselves lately.
    pub cache: Store,
}

impl Deps {
    /// These engines.
    #[must_use]
    pub fn new(shell: Shell, db: Db, attempts: Attempts, tickets: Option<Tickets>, cache: Store) -> Self {
        Self { shell, db, attempts, tickets, cache }
    }

    /// The engines that the configuration names. Without `REDIS_URL` failed sign-ins are counted here alone, and
    /// there are no tickets.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn open(config: &Config, shell: &Shell) -> Result<Self, ConfigError> {
        let db = Db::open(DATABASE_URL, config.database_url.expose(), &shell.db_config())?;
        let fault = |fault| ConfigError::new("REDIS_URL", fault);
        let (attempts, tickets) = match &shell.common().redis_url {
            Some(url) => (
                Attempts::redis(url.expose(), AttemptsConfig::default()).map_err(fault)?,
                Some(Tickets::redis(url.expose(), TicketsConfig::default()).map_err(fault)?),
            ),
            None => (Attempts::memory(AttemptsConfig::default()), None),
        };
        Ok(Self { shell: shell.clone(), db, attempts, tickets, cache: shell.open_cache()? })
    }
}
