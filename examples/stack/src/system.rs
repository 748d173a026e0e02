//! The five services, built on shared engines and served in one process.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use chassis::config::{Common, ConfigError, Process, Secret, SecretUrl};
use chassis::db::Db;
use chassis::service::{ServeConfig, Service, serve};
use chassis::{Shell, run};
use tramline_event_hub::Hub;
use tramline_observability::lifecycle::{Phase, shutdown_signal};
use tramline_observability::metrics::{MetricsHandle, Recorder, RecorderConfig};
use tramline_observability::telemetry::Guard;
use tramline_observability::{Lifecycle, Telemetry};
use tramline_session_sync::attempts::{Attempts, AttemptsConfig};
use tramline_session_sync::cookie::Origins;
use tramline_session_sync::tickets::{Tickets, TicketsConfig};
use url::Url;

use crate::folder::Folder;
use crate::options::{DATABASES, Options};
use crate::ports::{self, Listeners, Ports};

/// The system, its ports bound and its services built; it answers once it [runs](Self::run).
pub struct Stack {
    summary: Summary,
    folder: Folder,
    services: Vec<Service>,
    listeners: Listeners,
    lifecycle: Lifecycle,
    metrics: Option<MetricsHandle>,
    telemetry: Guard,
}

/// What there is to tell of a system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// How it was started.
    pub options: Options,
    /// Its addresses.
    pub ports: Ports,
    /// What the demo provider signs with.
    pub webhook_secret: Secret,
}

