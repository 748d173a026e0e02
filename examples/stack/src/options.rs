//! What the command line and the environment say.

use std::path::PathBuf;
use std::time::Duration;

use chassis::config::{Common, ConfigError, Process, Secret, SecretUrl, Vars};
use chassis::db::Db;
use clap::Parser;
use gateway::RateLimits;
use tramline_streaming_proxy::layer::rate_limit::Quota;

/// How the system is started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where everything is kept; `None` keeps nothing.
    pub data: Option<PathBuf>,
    /// The gateway's port; services on the four above it, admin a hundred above; 0 takes free ones.
    pub port_base: u16,
    /// Limits in force.
    pub rate_limits: RateLimits,
    /// How long the drain may take.
    pub drain_timeout: Duration,
    /// The demo provider's secret; drawn and kept without one.
    pub webhook_secret: Option<Secret>,
    /// Engines and telemetry that the environment names, on embedded defaults.
    pub common: Common,
    /// Databases that the environment names: auth's, payments', admin's, profile's.
    pub databases: [Option<String>; 4],
}

/// The limits of a machine of one's own; the processes' defaults are for the internet.
const RATE_LIMITS: [(&str, &str); 3] =
    [("RATE_LIMIT_API", "6000/min"), ("RATE_LIMIT_AUTH", "600/min"), ("RATE_LIMIT_STATIC", "off")];

/// The variables of the databases, in the order of [`Options::databases`].
pub(crate) const DATABASES: [&str; 4] =
    ["AUTH_DATABASE_URL", "PAYMENTS_DATABASE_URL", "ADMIN_DATABASE_URL", "PROFILE_DATABASE_URL"];

/// Without `RUST_LOG` only errors: the banner is the first thing that a newcomer sees, and how five services find
/// each other at the start is for those who ask.
const LOG_FILTER: &str = "error";

/// Every line needs room for requests under way, sockets and the outbox.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

const PORT_BASE: u16 = 3000;

/// The whole reference system in one process.
#[derive(Debug, Parser)]
#[command(name = "stack")]
struct Cli {
    /// Keep nothing: temporary files, gone at the end.
    #[arg(long)]
    ephemeral: bool,
    /// The gateway's port; the services take the four above it, the admin listener a hundred above. 0 takes free ones.
    #[arg(long, value_name = "N", default_value_t = PORT_BASE)]
    port_base: u16,
    /// Where the databases, the keys and the webhook secret are kept.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
    /// Read everything, say so, end.
    #[arg(long)]
    check_config: bool,
}

impl Options {
    /// Reads arguments (the program's name first) and variables. `None`: all that was asked for is done.
    ///
    /// # Errors
    ///
    /// Names the switch or variable that does not parse.
    pub fn parse(args: impl IntoIterator<Item = String>, vars: &Vars) -> Result<Option<Self>, ConfigError> {
        let cli = match Cli::try_parse_from(args) {
            Ok(cli) => cli,
            // Help and version are asked for and are no errors.
            Err(told) if !told.use_stderr() => {
                return told.print().map(|()| None).map_err(|error| ConfigError::new("--help", error));
            }
            Err(error) => {
                let text = error.to_string();
                return Err(ConfigError::new("arguments", text.lines().next().unwrap_or_default()));
            }
        };
        let options = Self::from_vars(vars, (!cli.ephemeral).then_some(cli.data), cli.port_base)?;
        if cli.check_config {
            say("stack: the configuration is good");
            return Ok(None);
        }
        Ok(Some(options))
    }

    /// An ephemeral system on free ports, for tests.
    ///
    /// # Errors
    ///
    /// Names the variable that does not parse.
    pub fn ephemeral(vars: &Vars) -> Result<Self, ConfigError> {
        Self::from_vars(vars, None, 0)
    }

    fn from_vars(vars: &Vars, data: Option<PathBuf>, port_base: u16) -> Result<Self, ConfigError> {
        if port_base > u16::MAX - 100 {
            return Err(ConfigError::new(
                "--port-base",
                "leaves no room for the admin port, a hundred above",
            ));
        }
        let [api, auth, statics] =
            RATE_LIMITS.map(|(name, default)| (name, vars.text(name).unwrap_or(default).to_owned()));
        let quota = |(name, text): &(&str, String)| {
            Quota::parse(text).map_err(|fault| ConfigError::new(*name, fault))
        };
        let rate_limits = RateLimits { api: quota(&api)?, auth: quota(&auth)?, statics: quota(&statics)? };
        let mut common = Common::embedded(&Process::gateway());
        common.rabbitmq_url =
            vars.parse("RABBITMQ_URL", |text| text.parse::<SecretUrl>()?.with_scheme(&["amqp", "amqps"]))?;
        common.redis_url =
            vars.parse("REDIS_URL", |text| text.parse::<SecretUrl>()?.with_scheme(&["redis", "rediss"]))?;
        common.read_telemetry(vars)?;
        if vars.text("RUST_LOG").is_none() {
            LOG_FILTER.clone_into(&mut common.log_filter);
        }
        let database = |name: &str| {
            vars.parse(name, |url| {
                Db::check_url(url)?;
                Ok::<_, String>(url.to_owned())
            })
        };
        let [auth_db, payments, admin, profile] = DATABASES.map(database);
        Ok(Self {
            data,
            port_base,
            rate_limits,
            drain_timeout: vars.duration_or("DRAIN_TIMEOUT", DRAIN_TIMEOUT)?,
            webhook_secret: vars.get("PSP_WEBHOOK_SECRET")?,
            common,
            databases: [auth_db?, payments?, admin?, profile?],
        })
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --check-config")]
fn say(text: &str) {
    println!("{text}");
}
