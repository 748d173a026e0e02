//! The steps of a browser package.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Installs what its lock file names, and nothing else where there is one.
pub(super) fn install(folder: &Path) -> Command {
    let locked = folder.join("package-lock.json").is_file();
    let mut npm = npm(folder);
    npm.args([if locked { "ci" } else { "install" }, "--no-audit", "--no-fund"]);
    npm
}

/// Runs one of its scripts, if it has it.
pub(super) fn script(folder: &Path, name: &str) -> Command {
    let mut npm = npm(folder);
    npm.args(["run", name, "--if-present"]);
    npm
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    // A runner that watches for changes would never end.
    npm.env("CI", "true");
    npm
}
