//! Who brings rustls brings what it needs.

use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::cli::{say, workspace};

/// Checks that a library with this feature alone has a TLS that works: elsewhere in the workspace somebody has it, and all
/// of us build with that. Whoever depends on the library alone panics at the first connection.
pub(super) async fn check(library: &str, feature: &str) -> anyhow::Result<bool> {
    let mut tree = workspace::cargo(["tree", "--edges", "normal", "--no-default-features", "-p", library]);
    tree.args(["--features", feature, "--prefix", "none", "--format", "{p} [{f}]"]);
    let output = tree.stderr(Stdio::inherit()).output().await.context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo tree ended with {}", output.status);
    let lacks = lacking(&String::from_utf8_lossy(&output.stdout));
    for lack in &lacks {
        say(&format!("{library}/{feature}: rustls comes without `{lack}`"));
    }
    Ok(lacks.is_empty())
}

/// A provider, and the version of TLS that many a server still has alone.
fn lacking(tree: &str) -> Vec<&'static str> {
    let Some(rustls) = tree.lines().find(|line| line.starts_with("rustls v")) else { return Vec::new() };
    let features = rustls.split_once('[').map_or("", |(_, features)| features).trim_end_matches([']', ' ']);
    ["ring", "tls12"].into_iter().filter(|needed| !features.split(',').any(|one| one == *needed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rustls_lacks_is_named() {
        assert_eq!(lacking("redis v1.8.1 [aio]\nrustls v0.23.46 [std]\nring v0.17.14 []"), ["ring", "tls12"]);
        assert_eq!(lacking("rustls v0.23.46 [ring,std]"), ["tls12"]);
        assert!(lacking("rustls v0.23.46 [ring,std,tls12]").is_empty());
        assert!(lacking("rustls-webpki v0.103.0 [std]").is_empty(), "it is not there");
    }
}
