//! The service's own variables.

use chassis::config::{ConfigError, SecretUrl, Vars};
use chassis::db::Db;
use std::num::NonZeroU32;
use std::time::Duration;
use tramline_session_sync::KeyFile;
use tramline_session_sync::cookie::Origins;
use tramline_streaming_proxy::layer::rate_limit::Quota;

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
    /// `RATE_LIMIT_AUTH`: renewals per session; `None` is off. Those per address are the gateway's.
    pub rate_limit: Option<Quota>,
}

/// The variable that names the database.
pub(crate) const DATABASE_URL: &str = "AUTH_DATABASE_URL";

/// A page renews four times an hour; ten a minute leave room for many tabs and stop a loop.
const RENEWALS: NonZeroU32 = const { NonZeroU32::new(10).unwrap() };
const MINUTE: Duration = Duration::from_secs(60);

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
        if !origins.iter().all(|origin| is_origin(origin)) {
            return Err(ConfigError::new(
                "CORS_ORIGINS",
                "has a value that is no origin such as https://example.com",
            ));
        }
        let mut config = Self::new(database_url(vars)?, key_file, Origins::new(origins));
        if let Some(limit) = vars.parse("RATE_LIMIT_AUTH", Quota::parse)? {
            config.rate_limit = limit;
        }
        Ok(config)
    }

    /// With these values, and the default limit.
    #[must_use]
    pub fn new(database_url: SecretUrl, key_file: KeyFile, origins: Origins) -> Self {
        Self { database_url, key_file, origins, rate_limit: Some(Quota::new(RENEWALS, MINUTE)) }
    }
}

pub(crate) fn database_url(vars: &Vars) -> Result<SecretUrl, ConfigError> {
    vars.parse(DATABASE_URL, |text| {
        Db::check_url(text)?;
        text.parse::<SecretUrl>()
    })?
    .ok_or_else(|| ConfigError::missing(DATABASE_URL))
}

/// Scheme, host, perhaps a port, and nothing after it; `*` is none.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "http" | "https")
            && !host.is_empty()
            && !host.contains(['/', '*', '?', '#', '@', ' '])
    })
}
