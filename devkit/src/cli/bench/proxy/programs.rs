//! The programs, built and installed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::bench::peers;
use crate::cli::bench::proxy::rows::Target;
use crate::cli::{install, say, workspace};
use crate::program;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// Cargo's release folder.
    own: PathBuf,
    peers: PathBuf,
    node: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// Installs and builds what these targets need, all of it but Debian's packages below the target folder.
    pub(super) async fn build(targets: &[Target]) -> anyhow::Result<Self> {
        let uses = |target| targets.contains(&target);
        let debian: Vec<&str> = targets.iter().filter_map(|target| target.needs()).collect();
        install::proxies(&debian).await?;
        say("── building our load programs and the example (release)");
        let mut load = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
        load.args(["--no-default-features", "--features", "proxy", "--bins"]);
        ensure!(workspace::succeeds(&mut load).await?, "our load programs do not build");
        if targets.iter().any(|target| target.routes().is_some()) {
            let mut full = workspace::cargo(["build", "--release", "--quiet", "-p", "benches"]);
            full.args(["--no-default-features", "--features", "proxy-full", "--bin", "proxy-full"]);
            ensure!(workspace::succeeds(&mut full).await?, "our proxy with everything on does not build");
        }
        if uses(Target::Ours) {
            let mut ours = workspace::cargo(["build", "--release", "--quiet"]);
            ours.args(["-p", "tramline-streaming-proxy", "--example", "forward"]);
            ensure!(workspace::succeeds(&mut ours).await?, "the example does not build");
        }
        let mut packages: Vec<&str> = targets.iter().filter_map(|target| target.package()).collect();
        packages.sort_unstable();
        packages.dedup();
        let mut programs = Self {
            own: workspace::target_dir().await?.join("release"),
            peers: PathBuf::new(),
            node: PathBuf::new(),
        };
        if !packages.is_empty() {
            programs.peers = peers::build(&packages).await?;
        }
        if uses(Target::NodeHttpProxy) {
            programs.node = peers::install_node("http-proxy", "node-http-proxy", "proxy.js").await?;
        }
        Ok(programs)
    }

    /// A target's program and the arguments that come before all others; nginx and HAProxy are Debian's.
    pub(super) fn target(&self, target: Target) -> anyhow::Result<(PathBuf, Vec<PathBuf>)> {
        let installed = |name| program::find(name).with_context(|| format!("{name} is not installed"));
        let path = match target {
            Target::Ours => self.own.join("examples").join("forward"),
            Target::OursFull | Target::OursTenThousand => self.own.join("proxy-full"),
            Target::Relay | Target::HyperOwn | Target::HyperLegacy => self.peers.join(target.name()),
            Target::AxumReverseProxy | Target::Pingora => self.peers.join(format!("{}-peer", target.name())),
            Target::Nginx | Target::Haproxy => installed(target.name())?,
            Target::NodeHttpProxy => return Ok((installed("node")?, vec![self.node.join("proxy.js")])),
        };
        Ok((path, Vec::new()))
    }

    pub(super) fn origin(&self) -> PathBuf {
        self.own.join("proxy-origin")
    }

    /// The load program, on these processors.
    pub(super) fn load(&self, cpus: Option<&str>) -> Command {
        let load = self.own.join("proxy-load");
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
