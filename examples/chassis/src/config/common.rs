//! What every process reads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tramline_streaming_proxy::TrustedProxies;
use url::Url;
use uuid::Uuid;

use crate::config::{ConfigError, Secret, SecretUrl, Vars};

/// The facts of a process that no variable changes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Process {
    /// The name in logs, metrics, traces, events and queue names: `gateway`, `auth`, `payments`, …
    pub name: &'static str,
    /// The HTTP port without `PORT`; the admin listener's is this plus 100.
    pub port: u16,
    /// Whether `JWKS_URL` must be there: all but auth, which has the keys.
    pub needs_jwks: bool,
    /// Whose `X-Forwarded-For` is believed without `TRUSTED_PROXIES`: loopback for a service, none
    /// for the gateway, which stands at the edge.
    pub trusts_loopback: bool,
}

/// The variables that all processes share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Common {
    /// The process's name, from [`Process::name`].
    pub name: &'static str,
    /// `RABBITMQ_URL`; `None` (the in-memory hub) in `stack` and tests only.
    pub rabbitmq_url: Option<SecretUrl>,
    /// `RABBITMQ_MANAGEMENT_URL`.
    pub rabbitmq_management_url: Option<SecretUrl>,
    /// `REDIS_URL`; `None` means memory only.
    pub redis_url: Option<SecretUrl>,
    /// `JWKS_URL`; `None` for auth.
    pub jwks_url: Option<Url>,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `INSTANCE_ID`, else drawn at start.
    pub instance_id: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<Url>,
    /// `SENTRY_DSN`.
    pub sentry_dsn: Option<Secret>,
    /// `SENTRY_ENVIRONMENT`.
    pub sentry_environment: Option<String>,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// Where HTTP is served: `PORT` on all interfaces.
    pub http_addr: SocketAddr,
    /// `ADMIN_ADDR`.
    pub admin_addr: SocketAddr,
    /// `DRAIN_TIMEOUT`: how long a drain may take as a whole.
    pub drain_timeout: Duration,
    /// `--demo-seed`.
    pub demo_seed: bool,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Pretty,
}

/// 20 s: below the 30 s that Kubernetes and the 10 s that a patient `docker stop -t 30` leave, and
/// above the longest request a service lets run.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Our own crates talk, the drivers only when something is wrong. lapin calls each channel that the broker closes an
/// error, the answers to passive declares of queues that are not there yet among them; the hub tells the true ones.
const LOG_FILTER: &str =
    "info,sqlx=warn,lapin=warn,lapin::channel=off,lapin::returned_messages=off,hyper=warn,h2=warn,redis=warn";

// === impl Process ===

impl Process {
    /// The gateway: no keys of its own, no proxy believed unless named.
    #[must_use]
    pub const fn gateway() -> Self {
        Self { name: "gateway", port: 3000, needs_jwks: true, trusts_loopback: false }
    }

    /// The auth service, which has the keys.
    #[must_use]
    pub const fn auth() -> Self {
        Self { name: "auth", port: 3001, needs_jwks: false, trusts_loopback: true }
    }

    /// The payments service.
    #[must_use]
    pub const fn payments() -> Self {
        Self { name: "payments", port: 3002, needs_jwks: true, trusts_loopback: true }
    }

    /// The admin service.
    #[must_use]
    pub const fn admin() -> Self {
        Self { name: "admin", port: 3003, needs_jwks: true, trusts_loopback: true }
    }

    /// The profile service.
    #[must_use]
    pub const fn profile() -> Self {
        Self { name: "profile", port: 3004, needs_jwks: true, trusts_loopback: true }
    }
}

// === impl Common ===

