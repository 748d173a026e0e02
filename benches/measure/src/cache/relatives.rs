//! A program that starts itself again, and speaks with its children in lines.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// One of them. Killed when dropped.
pub(super) struct Child {
    _process: tokio::process::Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

/// The way back: what the parent says.
pub(super) struct Orders(Lines<BufReader<Stdin>>);

// === impl Child ===

impl Child {
    /// This program with its arguments, which knows that it is a child.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
        command.args(std::env::args_os().skip(1)).arg("--child");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start a child")?;
        let orders = process.stdin.take().context("no way to it")?;
        let words = BufReader::new(process.stdout.take().context("no way from it")?).lines();
        let mut child = Self { _process: process, orders, words };
        anyhow::ensure!(child.hear().await? == READY, "a child begins otherwise");
        Ok(child)
    }

    pub(super) async fn tell(&mut self, order: &str) -> anyhow::Result<()> {
        Ok(self.orders.write_all(format!("{order}\n").as_bytes()).await?)
    }

    pub(super) async fn hear(&mut self) -> anyhow::Result<String> {
        self.words.next_line().await?.context("a child ended")
    }
}

// === impl Orders ===

impl Orders {
    /// Tells the parent that this child is ready.
    pub(super) fn new() -> anyhow::Result<Self> {
        say(READY)?;
        Ok(Self(BufReader::new(tokio::io::stdin()).lines()))
    }

    /// The next one; none when the parent has no more.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.0.next_line().await?)
    }
}

/// What a child says to its parent.
pub(super) fn say(words: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{words}")?)
}

const READY: &str = "ready";
