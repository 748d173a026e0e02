//! One of the five processes.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;
use crate::server::Server;
use crate::wire;

/// The five processes, in the order of their ports.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the contract names exactly these")]
pub enum Service {
    /// What clients talk to.
    Gateway,
    /// Users, sessions, keys.
    Auth,
    /// Payments.
    Payments,
    /// Audit and dashboard.
    Admin,
    /// Profiles.
    Profile,
}

/// A process of the [`System`](crate::System). Killed when dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    service: Service,
    server: Server,
    admin: Port,
    log: PathBuf,
}

/// HTTP and admin port of each process.
#[derive(Debug)]
pub(crate) struct Ports(Vec<[Port; 2]>);

/// As long as a restart may take: the services migrate and connect anew.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Each look is a line in the service's log.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

// === impl Service ===

impl Service {
    /// All of them, in the order of their ports.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Auth, Self::Payments, Self::Admin, Self::Profile];

    /// Its package and program.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Auth => "auth-service",
            Self::Payments => "payments-service",
            Self::Admin => "admin-service",
            Self::Profile => "profile-service",
        }
    }

    /// Its name in logs, metrics and variables.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.package().trim_end_matches("-service")
    }
}

// === impl Ports ===

impl Ports {
    pub(crate) fn new(pairs: Vec<[Port; 2]>) -> Self {
        Self(pairs)
    }

    pub(crate) fn http(&self, service: Service) -> u16 {
        self.0[service as usize][0].number()
    }

    pub(crate) fn admin(&self, service: Service) -> u16 {
        self.0[service as usize][1].number()
    }

    pub(crate) fn into_pairs(self) -> Vec<[Port; 2]> {
        self.0
    }
}

// === impl ServiceProcess ===

impl ServiceProcess {
    pub(crate) fn new(
        service: Service,
        programs: &Path,
        folder: &Path,
        [http, admin]: [Port; 2],
        variables: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let path = programs.join(service.package());
        ensure!(path.is_file(), "{} is not built", path.display());
        let scratch = Scratch::new(service.name(), None)?;
        let mut program = Program::new(path, scratch.path().to_owned());
        // The gateway has no data of its own to seed.
        if service != Service::Gateway {
            program = program.args(["--demo-seed"]);
        }
        for (name, value) in variables {
            program = program.env(&name, value);
        }
        program.log = folder.join(format!("{}.log", service.name()));
        let log = program.log.clone();
        let probe = |addr| wire::http_ok(addr, "/health");
        let server = Server::new(service.package(), vec![program], vec![http], scratch, probe)
            .looking_every(LOOK_AGAIN);
        Ok(Self { service, server, admin, log })
    }

    /// Which one it is.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Its HTTP side: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// Its admin side, with `/livez`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.addr())
    }

    /// The file that receives its output, appended over restarts.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The id of its process group, while it runs.
    #[must_use]
    pub fn process_group(&self) -> Option<u32> {
        self.server.group()
    }

    /// Starts it, without waiting until it is ready. One that runs is killed first.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub fn start(&self) -> anyhow::Result<()> {
        self.server.launch()
    }

    /// Waits until its `/health` is 200.
    ///
    /// # Errors
    ///
    /// If it ends or is not ready within `limit`; it is killed then, and the message holds the end
    /// of its output.
    ///
    /// # Cancel safety
    ///
    /// If dropped before it is ready, it is killed.
    pub async fn ready(&self, limit: Duration) -> anyhow::Result<()> {
        self.server.ready(limit).await
    }

    /// Whether its `/health` is 200 now.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves nothing behind.
    pub async fn is_ready(&self) -> bool {
        self.server.answers().await
    }

    /// How it ended, if it was started and ended by itself.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        self.server.exited()
    }

    /// Stops it if it runs, starts it again and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// If dropped, it is killed.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        self.start()?;
        self.ready(READY_LIMIT).await
    }

    /// Asks it to drain with SIGTERM, and returns how it ended: `None` if it did not run, or was
    /// killed for taking too long.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it is killed at once.
    pub async fn stop(&self) -> Option<ExitStatus> {
        self.server.stop().await
    }

    /// Ends it as `kill -9` would. It is gone on return.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.server.signal(Signal::SIGCONT);
    }
}
