//! The service's own variables.

use chassis::config::{ConfigError, Secret, SecretUrl, Vars};
use chassis::db::Db;
use url::Url;

/// How the service behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `PAYMENTS_DATABASE_URL`.
    pub database_url: SecretUrl,
    /// `PSP_WEBHOOK_SECRET`: what the provider signs with.
    pub webhook_secret: Secret,
    /// `PSP_WEBHOOK_URL`: where the simulator calls.
    pub webhook_url: Url,
}

/// The variable that names the database.
pub(crate) const DATABASE_URL: &str = "PAYMENTS_DATABASE_URL";

/// The gateway's own default port: a real provider calls from outside, too.
const WEBHOOK_URL: &str = "http://127.0.0.1:3000/api/payments/webhooks/psp";

/// A shorter secret can be guessed offline from one signed call.
const SECRET_BYTES: usize = 16;

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
        let webhook_secret = vars
            .parse("PSP_WEBHOOK_SECRET", |text| {
                if text.len() < SECRET_BYTES {
                    return Err(format!("must have at least {SECRET_BYTES} bytes"));
                }
                Ok(Secret::new(text))
            })?
            .ok_or_else(|| ConfigError::missing("PSP_WEBHOOK_SECRET"))?;
        let url = vars.text("PSP_WEBHOOK_URL").unwrap_or(WEBHOOK_URL);
        let webhook_url = webhook_url(url).map_err(|fault| ConfigError::new("PSP_WEBHOOK_URL", fault))?;
        Ok(Self { database_url, webhook_secret, webhook_url })
    }

    /// With these values.
    #[must_use]
    pub fn new(database_url: SecretUrl, webhook_secret: Secret, webhook_url: Url) -> Self {
        Self { database_url, webhook_secret, webhook_url }
    }
}

fn webhook_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|fault| fault.to_string())?;
    // The simulator stands in for a provider on this machine; it speaks plain HTTP only, and says so.
    if url.scheme() == "http" { Ok(url) } else { Err("must be an http:// URL".to_owned()) }
}

#[cfg(test)]
mod tests;
