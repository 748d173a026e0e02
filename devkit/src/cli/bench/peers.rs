//! The programs of the others, built and installed below the target folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::{say, workspace};
use crate::program;

/// Builds these packages of the peers' workspace, and no other; where their programs are.
pub(super) async fn build(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let target = workspace::target_dir().await?.join("bench-peers");
    say("── building the peers (release, a workspace of their own)");
    let mut build = workspace::cargo(["build", "--release", "--quiet", "--locked"]);
    build.arg("--manifest-path").arg(folder().join("Cargo.toml")).arg("--target-dir").arg(&target);
    for package in packages {
        build.args(["-p", package]);
    }
    ensure!(workspace::succeeds(&mut build).await?, "the peers do not build");
    Ok(target.join("release"))
}

/// Installs what the folder of a peer in JavaScript names; where it can be run.
pub(super) async fn install_node(package: &str, from: &str, program: &str) -> anyhow::Result<PathBuf> {
    say(&format!("── installing {package}"));
    let npm = program::find("npm")
        .with_context(|| format!("npm is not installed: leave {package} out with --clients"))?;
    let to = foreign().await?.join(from);
    std::fs::create_dir_all(&to)?;
    for file in ["package.json", "package-lock.json", program] {
        let from = folder().join(from).join(file);
        std::fs::copy(&from, to.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let mut install = Command::new(npm);
    install.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&to).kill_on_drop(true);
    ensure!(workspace::succeeds(&mut install).await?, "npm ci failed");
    Ok(to)
}

/// Where the packages of the other languages are installed.
pub(super) async fn foreign() -> anyhow::Result<PathBuf> {
    Ok(workspace::target_dir().await?.join("bench-foreign"))
}

/// Where their sources are.
pub(super) fn folder() -> PathBuf {
    Path::new(workspace::root()).join("benches").join("peers")
}