/// Why the system does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// A variable or switch does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is taken, or a file cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The key file is not one.
    #[error("the key file")]
    Key(#[from] tramline_session_sync::Error),
    /// Logs, traces or metrics cannot be had.
    #[error("telemetry")]
    Telemetry(#[from] tramline_observability::Error),
}

/// What every service is built with.
struct Engines {
    hub: Hub,
    lifecycle: Lifecycle,
    options: Options,
    jwks_url: Url,
}

/// How long telemetry may take to flush, after everything else has ended.
const FLUSH: Duration = Duration::from_secs(2);

/// How often readiness is asked at the start: far below what a person notices.
const ASK_EVERY: Duration = Duration::from_millis(10);

impl Stack {
    /// Binds the ports, opens the files and builds the services.
    ///
    /// # Errors
    ///
    /// A port is taken, another process has the folder, or a variable does not fit.
    pub async fn bind(options: Options) -> Result<Self, StackError> {
        let (ports, listeners) = ports::bind(options.port_base).await?;
        let folder = Folder::open(options.data.as_deref())?;
        let telemetry = Telemetry::init(&run::telemetry_config(&options.common, "stack"))?;
        // ORDER: the recorder before anything that keeps handles of its metrics.
        let metrics = Recorder::global(&RecorderConfig::default()).ok();
        let webhook_secret = match &options.webhook_secret {
            Some(secret) => secret.clone(),
            None => folder.webhook_secret()?,
        };
        let lifecycle = Lifecycle::new();
        let hub = Shell::open_hub(&options.common)?;
        let closed = hub.clone();
        lifecycle.on(Phase::Flush, "hub", move || async move { closed.shutdown().await });
        let engines = Engines {
            hub,
            lifecycle: lifecycle.clone(),
            jwks_url: url(&format!("http://{}/.well-known/jwks.json", ports.auth))?,
            options: options.clone(),
        };
        let services = engines.services(&ports, &folder, &webhook_secret, metrics.clone())?;
        let summary = Summary { options, ports, webhook_secret };
        Ok(Self { summary, folder, services, listeners, lifecycle, metrics, telemetry })
    }

    /// What there is to tell of it.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Serves until SIGTERM or Ctrl-C, then drains. `ready` is called once everything answers.
    pub async fn run(self, ready: impl FnOnce(&Summary)) -> ExitCode {
        // Listening before anything else: a signal that comes during the start drains, too.
        let signal = tokio::spawn(shutdown_signal());
        self.run_until(ready, async {
            if !matches!(signal.await, Ok(Ok(_))) {
                tracing::error!("signals cannot be heard");
            }
        })
        .await
    }

    /// Serves until `shutdown` completes, then drains; gives the process's exit code.
    pub async fn run_until(
        self,
        ready: impl FnOnce(&Summary),
        shutdown: impl Future<Output = ()> + Send,
    ) -> ExitCode {
        let Self { summary, folder, services, listeners: (listeners, ops), lifecycle, metrics, telemetry } =
            self;
        let mut serving = ServeConfig::default();
        serving.admin = Some((ops, metrics));
        serving.drain_timeout = summary.options.drain_timeout;
        let asked = services.clone();
        let services = services.into_iter().zip(listeners).collect();
        let mut serving = std::pin::pin!(serve(services, serving, &lifecycle, shutdown));
        let end = tokio::select! {
            end = serving.as_mut() => end,
            () = until_well(asked) => {
                ready(&summary);
                serving.await
            }
        };
        telemetry.shutdown(FLUSH).await;
        // Kept until here: the databases were open.
        drop(folder);
        if end.failed.is_some() { ExitCode::from(70) } else { ExitCode::SUCCESS }
    }
}

impl Engines {
    /// The gateway first: it is the first to stop accepting.
    fn services(
        &self,
        ports: &Ports,
        folder: &Folder,
        webhook_secret: &Secret,
        metrics: Option<MetricsHandle>,
    ) -> Result<Vec<Service>, StackError> {
        let origins: Vec<String> =
            ["localhost", "127.0.0.1"].map(|host| format!("http://{host}:{}", ports.gateway.port())).into();
        // One process: whoever redeems a ticket sees who issued it.
        let tickets = match &self.options.common.redis_url {
            Some(url) => Tickets::redis(url.expose(), TicketsConfig::default()).map_err(redis)?,
            None => Tickets::memory(TicketsConfig::default()),
        };
        let attempts = match &self.options.common.redis_url {
            Some(url) => Attempts::redis(url.expose(), AttemptsConfig::default()).map_err(redis)?,
            None => Attempts::memory(AttemptsConfig::default()),
        };

        let auth = self.shell(&Process::auth());
        let (url_of, db) = self.database(0, "auth", folder, &auth)?;
        let mut config = auth_service::Config::new(url_of, folder.key_file()?, Origins::new(origins.clone()));
        config.rate_limit = self.options.rate_limits.auth;
        let cache = auth.open_cache()?;
        let auth = auth_service::build(
            config,
            auth_service::Deps::new(auth, db, attempts, Some(tickets.clone()), cache),
        )?;

        let payments = self.shell(&Process::payments());
        let (url_of, db) = self.database(1, "payments", folder, &payments)?;
        let webhook = url(&format!("http://{}/api/payments/webhooks/psp", ports.gateway))?;
        let config = payments_service::Config::new(url_of, webhook_secret.clone(), webhook);
        let cache = payments.open_cache()?;
        let payments = payments_service::build(config, payments_service::Deps::new(payments, db, cache))?;

        let admin = self.shell(&Process::admin());
        let (url_of, db) = self.database(2, "admin", folder, &admin)?;
        let cache = admin.open_cache()?;
        let admin = admin_service::build(
            admin_service::Config::new(url_of),
            admin_service::Deps::new(admin, db, cache),
        )?;

        let profile = self.shell(&Process::profile());
        let (url_of, db) = self.database(3, "profile", folder, &profile)?;
        let cache = profile.open_cache()?;
        let profile = profile_service::build(
            profile_service::Config::new(url_of),
            profile_service::Deps::new(profile, db, cache),
        )?;

        let upstreams = gateway::Upstreams {
            auth: format!("http://{}", ports.auth),
            payments: format!("http://{}", ports.payments),
            admin: format!("http://{}", ports.admin),
            profile: format!("http://{}", ports.profile),
        };
        let config = gateway::Config::new(upstreams, origins, self.options.rate_limits);
        let shell = self.shell(&Process::gateway());
        let backplane = gateway::Deps::backplane(&shell)?;
        let cache = shell.open_cache()?;
        let mut deps = gateway::Deps::new(shell, cache, Some(tickets), metrics);
        deps.backplane = backplane;
        let gateway = gateway::build(config, deps)?;
        Ok(vec![gateway, auth, payments, admin, profile])
    }

    fn shell(&self, process: &Process) -> Shell {
        let mut common = Common::embedded(process);
        let ours = &self.options.common;
        common.rabbitmq_url.clone_from(&ours.rabbitmq_url);
        common.redis_url.clone_from(&ours.redis_url);
        common.instance_id.clone_from(&ours.instance_id);
        common.jwks_url = Some(self.jwks_url.clone());
        common.demo_seed = true;
        Shell::new(common, self.hub.clone(), self.lifecycle.clone())
    }

    fn database(
        &self,
        index: usize,
        name: &str,
        folder: &Folder,
        shell: &Shell,
    ) -> Result<(SecretUrl, Db), StackError> {
        let variable = DATABASES[index];
        let text = self.options.databases[index].clone().unwrap_or_else(|| folder.database(name));
        let parsed = text.parse().map_err(|fault| ConfigError::new(variable, fault))?;
        Ok((parsed, Db::open(variable, &text, &shell.db_config())?))
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("ports", &self.summary.ports).finish_non_exhaustive()
    }
}

/// Asks the services themselves until all of them are well; gives up never, since whoever waits can be told to stop.
async fn until_well(services: Vec<Service>) {
    for service in services {
        while !service.is_well().await {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

fn redis(fault: impl std::fmt::Display) -> ConfigError {
    ConfigError::new("REDIS_URL", fault)
}

fn url(text: &str) -> Result<Url, ConfigError> {
    Url::parse(text).map_err(|fault| ConfigError::new("--port-base", fault))
}
