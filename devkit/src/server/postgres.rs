//! PostgreSQL.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use tokio::time;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Server, server_methods};
use crate::wire;

/// A second on an idle core.
const INITDB_LIMIT: Duration = Duration::from_secs(90);

/// A private PostgreSQL that trusts the user `postgres` on loopback. Ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
}

// === impl Postgres ===

impl Postgres {
    /// Whether the programs are there.
    #[must_use]
    pub fn installed() -> bool {
        program::all(&[program::postgres("initdb"), program::postgres("postgres")])
    }

    /// Starts one and returns when it answers.
    ///
    /// A committed transaction survives a kill of the server, not one of the machine.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start() -> anyhow::Result<Self> {
        let initdb = program::postgres("initdb").context("PostgreSQL is not installed")?;
        let path = program::postgres("postgres").context("PostgreSQL is not installed")?;
        let user = program::postgres_user();
        let port = Port::reserve()?;
        let scratch = Scratch::new("postgres", user)?;
        let data = scratch.path().join("data").to_string_lossy().into_owned();

        let mut init = Program::new(initdb, scratch.path().to_owned()).args([
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        init.user = user;
        let ended = init.spawn()?.ended_within(INITDB_LIMIT).await;
        ensure!(
            ended.is_some_and(|status| status.success()),
            "initdb failed:\n{}",
            std::fs::read_to_string(&init.log).unwrap_or_default()
        );

        let mut program = Program::new(path, scratch.path().to_owned()).args(["-D", &data]);
        let port_setting = format!("port={}", port.number());
        for setting in [
            port_setting.as_str(),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // The tests of a whole workspace share one server, each with pools of its own.
            "max_connections=400",
            "shared_buffers=64MB",
            // Safe as long as the machine itself stays up, and several times faster. Commits stay
            // synchronous: a test that kills the server wants them.
            "fsync=off",
            "full_page_writes=off",
            "max_wal_senders=0",
            "wal_level=minimal",
        ] {
            program = program.args(["-c", setting]);
        }
        program.user = user;
        // «Fast»: it does not wait for clients to leave.
        program.stop_signal = Signal::SIGINT;
        let server = Server::start("PostgreSQL", vec![program], vec![port], scratch, answers).await?;
        Ok(Self { server })
    }

    /// `postgres://postgres@127.0.0.1:PORT/postgres`, a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.addr())
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    ///
    /// If the server is away.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the database may have been made.
    pub async fn fresh_database(&self) -> anyhow::Result<String> {
        fresh_database(&self.url()).await
    }

    /// Makes an empty database of this name and returns its URL.
    ///
    /// # Errors
    ///
    /// If there is one already, or the server is away.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the database may have been made.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        self.execute(&format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""))).await?;
        Ok(format!("postgres://postgres@{}/{name}", self.addr()))
    }

    /// Runs one SQL text as superuser.
    ///
    /// # Errors
    ///
    /// What the server answered.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may have been run.
    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        wire::postgres(self.addr(), "postgres", "postgres", sql).await
    }
}

server_methods!(Postgres);

async fn answers(addr: SocketAddr) -> bool {
    let ask = wire::postgres(addr, "postgres", "postgres", "SELECT 1");
    matches!(time::timeout(Duration::from_secs(5), ask).await, Ok(Ok(())))
}

/// Makes an empty database on the server of `url`, under a name that nobody else has.
pub(crate) async fn fresh_database(url: &str) -> anyhow::Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let rest = url.split_once("://").context("a URL without scheme")?.1;
    let (authority, database) = rest.split_once('/').context("a URL without database")?;
    let (user, host) = authority.rsplit_once('@').context("a URL without user")?;
    let addr = tokio::net::lookup_host(host).await?.next().context("no such host")?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}_{:08x}", std::process::id(), rand::random::<u32>());
    let user_name = user.split(':').next().unwrap_or(user);
    wire::postgres(addr, user_name, database, &format!("CREATE DATABASE {name}")).await?;
    Ok(format!("postgres://{authority}/{name}"))
}