impl Common {
    /// Reads what a process of its own needs.
    ///
    /// # Errors
    ///
    /// Names the first variable that is missing or does not parse.
    pub fn from_vars(vars: &Vars, process: &Process) -> Result<Self, ConfigError> {
        let mut common = Self::embedded(process);
        common.rabbitmq_url = Some(
            vars.parse("RABBITMQ_URL", |t| url_with(t, &["amqp", "amqps"]))?
                .ok_or_else(|| ConfigError::missing("RABBITMQ_URL"))?,
        );
        common.rabbitmq_management_url =
            vars.parse("RABBITMQ_MANAGEMENT_URL", |t| url_with(t, &["http", "https"]))?;
        common.redis_url = vars.parse("REDIS_URL", |t| url_with(t, &["redis", "rediss"]))?;
        // The small client that asks for it speaks plain HTTP; a URL that it cannot ask would never get us ready.
        common.jwks_url = vars.parse("JWKS_URL", |t| url_with(t, &["http"]).map(|url| url.url().clone()))?;
        if process.needs_jwks && common.jwks_url.is_none() {
            return Err(ConfigError::missing("JWKS_URL"));
        }
        if let Some(trusted) = vars.get("TRUSTED_PROXIES")? {
            common.trusted_proxies = trusted;
        }
        if let Some(instance) = vars.parse("INSTANCE_ID", instance_id)? {
            common.instance_id = instance;
        }
        common.read_telemetry(vars)?;
        let port = vars.get_or("PORT", process.port)?;
        common.http_addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let admin = admin_addr(port).ok_or_else(|| ConfigError::new("PORT", "is above 65435"))?;
        common.admin_addr = vars.get_or("ADMIN_ADDR", admin)?;
        common.drain_timeout = vars.duration_or("DRAIN_TIMEOUT", DRAIN_TIMEOUT)?;
        Ok(common)
    }

    /// The values of a process on embedded engines, on loopback; `stack` and tests start here.
    #[must_use]
    pub fn embedded(process: &Process) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            name: process.name,
            rabbitmq_url: None,
            rabbitmq_management_url: None,
            redis_url: None,
            jwks_url: None,
            trusted_proxies: if process.trusts_loopback {
                TrustedProxies::loopback()
            } else {
                TrustedProxies::none()
            },
            instance_id: draw_instance(),
            otlp_endpoint: None,
            sentry_dsn: None,
            sentry_environment: None,
            log_format: LogFormat::default(),
            log_filter: LOG_FILTER.to_owned(),
            http_addr: SocketAddr::new(loopback, process.port),
            admin_addr: SocketAddr::new(loopback, process.port.saturating_add(100)),
            drain_timeout: DRAIN_TIMEOUT,
            demo_seed: false,
        }
    }

    /// Reads the variables about logs and traces, which `stack` obeys too.
    ///
    /// # Errors
    ///
    /// Names the first variable that does not parse.
    pub fn read_telemetry(&mut self, vars: &Vars) -> Result<(), ConfigError> {
        self.otlp_endpoint = vars.parse("OTEL_EXPORTER_OTLP_ENDPOINT", http_url)?;
        self.sentry_dsn = vars.get("SENTRY_DSN")?;
        self.sentry_environment = vars.get("SENTRY_ENVIRONMENT")?;
        self.log_format = vars.get_or("LOG_FORMAT", LogFormat::default())?;
        let filter = vars.parse("RUST_LOG", |text| {
            // Only whether it is one: the telemetry keeps the text.
            EnvFilter::builder().parse(text).map(|_| text.to_owned())
        })?;
        self.log_filter = filter.unwrap_or_else(|| LOG_FILTER.to_owned());
        Ok(())
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err("is neither pretty nor json"),
        }
    }
}

fn url_with(text: &str, schemes: &[&str]) -> Result<SecretUrl, String> {
    text.parse::<SecretUrl>()?.with_scheme(schemes)
}

fn http_url(text: &str) -> Result<Url, String> {
    url_with(text, &["http", "https"]).map(|url| url.url().clone())
}

fn admin_addr(port: u16) -> Option<SocketAddr> {
    // `PORT=0` takes a free port, and so does the admin listener then.
    let admin = if port == 0 { 0 } else { port.checked_add(100)? };
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), admin))
}

/// An instance id becomes part of queue names.
fn instance_id(text: &str) -> Result<String, &'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.len() <= 64 && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("is not 1 to 64 of A-Z a-z 0-9 - _")
    }
}

fn draw_instance() -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}
