//! Redis.

use anyhow::Context;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Server, server_methods};
use crate::wire;

/// A private Redis. Ends when dropped.
#[derive(Debug)]
pub struct Redis {
    server: Server,
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
        Ok(Self { server })
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }
}

server_methods!(Redis);
