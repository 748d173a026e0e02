//! Where we are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The packages that other teams use.
pub(crate) const LIBRARIES: [&str; 6] =
    ["event-hub", "streaming-proxy", "ws-rooms", "cache", "session-sync", "observability"];

/// The folder of the workspace: the parent of ours.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that started us, or the one on `PATH`.
pub(crate) fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command in the workspace. It dies with its handle.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(args).current_dir(root()).stdin(Stdio::null()).kill_on_drop(true);
    for name in super::of_our_cargo() {
        command.env_remove(name);
    }
    command
}

/// Runs it with its output visible; whether it succeeded.
pub(crate) async fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let status = command.status().await.with_context(|| format!("cannot run {program}"))?;
    Ok(status.success())
}

/// What cargo knows of our packages.
pub(crate) async fn metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Where cargo builds.
pub(crate) async fn target_dir() -> anyhow::Result<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let metadata = metadata().await?;
    let folder = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    Ok(FOUND.get_or_init(|| PathBuf::from(folder)).clone())
}

/// The browser packages, `web/package.json` below a folder of ours, each with the name of the folder's Rust package.
/// Those of the examples stand last: they use the libraries' as they were built.
pub(crate) fn browser_packages() -> Vec<(String, PathBuf)> {
    let mut found = browser_packages_in(root(), "tramline-");
    found.extend(browser_packages_in(&root().join("examples"), ""));
    found
}

fn browser_packages_in(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (format!("{prefix}{}", entry.file_name().to_string_lossy()), entry.path().join("web")))
        .filter(|(_, folder)| folder.join("package.json").is_file())
        .collect();
    found.sort();
    found
}
