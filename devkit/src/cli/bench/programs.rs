//! The load programs, built and installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::bench::rows::{Client, Figure, Row};
use crate::cli::{say, workspace};
use crate::program;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    own: PathBuf,
    peers: PathBuf,
    /// Where the packages of the other languages are installed.
    foreign: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// Builds what these clients need, all of it below the target folder.
    pub(super) async fn build(clients: &[Client]) -> anyhow::Result<Self> {
        let target = workspace::target_dir().await?;
        let peers = target.join("bench-peers");
        let programs = Self {
            own: target.join("release"),
            peers: peers.join("release"),
            foreign: target.join("bench-foreign"),
        };
        say("── building our load programs (release)");
        let mut own = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
        ensure!(workspace::succeeds(&mut own).await?, "our load programs do not build");
        // A bare socket prepares and tidies for all, so it is always there.
        say("── building the peers (release, a workspace of their own)");
        let mut build = workspace::cargo(["build", "--release", "--quiet", "--locked"]);
        build.arg("--manifest-path").arg(folder().join("Cargo.toml")).arg("--target-dir").arg(&peers);
        ensure!(workspace::succeeds(&mut build).await?, "the peers do not build");
        if clients.contains(&Client::Amqplib) {
            programs.install_node().await?;
        }
        if clients.contains(&Client::Pika) {
            programs.install_python().await?;
        }
        Ok(programs)
    }

    /// The command that runs a row for a client, without the row's own arguments.
    pub(super) fn command(&self, row: &Row, client: Client) -> Command {
        let mut command = match client {
            Client::Hub | Client::HubEach if row.figure == Figure::Allocations => {
                Command::new(self.own.join("event-hub-allocations"))
            }
            Client::Hub | Client::HubEach => Command::new(self.own.join("event-hub-load")),
            Client::Raw | Client::RawEvent => self.raw(),
            Client::Lapin | Client::LapinEach => Command::new(self.peers.join("lapin-peer")),
            Client::Amqprs => Command::new(self.peers.join("amqprs-peer")),
            Client::Amqplib => {
                let mut node = Command::new("node");
                node.arg(self.foreign.join("node").join("load.js"));
                node
            }
            Client::Pika => {
                let mut python = Command::new(self.foreign.join("python").join("bin").join("python"));
                python.arg(folder().join("python").join("load.py"));
                python
            }
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Our program, to declare and to fill.
    pub(super) fn own(&self) -> Command {
        Command::new(self.own.join("event-hub-load"))
    }

    /// The bare socket, to fill and to delete.
    pub(super) fn raw(&self) -> Command {
        Command::new(self.peers.join("raw"))
    }

    async fn install_node(&self) -> anyhow::Result<()> {
        say("── installing amqplib");
        let npm = program::find("npm").context("npm is not installed: leave amqplib out with --clients")?;
        let to = self.foreign.join("node");
        std::fs::create_dir_all(&to)?;
        for file in ["package.json", "package-lock.json", "load.js"] {
            let from = folder().join("node").join(file);
            std::fs::copy(&from, to.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let mut install = Command::new(npm);
        install.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&to).kill_on_drop(true);
        ensure!(workspace::succeeds(&mut install).await?, "npm ci failed");
        Ok(())
    }

    async fn install_python(&self) -> anyhow::Result<()> {
        say("── installing pika");
        let to = self.foreign.join("python");
        let pip = to.join("bin").join("pip");
        if !pip.is_file() {
            let python = program::find("python3")
                .context("python3 is not installed: leave pika out with --clients")?;
            let mut venv = Command::new(python);
            venv.args(["-m", "venv"]).arg(&to).kill_on_drop(true);
            ensure!(workspace::succeeds(&mut venv).await?, "python3 -m venv failed");
        }
        let mut install = Command::new(pip);
        install.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
        install.arg(folder().join("python").join("requirements.txt")).kill_on_drop(true);
        ensure!(workspace::succeeds(&mut install).await?, "pip install failed");
        Ok(())
    }
}

fn folder() -> PathBuf {
    Path::new(workspace::root()).join("benches").join("peers")
}
