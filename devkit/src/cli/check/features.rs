//! Each feature of the libraries alone, and none.

use anyhow::Context;
use serde_json::Value;

use crate::cli::check::tls;
use crate::cli::{say, workspace};

/// A library and its features.
struct Library {
    name: String,
    features: Vec<String>,
}

/// Checks every library with no feature, then with each of its features alone.
///
/// In rounds, each with one feature of every library that has one left: what they depend on is then
/// built a few times instead of once for each feature. `cargo hack`, in `--full`, does without that
/// saving. What only exists for tests is left to the lints, which build everything.
pub(super) async fn check() -> anyhow::Result<bool> {
    let libraries = libraries(&workspace::metadata().await?)?;
    let mut good = true;
    for library in &libraries {
        for feature in &library.features {
            good &= tls::check(&library.name, feature).await?;
        }
    }
    good &= round(&libraries.iter().map(|library| (library, None)).collect::<Vec<_>>()).await?;
    for turn in 0.. {
        let next: Vec<(&Library, Option<&str>)> = libraries
            .iter()
            .filter_map(|library| Some((library, Some(library.features.get(turn)?.as_str()))))
            .collect();
        if next.is_empty() {
            break;
        }
        good &= round(&next).await?;
    }
    Ok(good)
}

async fn round(members: &[(&Library, Option<&str>)]) -> anyhow::Result<bool> {
    // Clippy, since it denies warnings of our code without building what it depends on anew.
    let mut check = workspace::cargo(["clippy", "--quiet", "--keep-going", "--lib", "--no-default-features"]);
    let mut what = Vec::new();
    for (library, feature) in members {
        check.args(["-p", &library.name]);
        match feature {
            Some(feature) => {
                check.arg("--features").arg(format!("{}/{feature}", library.name));
                what.push(format!("{}/{feature}", library.name));
            }
            None => what.push(library.name.clone()),
        }
    }
    check.args(["--", "-D", "warnings"]);
    let good = workspace::succeeds(&mut check).await?;
    say(&format!("{}  {}", if good { "ok    " } else { "FAILED" }, what.join(" ")));
    Ok(good)
}

fn libraries(metadata: &Value) -> anyhow::Result<Vec<Library>> {
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let mut libraries = Vec::new();
    for library in workspace::LIBRARIES {
        let name = format!("tramline-{library}");
        let package = packages
            .iter()
            .find(|package| package["name"].as_str() == Some(&name))
            .with_context(|| format!("{name} is not in the workspace"))?;
        let features = package["features"].as_object().context("a package without features")?;
        let features = features.keys().filter(|feature| *feature != "default").cloned().collect();
        libraries.push(Library { name, features });
    }
    Ok(libraries)
}
