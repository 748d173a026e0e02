//! The load programs, built and installed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::bench::event_hub::rows::{Client, Figure, Row};
use crate::cli::bench::peers;
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
        say("── building our load programs (release)");
        let mut own = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
        ensure!(workspace::succeeds(&mut own).await?, "our load programs do not build");
        // A bare socket prepares and tidies for all, so it is always there.
        let mut packages = vec!["raw"];
        let uses = |some: &[Client]| clients.iter().any(|client| some.contains(client));
        if uses(&[Client::Lapin, Client::LapinEach]) {
            packages.push("lapin-peer");
        }
        if uses(&[Client::Amqprs]) {
            packages.push("amqprs-peer");
        }
        let programs = Self {
            own: workspace::target_dir().await?.join("release"),
            peers: peers::build(&packages).await?,
            foreign: peers::foreign().await?,
        };
        if clients.contains(&Client::Amqplib) {
            peers::install_node("amqplib", "node", "load.js").await?;
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
                python.arg(peers::folder().join("python").join("load.py"));
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
        install.arg(peers::folder().join("python").join("requirements.txt")).kill_on_drop(true);
        ensure!(workspace::succeeds(&mut install).await?, "pip install failed");
        Ok(())
    }
}
