//! The checks that need tools of their own.

use std::path::Path;

use crate::cli::{say, workspace};
use crate::program;

/// What each of them looks at, beside the sources: licences, sources and double versions of what we
/// depend on.
const DENY_CONFIG: &str = "devkit/deny.toml";

pub(super) async fn check() -> anyhow::Result<bool> {
    for tool in ["cargo-deny", "cargo-hack", "cargo-semver-checks"] {
        if !installed(tool) {
            say(&format!("installing {tool}"));
            let mut install = workspace::cargo(["install", "--locked", tool]);
            if !workspace::succeeds(&mut install).await? {
                say(&format!("FAILED  cannot install {tool}"));
                return Ok(false);
            }
        }
    }
    let mut good = true;
    good &= told("cargo deny", &["deny", "--config", DENY_CONFIG, "check"]).await?;
    let hack = ["hack", "check", "--workspace", "--each-feature", "--no-dev-deps"];
    good &= told("cargo hack", &hack).await?;
    // Compared with the last release; before the first there is nothing to break.
    match last_release().await? {
        Some(tag) => {
            let semver = ["semver-checks", "--workspace", "--baseline-rev", tag.as_str()];
            good &= told("cargo semver-checks", &semver).await?;
        }
        None => say("no release yet to compare the public surface with"),
    }
    Ok(good)
}

async fn told(name: &str, args: &[&str]) -> anyhow::Result<bool> {
    let good = workspace::succeeds(&mut workspace::cargo(args.iter().copied())).await?;
    say(&format!("{}  {name}", if good { "ok    " } else { "FAILED" }));
    Ok(good)
}

fn installed(tool: &str) -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME");
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    program::find(tool).is_some()
        || cargo_home
            .map(Into::into)
            .or(home)
            .is_some_and(|folder: std::path::PathBuf| folder.join("bin").join(tool).is_file())
}

async fn last_release() -> anyhow::Result<Option<String>> {
    let output = tokio::process::Command::new("git")
        .args(["describe", "--tags", "--abbrev=0", "--match", "v*"])
        .current_dir(workspace::root())
        .output()
        .await?;
    let tag = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !tag.is_empty()).then_some(tag))
}
