//! `cargo dev types`: TypeScript that is written from Rust types.

use anyhow::{Context, ensure};

use crate::cli::{say, workspace};

/// What `cargo dev types` takes: nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Options {}

struct Written {
    /// The file, below the workspace.
    file: &'static str,
    package: &'static str,
    /// The example that prints it.
    example: &'static str,
}

const WRITTEN: [Written; 2] = [
    Written { file: "ws-rooms/web/src/types.ts", package: "tramline-ws-rooms", example: "types" },
    Written { file: "examples/contracts/web/events.ts", package: "contracts", example: "event-types" },
];

/// Writes the files.
pub(super) async fn run(_: &Options) -> super::Outcome {
    for written in &WRITTEN {
        let text = written.text().await?;
        let path = workspace::root().join(written.file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", written.file))?;
        say(&format!("written  {}", written.file));
    }
    Ok(true)
}

/// Whether each file says what its types say.
pub(super) async fn current() -> anyhow::Result<bool> {
    let mut good = true;
    for written in &WRITTEN {
        let is = std::fs::read_to_string(workspace::root().join(written.file)).unwrap_or_default();
        let same = is == written.text().await?;
        let what = if same { "ok    " } else { "FAILED" };
        let advice = if same { "" } else { " is not what the Rust types say: run `cargo dev types`" };
        say(&format!("{what}  {}{advice}", written.file));
        good &= same;
    }
    Ok(good)
}

/// Whether the compiler takes what no browser package compiles. Theirs is used, so they are installed before.
pub(super) async fn compile() -> anyhow::Result<bool> {
    let mut tsc = tokio::process::Command::new(workspace::root().join("ws-rooms/web/node_modules/.bin/tsc"));
    tsc.args(["--ignoreConfig", "--noEmit", "--strict", "--types", ""]).current_dir(workspace::root());
    tsc.args(WRITTEN.iter().map(|written| written.file).filter(|file| !file.contains("/web/src/")));
    workspace::succeeds(tsc.kill_on_drop(true)).await
}

// === impl Written ===

impl Written {
    async fn text(&self) -> anyhow::Result<String> {
        let mut cargo = workspace::cargo(["run", "--quiet", "--features", "typescript"]);
        cargo.args(["-p", self.package, "--example", self.example]);
        let output =
            cargo.stderr(std::process::Stdio::inherit()).output().await.context("cannot run cargo")?;
        ensure!(output.status.success(), "the example {} ended with {}", self.example, output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}
