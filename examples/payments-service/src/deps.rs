//! The engines that the service runs on.

use chassis::Shell;
use chassis::config::ConfigError;
use chassis::db::Db;
use tramline_cache::Store;

use crate::config::{Config, DATABASE_URL};

/// What [`build`](crate::build) gets beside the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deps {
    /// The hub and the life of the process.
    pub shell: Shell,
    /// The service's own database.
    pub db: Db,
    /// Payments and lists that were read lately.
    pub cache: Store,
}

impl Deps {
    /// These engines.
    #[must_use]
    pub fn new(shell: Shell, db: Db, cache: Store) -> Self {
        Self { shell, db, cache }
    }

    /// The engines that the configuration names.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn open(config: &Config, shell: &Shell) -> Result<Self, ConfigError> {
        let db = Db::open(DATABASE_URL, config.database_url.expose(), &shell.db_config())?;
        Ok(Self { shell: shell.clone(), db, cache: shell.open_cache()? })
    }
}
