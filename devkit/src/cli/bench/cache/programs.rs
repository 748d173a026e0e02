//! The load programs, built and installed.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::bench::cache::rows::{Client, Row};
use crate::cli::bench::peers;
use crate::cli::{say, workspace};
use crate::program;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// Cargo's release folder.
    own: PathBuf,
    peers: PathBuf,
    bento: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// Builds what these clients need, all of it below the target folder.
    pub(super) async fn build(clients: &[Client]) -> anyhow::Result<Self> {
        say("── building our load programs (release)");
        let mut load = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
        load.args(["--no-default-features", "--features", "cache", "--bins"]);
        ensure!(workspace::succeeds(&mut load).await?, "our load programs do not build");
        let mut programs = Self {
            own: workspace::target_dir().await?.join("release"),
            peers: PathBuf::new(),
            bento: PathBuf::new(),
        };
        if clients.iter().any(|client| !matches!(client, Client::Ours | Client::Bento)) {
            programs.peers = peers::build(&["cache-peers"]).await?;
        }
        if clients.contains(&Client::Bento) {
            programs.bento = peers::install_node("BentoCache", "bentocache", "load.js").await?;
        }
        Ok(programs)
    }

    /// The command that runs a row for a client, without what they all take.
    pub(super) fn command(&self, row: &Row, client: Client) -> anyhow::Result<Command> {
        Ok(match client {
            Client::Ours if row.counted => Command::new(self.own.join("cache-allocations")),
            Client::Ours => Command::new(self.own.join("cache-load")),
            Client::Bento => {
                let mut node = Command::new(program::find("node").context("node is not installed")?);
                node.arg(self.bento.join("load.js"));
                node
            }
            _ => {
                let mut peers = Command::new(self.peers.join("cache-peers"));
                peers.args(["--client", client.name()]);
                peers
            }
        })
    }
}
