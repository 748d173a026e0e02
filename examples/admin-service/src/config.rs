//! The service's own variables.

use chassis::config::{ConfigError, SecretUrl, Vars};
use chassis::db::Db;

/// How the service behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `ADMIN_DATABASE_URL`.
    pub database_url: SecretUrl,
}

/// The variable that names the database.
pub(crate) const DATABASE_URL: &str = "ADMIN_DATABASE_URL";

impl Config {
    /// Reads the variables of a process of its own.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or does not parse.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let database_url = vars
            .parse(DATABASE_URL, |text| {
                Db::check_url(text)?;
                text.parse::<SecretUrl>()
            })?
            .ok_or_else(|| ConfigError::missing(DATABASE_URL))?;
        Ok(Self { database_url })
    }

    /// With these values.
    #[must_use]
    pub fn new(database_url: SecretUrl) -> Self {
        Self { database_url }
    }
}
