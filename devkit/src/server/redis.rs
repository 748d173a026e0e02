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
        let path = program::find("redis-server").context("redis-server is not installed")?;
        let port = Port::reserve()?;
        let scratch = Scratch::new("redis", None)?;
        let program = Program::new(path, scratch.path().to_owned()).args([
            "--port",
            &port.number().to_string(),
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
            &scratch.path().to_string_lossy(),
        ]);
        let server = Server::start("Redis", vec![program], vec![port], scratch, |addr| {
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
