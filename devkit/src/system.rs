//! The reference system, process by process, on servers of its own.

pub(crate) mod environment;
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cli::workspace;
use crate::ports::Port;
use crate::scratch::Scratch;
use crate::system::environment::Environment;
use crate::system::service::{Ports, Service, ServiceProcess};
use crate::{Postgres, RabbitMq, Redis};

/// Names the folder of the built programs; `cargo dev test` sets it, having built them.
const BIN_DIR: &str = "TRAMLINE_TEST_BIN_DIR";

/// The services start in a second, a cold machine compiles beside them.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// How a [`System`] is started.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SystemConfig {
    /// The gateway's port; the services follow on the next four, the admin listeners 100 above.
    /// `None`, the default, takes free ports.
    pub port_base: Option<u16>,
    /// Builds and runs release programs. Off by default: a test wants the quicker build.
    pub release: bool,
    /// Where keys and logs go, kept. `None`, the default, means a temporary folder.
    pub folder: Option<PathBuf>,
    /// Variables that all five processes get, over those that the system sets.
    pub variables: Vec<(String, String)>,
}

/// RabbitMQ, Redis, PostgreSQL with four databases, and the five processes with the demo seed.
/// Ends when dropped.
#[derive(Debug)]
pub struct System {
    // ORDER: the processes go before what they stand on.
    processes: Vec<ServiceProcess>,
    environment: Environment,
    rabbitmq: RabbitMq,
    redis: Redis,
    postgres: Postgres,
    folder: PathBuf,
    _scratch: Option<Scratch>,
}

// === impl System ===

impl System {
    /// Starts it with the default configuration; see [`start_with`](Self::start_with).
    ///
    /// # Errors
    ///
    /// If a server is not installed, the build fails, or the gateway's `/health` does not become 200.
    ///
    /// # Cancel safety
    ///
    /// If dropped, everything is killed.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(SystemConfig::default()).await
    }

    /// Starts servers and processes, and returns when the gateway's `/health` is 200.
    ///
    /// The programs are built first, unless `TRAMLINE_TEST_BIN_DIR` names a folder that has them.
    ///
    /// # Errors
    ///
    /// If a server is not installed, the build fails, or the gateway's `/health` does not become 200.
    ///
    /// # Cancel safety
    ///
    /// If dropped, everything is killed.
    pub async fn start_with(config: SystemConfig) -> anyhow::Result<Self> {
        let programs = match std::env::var_os(BIN_DIR) {
            Some(folder) if !config.release => PathBuf::from(folder),
            _ => build(config.release).await?,
        };
        let (rabbitmq, redis, postgres) =
            tokio::try_join!(RabbitMq::start(), Redis::start(), Postgres::start())?;
        let (folder, scratch) = match &config.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                (folder.canonicalize()?, None)
            }
            None => {
                let scratch = Scratch::new("system", None)?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        let ports = Ports::choose(config.port_base)?;
        let environment = Environment::new(&ports, &folder, &rabbitmq, &redis, &postgres).await?;
        let processes = Service::ALL
            .into_iter()
            .zip(ports.into_pairs())
            .map(|(service, ports)| {
                let mut variables = environment.of(service);
                variables.extend(config.variables.iter().cloned());
                ServiceProcess::new(service, &programs, &folder, ports, variables)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let system = Self { processes, environment, rabbitmq, redis, postgres, folder, _scratch: scratch };
        for process in &system.processes {
            process.start()?;
        }
        system.ready(READY_LIMIT).await?;
        Ok(system)
    }

    /// Waits until all five are ready: at the start, and after faults.
    ///
    /// # Errors
    ///
    /// If one ends or is not ready within `limit`; the message names it and holds the end of its output. It is
    /// killed then.
    ///
    /// # Cancel safety
    ///
    /// If dropped before, those that are not ready are killed.
    pub async fn ready(&self, limit: Duration) -> anyhow::Result<()> {
        let ready = |service| self.process(service).ready(limit);
        // All at once: one that ends at its start is told at once. The gateway, which asks the others, comes last, so
        // that the blame falls on the right one.
        tokio::try_join!(
            ready(Service::Auth),
            ready(Service::Payments),
            ready(Service::Admin),
            ready(Service::Profile),
        )?;
        ready(Service::Gateway).await
    }

    /// Where clients go: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.process(Service::Gateway).url()
    }

    /// The handle of one process: its URLs, and what may befall it.
    #[must_use]
    pub fn process(&self, service: Service) -> &ServiceProcess {
        // INVARIANT: one for each of `Service::ALL`, in that order.
        &self.processes[service as usize]
    }

    /// Its RabbitMQ.
    #[must_use]
    pub fn rabbitmq(&self) -> &RabbitMq {
        &self.rabbitmq
    }

    /// Its Redis.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Its PostgreSQL.
    #[must_use]
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// What the provider signs its webhooks with.
    #[must_use]
    pub fn webhook_secret(&self) -> &str {
        self.environment.webhook_secret()
    }

    /// The URL of a service's database; the gateway has none.
    #[must_use]
    pub fn database_url(&self, service: Service) -> Option<&str> {
        self.environment.database(service)
    }

    /// Keys and logs: `SERVICE.log` for each process.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the processes in good order, the gateway first, then the servers. Tells how each process ended, as
    /// [`ServiceProcess::stop`] does.
    ///
    /// # Cancel safety
    ///
    /// If dropped, what is left is killed.
    pub async fn stop(self) -> Vec<(Service, Option<ExitStatus>)> {
        let mut ends = vec![(Service::Gateway, self.process(Service::Gateway).stop().await)];
        let system = &self;
        let stop = |service| async move { (service, system.process(service).stop().await) };
        let services = tokio::join!(
            stop(Service::Auth),
            stop(Service::Payments),
            stop(Service::Admin),
            stop(Service::Profile),
        );
        ends.extend(<[_; 4]>::from(services));
        tokio::join!(self.rabbitmq.stop(), self.redis.stop(), self.postgres.stop());
        ends
    }
}

/// Builds the five programs and returns their folder.
async fn build(release: bool) -> anyhow::Result<PathBuf> {
    let mut cargo = workspace::cargo(["build"]);
    for service in Service::ALL {
        cargo.args(["-p", service.package()]);
    }
    if release {
        cargo.arg("--release");
    }
    ensure!(workspace::succeeds(&mut cargo).await?, "cargo build failed");
    Ok(workspace::target_dir().await?.join(if release { "release" } else { "debug" }))
}

impl Ports {
    fn choose(base: Option<u16>) -> anyhow::Result<Self> {
        let pair = |offset: u16| match base {
            Some(base) => {
                let port = base.checked_add(offset).context("the port is too high")?;
                let admin = port.checked_add(100).context("the port is too high")?;
                Ok([Port::fixed(port), Port::fixed(admin)])
            }
            None => Ok([Port::reserve()?, Port::reserve()?]),
        };
        (0..5).map(pair).collect::<anyhow::Result<Vec<_>>>().map(Self::new)
    }
}
