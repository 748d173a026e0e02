//! The steps of a browser package.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Install, build, test; each only where the package has it.
pub(super) fn steps(folder: &Path) -> Vec<Command> {
    let install: &[&str] = if folder.join("package-lock.json").is_file() {
        &["ci", "--no-audit", "--no-fund"]
    } else {
        &["install"]
    };
    [install, &["run", "build", "--if-present"], &["run", "test", "--if-present"]]
        .into_iter()
        .map(|args| {
            let mut npm = Command::new("npm");
            npm.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
            // A runner that watches for changes would never end.
            npm.env("CI", "true");
            npm
        })
        .collect()
}
