//! The service's own variables.

use chassis::config::{ConfigError, SecretUrl, Vars};
use chassis::db::Db;
use tramline_session_sync::KeyFile;
use tramline_session_sync::cookie::Origins;

/// How the service behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `AUTH_DATABASE_URL`.
    pub database_url: SecretUrl,
    /// `JWT_KEY_FILE`, read: it seals the signing keys and holds the first of them.
    pub key_file: KeyFile,
    /// `CORS_ORIGINS`: the pages that may use the refresh cookie.
    pub origins: Origins,
}

/// The variable that names the database.
pub(crate) const DATABASE_URL: &str = "AUTH_DATABASE_URL";

impl Config {
    /// Reads the variables of a process of its own, and the key file.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or does not parse.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let key_file = vars
            .parse("JWT_KEY_FILE", |path| KeyFile::load(std::path::Path::new(path)))?
            .ok_or_else(|| ConfigError::missing("JWT_KEY_FILE"))?;
        let origins = vars.list::<String>("CORS_ORIGINS")?.unwrap_or_default();
        Ok(Self { database_url: database_url(vars)?, key_file, origins: Origins::new(origins) })
    }

    /// With these values.
    #[must_use]
    pub fn new(database_url: SecretUrl, key_file: KeyFile, origins: Origins) -> Self {
        Self { database_url, key_file, origins }
    }
}

pub(crate) fn database_url(vars: &Vars) -> Result<SecretUrl, ConfigError> {
    vars.parse(DATABASE_URL, |text| {
        Db::check_url(text)?;
        text.parse::<SecretUrl>()
    })?
    .ok_or_else(|| ConfigError::missing(DATABASE_URL))
}
