//! The gateway's own variables.

use std::path::PathBuf;

use chassis::config::{ConfigError, Vars};
use tramline_streaming_proxy::layer::rate_limit::Quota;
use tramline_streaming_proxy::{Upstream, UpstreamConfig};

/// How the gateway behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The services behind it.
    pub upstreams: Upstreams,
    /// `CORS_ORIGINS`: the pages that may call the API and open sockets.
    pub origins: Vec<String>,
    /// How many requests are taken.
    pub rate_limits: RateLimits,
    /// `ROUTES_FILE`: a table of routes in place of the one that is built in, watched while the gateway runs.
    pub routes_file: Option<PathBuf>,
}

/// The addresses of the services, several of one separated by commas.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the contract has these four")]
pub struct Upstreams {
    /// `AUTH_SERVICE_URL`.
    pub auth: String,
    /// `PAYMENTS_SERVICE_URL`.
    pub payments: String,
    /// `ADMIN_SERVICE_URL`.
    pub admin: String,
    /// `PROFILE_SERVICE_URL`.
    pub profile: String,
}

/// The limits; `None` is off.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the contract has these three")]
pub struct RateLimits {
    /// `RATE_LIMIT_API`: per user, else per address.
    pub api: Option<Quota>,
    /// `RATE_LIMIT_AUTH`: sign-ins per address.
    pub auth: Option<Quota>,
    /// `RATE_LIMIT_STATIC`: everything outside `/api`, per address.
    pub statics: Option<Quota>,
}

impl Config {
    /// Reads the variables of a process of its own.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or does not parse.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let upstream = |name: &str| {
            vars.parse(name, |list| {
                Upstream::parse(name, list, UpstreamConfig::default()).map(|_| list.to_owned())
            })?
            .ok_or_else(|| ConfigError::missing(name))
        };
        let upstreams = Upstreams {
            auth: upstream("AUTH_SERVICE_URL")?,
            payments: upstream("PAYMENTS_SERVICE_URL")?,
            admin: upstream("ADMIN_SERVICE_URL")?,
            profile: upstream("PROFILE_SERVICE_URL")?,
        };
        let quota = |name: &str, default: &str| {
            let text = vars.text(name).unwrap_or(default);
            Quota::parse(text).map_err(|fault| ConfigError::new(name, fault))
        };
        let rate_limits = RateLimits {
            api: quota("RATE_LIMIT_API", "100/min")?,
            auth: quota("RATE_LIMIT_AUTH", "10/min")?,
            statics: quota("RATE_LIMIT_STATIC", "1000/min")?,
        };
        let origins = vars.list::<String>("CORS_ORIGINS")?.unwrap_or_default();
        if let Some(bad) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(ConfigError::new(
                "CORS_ORIGINS",
                format!("{bad} is no origin such as https://example.com"),
            ));
        }
        let routes_file = vars.text("ROUTES_FILE").map(PathBuf::from);
        Ok(Self { upstreams, origins, rate_limits, routes_file })
    }

    /// With these values, and the table of routes that is built in.
    #[must_use]
    pub fn new(upstreams: Upstreams, origins: Vec<String>, rate_limits: RateLimits) -> Self {
        Self { upstreams, origins, rate_limits, routes_file: None }
    }

    /// The same, with the table of routes in this file.
    #[must_use]
    pub fn with_routes_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.routes_file = Some(path.into());
        self
    }
}

impl Upstreams {
    /// The addresses that this variable of the contract says.
    pub(crate) fn by_variable(&self, name: &str) -> Option<&str> {
        match name {
            "AUTH_SERVICE_URL" => Some(&self.auth),
            "PAYMENTS_SERVICE_URL" => Some(&self.payments),
            "ADMIN_SERVICE_URL" => Some(&self.admin),
            "PROFILE_SERVICE_URL" => Some(&self.profile),
            _ => None,
        }
    }
}

/// Scheme, host, perhaps a port, and nothing after it; `*` is none.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '*', '?', '#', ' '])
    })
}

#[cfg(test)]
mod tests;
