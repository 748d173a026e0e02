//! Redis.

mod cluster;
mod sentinels;
mod tls;

use std::sync::Arc;

use anyhow::Context;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Server, server_methods};
use crate::wire;

pub use self::cluster::RedisCluster;
pub use self::sentinels::RedisSentinels;
use self::tls::Tls;

/// A private Redis. Ends when dropped.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    // ORDER: dropped after the server, which reads its files when it starts again.
    tls: Option<(Arc<Tls>, u16)>,
}

// === impl Redis ===

impl Redis {
    /// Whether the program is there.
    #[must_use]
    pub fn installed() -> bool {
        program::find("redis-server").is_some()
    }

    /// Starts one and returns when it answers.
    ///
    /// What was written survives a kill: it is appended to a file, though never forced to disk.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(vec![Port::reserve()?], &[]).await
    }

    /// Starts one that is a cluster by itself, with all of its slots: keys of one command must share a slot.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also when it is older than Redis 7.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start_cluster() -> anyhow::Result<Self> {
        let ports = vec![Port::reserve()?, Port::reserve()?];
        let bus = ports[1].number().to_string();
        let cluster =
            ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-config-file", "nodes.conf"];
        let redis = Self::start_on(ports, &cluster).await?;
        let addr = redis.addr();
        let has_slots = wire::answers(addr, b"CLUSTER ADDSLOTSRANGE 0 16383\r\n", b"+OK").await;
        anyhow::ensure!(has_slots, "this Redis makes no cluster");
        let mut tries = 0;
        // It takes part a moment after it has slots.
        while !wire::answers(addr, b"SET devkit here\r\n", b"+OK").await {
            tries += 1;
            anyhow::ensure!(tries < 400, "the cluster does not come up");
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        Ok(redis)
    }

    /// Starts one with these settings beside the usual ones, as on the command line.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(vec![Port::reserve()?], settings).await
    }

    /// Starts one that speaks TLS as well, with this certificate and key (PEM); returns it with the URL for that.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also when it was built without TLS.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start_tls(certificate: &str, key: &str) -> anyhow::Result<(Self, String)> {
        let redis = Self::start_among(Vec::new(), &[], Some(Tls::new(certificate, key)?)).await?;
        let url = redis.url_for_others();
        Ok((redis, url))
    }

    /// With these ports beside its own, and TLS where there is some.
    async fn start_among(others: Vec<Port>, more: &[&str], tls: Option<Arc<Tls>>) -> anyhow::Result<Self> {
        let mut ports = vec![Port::reserve()?];
        ports.extend(others);
        let Some(tls) = tls else { return Self::start_on(ports, more).await };
        let secret = Port::reserve()?;
        let port = secret.number();
        ports.push(secret);
        let settings: Vec<_> =
            tls.settings(port).into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        let settings: Vec<_> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut redis = Self::start_on(ports, &settings).await?;
        redis.tls = Some((tls, port));
        Ok(redis)
    }

    async fn start_on(ports: Vec<Port>, more: &[&str]) -> anyhow::Result<Self> {
        let path = program::find("redis-server").context("redis-server is not installed")?;
        let scratch = Scratch::new("redis", None)?;
        let (port, folder) = (ports[0].number().to_string(), scratch.path().to_string_lossy().into_owned());
        let mut arguments = vec![
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "no",
            "--dir",
            &folder,
        ];
        arguments.extend(more);
        let program = Program::new(path, scratch.path().to_owned()).args(arguments);
        let server = Server::start("Redis", vec![program], ports, scratch, |addr| {
            wire::answers(addr, b"PING\r\n", b"+PONG")
        })
        .await?;
        Ok(Self { server, tls: None })
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// The port that others are told: the one for TLS where there is one.
    fn port_for_others(&self) -> u16 {
        self.tls.as_ref().map_or_else(|| self.addr().port(), |(_, port)| *port)
    }

    fn url_for_others(&self) -> String {
        if self.tls.is_some() { format!("rediss://127.0.0.1:{}", self.port_for_others()) } else { self.url() }
    }
}

/// Asks until the answer begins with one of these.
async fn until(redis: &Redis, question: &str, answers: &[&str]) -> anyhow::Result<()> {
    let question = format!("{question}\r\n");
    for _ in 0..LOOKS {
        for answer in answers {
            if wire::answers(redis.addr(), question.as_bytes(), answer.as_bytes()).await {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    anyhow::bail!("no Redis at {} that answers {question:?} with one of {answers:?}", redis.addr())
}

/// How the answer to `ROLE` begins.
fn role(role: &str, master: &Redis) -> String {
    let port = master.port_for_others();
    format!("*5\r\n${}\r\n{role}\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$9\r\nconnected\r\n", role.len())
}

/// How often what takes a moment is looked at: three minutes in all, where they need seconds on an idle machine. A sentinel
/// whose own clock has jumped does nothing for half a minute.
const LOOKS: u32 = 3600;

/// How long between two looks.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

server_methods!(Redis);
