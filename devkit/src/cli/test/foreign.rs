//! Installs what the clients in other languages need, by name and version, below the target folder where that
//! can be.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::cli::{say, workspace};
use crate::{foreign, program};

/// The variables that name the programs to the tests.
pub(super) async fn install() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let scripts = workspace::root().join("event-hub/tests/foreign");
    let folder = workspace::target_dir().await?.join("foreign");
    std::fs::create_dir_all(&folder)?;
    let python = python(&scripts.join("python"), &folder).await.context("the Python clients")?;
    let node = node(&scripts.join("node"), &folder).await.context("the Node clients")?;
    Ok(vec![(foreign::PYTHON, python), (foreign::NODE, node)])
}

/// An environment of its own: the system's is not ours to fill, and Debian's refuses.
async fn python(scripts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join("python");
    let python = home.join("bin/python");
    let wanted = std::fs::read_to_string(scripts.join("requirements.txt"))?;
    let stamp = Stamp { file: folder.join("python.installed"), wanted };
    if python.is_file() && stamp.is_current() {
        return Ok(python);
    }
    say("installing the Python clients");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    let system = program::find("python3").context("no python3")?;
    run(Command::new(system).args(["-m", "venv"]).arg(&home)).await?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
    run(Command::new(&python).args(pip).current_dir(scripts)).await?;
    stamp.set()?;
    Ok(python)
}

/// In place, as the browser packages: a module is looked for beside the script that asks for it.
async fn node(scripts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let node = program::find("node").context("no node")?;
    let wanted = std::fs::read_to_string(scripts.join("package-lock.json"))?;
    let stamp = Stamp { file: folder.join("node.installed"), wanted };
    if scripts.join("node_modules").is_dir() && stamp.is_current() {
        return Ok(node);
    }
    say("installing the Node clients");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(scripts)).await?;
    stamp.set()?;
    Ok(node)
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let what = format!("{:?}", command.as_std());
    let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    let status = status.with_context(|| format!("cannot run {what}"))?;
    ensure!(status.success(), "{what} ended with {status}");
    Ok(())
}

/// What was installed last, so that nothing is asked of a registry again.
struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    fn is_current(&self) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|is| is == self.wanted)
    }

    fn set(&self) -> anyhow::Result<()> {
        std::fs::write(&self.file, &self.wanted)?;
        Ok(())
    }
}
