//! A master, a replica, and those who watch over them.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::Server;
use crate::server::redis::{Redis, Tls, role, until};
use crate::wire;

/// Two Redis, of which the first begins as the master, and three sentinels that make the other one the master when it is
/// gone for three seconds. All end when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: [Redis; 2],
    sentinels: Vec<Redis>,
}

/// How long the master may be silent before it is taken for lost, in ms: long enough for a busy machine.
const DOWN_AFTER: u32 = 3000;

// === impl RedisSentinels ===

impl RedisSentinels {
    /// What the sentinels call the master.
    pub const MASTER: &str = "main";

    /// Starts all, and returns when the replica follows and the sentinels know each other and it.
    ///
    /// # Errors
    ///
    /// If Redis is not installed, or one of them does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, all are killed.
    pub async fn start() -> anyhow::Result<Self> {
        Self::build(None).await
    }

    /// The same over TLS, with this certificate and key (PEM): all of them, among themselves too.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also when Redis was built without TLS.
    ///
    /// # Cancel safety
    ///
    /// If dropped, all are killed.
    pub async fn start_tls(certificate: &str, key: &str) -> anyhow::Result<Self> {
        Self::build(Some(Tls::new(certificate, key)?)).await
    }

    async fn build(tls: Option<Arc<Tls>>) -> anyhow::Result<Self> {
        let master = Redis::start_among(Vec::new(), &[], tls.clone()).await?;
        let of = format!("127.0.0.1 {}", master.port_for_others());
        // One that waits for a while before it sends everything would be of no use to a test.
        until(&master, "CONFIG SET repl-diskless-sync-delay 0", &["+OK"]).await?;
        let settings = ["--replicaof", &of, "--repl-diskless-sync-delay", "0"];
        let replica = Redis::start_among(Vec::new(), &settings, tls.clone()).await?;
        until(&replica, "ROLE", &[&role("slave", &master)]).await?;
        until(&master, "WAIT 1 100", &[":1"]).await?;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(sentinel(&of, tls.clone()).await?);
        }
        for sentinel in &sentinels {
            let name = Self::MASTER;
            until(sentinel, &format!("SENTINEL REPLICAS {name}"), &["*1\r\n"]).await?;
            until(sentinel, &format!("SENTINEL SENTINELS {name}"), &["*2\r\n"]).await?;
            until(sentinel, &format!("SENTINEL CKQUORUM {name}"), &["+OK 3"]).await?;
        }
        Ok(Self { servers: [master, replica], sentinels })
    }

    /// The first master, and the other one.
    #[must_use]
    pub fn servers(&self) -> &[Redis; 2] {
        &self.servers
    }

    /// The URLs of the sentinels, over TLS where they speak it.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url_for_others).collect()
    }

    /// Returns when the other one is the master.
    ///
    /// # Errors
    ///
    /// If that takes three minutes.
    pub async fn failed_over(&self) -> anyhow::Result<()> {
        until(&self.servers[1], "ROLE", &["*3\r\n$6\r\nmaster\r\n"]).await
    }

    /// Returns when the first one, back again, follows the other.
    ///
    /// # Errors
    ///
    /// If that takes three minutes.
    pub async fn follows(&self) -> anyhow::Result<()> {
        until(&self.servers[0], "ROLE", &[&role("slave", &self.servers[1])]).await
    }
}

async fn sentinel(master: &str, tls: Option<Arc<Tls>>) -> anyhow::Result<Redis> {
    let path = program::find("redis-server").context("redis-server is not installed")?;
    let (port, secret) = (Port::reserve()?, Port::reserve()?);
    let scratch = Scratch::new("sentinel", None)?;
    let (number, folder, name) = (port.number(), scratch.path().display(), RedisSentinels::MASTER);
    let mut settings = format!(
        "port {number}\nbind 127.0.0.1\ndir {folder}\n\
         sentinel monitor {name} {master} 2\n\
         sentinel down-after-milliseconds {name} {DOWN_AFTER}\n\
         sentinel failover-timeout {name} 5000\n"
    );
    let tls = tls.map(|tls| (tls, secret.number()));
    for (name, value) in tls.iter().flat_map(|(tls, port)| tls.settings(*port)) {
        let _ = writeln!(settings, "{name} {value}");
    }
    // It writes there what it learns.
    let file = scratch.path().join("sentinel.conf");
    std::fs::write(&file, settings)?;
    let program =
        Program::new(path, scratch.path().to_owned()).args([&*file.to_string_lossy(), "--sentinel"]);
    let server = Server::start("a sentinel", vec![program], vec![port, secret], scratch, |addr| {
        wire::answers(addr, b"PING\r\n", b"+PONG")
    })
    .await?;
    Ok(Redis { server, tls })
}
