//! The programs, built and installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::bench::peers;
use crate::cli::bench::rooms::rows::Target;
use crate::cli::{say, workspace};
use crate::program;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// Cargo's release folder.
    own: PathBuf,
    peers: PathBuf,
    bun: PathBuf,
    node: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// Installs and builds what these targets need, all of it below the target folder.
    pub(super) async fn build(targets: &[Target]) -> anyhow::Result<Self> {
        say("── building our load programs (release)");
        let features = if targets.contains(&Target::Ours) { "rooms,rooms-server" } else { "rooms" };
        let mut load = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
        load.args(["--no-default-features", "--features", features, "--bins"]);
        ensure!(workspace::succeeds(&mut load).await?, "our load programs do not build");
        let packages: Vec<&str> = targets.iter().filter_map(|target| target.package()).collect();
        let mut programs = Self {
            own: workspace::target_dir().await?.join("release"),
            peers: PathBuf::new(),
            bun: PathBuf::new(),
            node: PathBuf::new(),
        };
        if !packages.is_empty() {
            programs.peers = peers::build(&packages).await?;
        }
        if targets.contains(&Target::Bun) {
            programs.bun = peers::install_node("Bun", "bun-rooms", "server.js").await?;
        }
        if targets.contains(&Target::NodeWs) {
            programs.node = peers::install_node("ws", "node-ws", "server.js").await?;
        }
        Ok(programs)
    }

    /// A target's program and the arguments that come before all others.
    pub(super) fn target(&self, target: Target) -> anyhow::Result<(PathBuf, Vec<PathBuf>)> {
        let script = |folder: &Path| vec![folder.join("server.js")];
        Ok(match target {
            Target::Ours => (self.own.join("rooms-server"), Vec::new()),
            Target::Floor => (self.own.join("rooms-floor"), Vec::new()),
            Target::Tungstenite | Target::Socketioxide => {
                (self.peers.join(format!("{}-rooms", target.name())), Vec::new())
            }
            // Its program is called so on every system.
            Target::Bun => (self.bun.join("node_modules/bun/bin/bun.exe"), script(&self.bun)),
            Target::NodeWs => (program::find("node").context("node is not installed")?, script(&self.node)),
        })
    }

    /// The load program, on these processors.
    pub(super) fn load(&self, cpus: Option<&str>) -> Command {
        let load = self.own.join("rooms-load");
        let mut command = match cpus.zip(program::find("taskset")) {
            Some((cpus, taskset)) => {
                let mut command = Command::new(taskset);
                command.args(["-c", cpus]).arg(load);
                command
            }
            None => Command::new(load),
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}
