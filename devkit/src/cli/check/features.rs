//! Each feature of the libraries alone, and none.

use anyhow::Context;
use serde_json::Value;

use crate::cli::{say, workspace};

/// Checks every library with no feature, then with each of its features alone.
///
/// What only exists for tests is left to the lints, which build everything.
pub(super) async fn check() -> anyhow::Result<bool> {
    let metadata = workspace::metadata().await?;
    let mut good = true;
    for package in libraries(&metadata)? {
        let name = package["name"].as_str().context("a package without name")?;
        let all = package["features"].as_object().context("a package without features")?;
        let alone = all.keys().filter(|feature| *feature != "default");
        for feature in std::iter::once(None).chain(alone.map(Some)) {
            // Clippy, since it denies warnings of our code without building what it depends on anew.
            let mut check =
                workspace::cargo(["clippy", "--quiet", "-p", name, "--lib", "--no-default-features"]);
            if let Some(feature) = feature {
                check.args(["--features", feature]);
            }
            check.args(["--", "-D", "warnings"]);
            let with = feature.map_or("no feature", String::as_str);
            if workspace::succeeds(&mut check).await? {
                say(&format!("ok      {name} with {with}"));
            } else {
                say(&format!("FAILED  {name} with {with}"));
                good = false;
            }
        }
    }
    Ok(good)
}

fn libraries(metadata: &Value) -> anyhow::Result<impl Iterator<Item = &Value>> {
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let ours = |package: &&Value| {
        workspace::LIBRARIES
            .iter()
            .any(|library| package["name"].as_str() == Some(&format!("tramline-{library}")))
    };
    Ok(packages.iter().filter(ours))
}
