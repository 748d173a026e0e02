//! `cargo dev check`.

mod features;
mod full;
mod invariants;
mod tls;

use std::time::Duration;

use clap::ValueEnum;
use tokio::time;

use crate::cli::{fuzz, npm, say, types, workspace};

/// What `cargo dev check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Also what needs tools that are installed first: cargo-deny, cargo-hack, cargo-semver-checks
    #[arg(long)]
    full: bool,
    /// Only these: format, rules, lints, docs, features, browser, full
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    only: Vec<String>,
}

/// What was done, for the summary.
struct Done {
    step: &'static str,
    good: bool,
    took: Duration,
}

pub(super) async fn run(options: &Options) -> super::Outcome {
    let mut done = Vec::new();
    let wanted = |step: &str| options.only.is_empty() || options.only.iter().any(|only| only == step);

    if wanted("format") {
        step(&mut done, "format", format()).await?;
    }
    if wanted("rules") {
        step(&mut done, "rules", rules()).await?;
    }
    if wanted("lints") {
        step(&mut done, "lints", lints()).await?;
    }
    if wanted("docs") {
        step(&mut done, "docs", docs()).await?;
    }
    if wanted("features") {
        step(&mut done, "features", features::check()).await?;
    }
    if wanted("browser") && !workspace::browser_packages().is_empty() {
        step(&mut done, "browser", browser()).await?;
    }
    if options.full {
        step(&mut done, "full", full::check()).await?;
    }

    say("── checked");
    for Done { step, good, took } in &done {
        say(&format!("{}  {step:<9} {took:.1?}", if *good { "ok    " } else { "FAILED" }));
    }
    Ok(!done.is_empty() && done.iter().all(|done| done.good))
}

async fn step(
    done: &mut Vec<Done>,
    step: &'static str,
    work: impl Future<Output = anyhow::Result<bool>>,
) -> anyhow::Result<()> {
    say(&format!("── {step}"));
    let start = time::Instant::now();
    let good = work.await?;
    done.push(Done { step, good, took: start.elapsed() });
    Ok(())
}

async fn format() -> anyhow::Result<bool> {
    let mut good = workspace::succeeds(&mut workspace::cargo(["fmt", "--all", "--check"])).await?;
    for subject in fuzz::Subject::value_variants() {
        // A workspace of its own, whose path to ours `--all` would follow.
        let manifest = format!("{}/Cargo.toml", subject.folder());
        let mut fuzz = workspace::cargo(["fmt", "--check", "--manifest-path", &manifest]);
        good &= workspace::succeeds(&mut fuzz).await?;
    }
    Ok(good)
}

async fn rules() -> anyhow::Result<bool> {
    let findings = invariants::findings(workspace::root(), &workspace::metadata().await?);
    for finding in &findings {
        say(finding);
    }
    Ok(findings.is_empty())
}

async fn lints() -> anyhow::Result<bool> {
    let mut clippy = workspace::cargo(["clippy", "--workspace", "--all-targets", "--all-features"]);
    clippy.args(["--", "-D", "warnings"]);
    workspace::succeeds(&mut clippy).await
}

async fn docs() -> anyhow::Result<bool> {
    let mut doc = workspace::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    workspace::succeeds(&mut doc).await
}

/// Types that are written from Rust, then size and type checks of the browser packages, as each defines them.
async fn browser() -> anyhow::Result<bool> {
    let mut good = types::current().await?;
    for (_, folder) in workspace::browser_packages() {
        // Without what it needs a check would only say so in other words.
        good &= workspace::succeeds(&mut npm::install(&folder)).await?
            && workspace::succeeds(&mut npm::script(&folder, "check")).await?;
    }
    Ok(good && types::compile().await?)
}
