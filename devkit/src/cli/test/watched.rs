//! Runs a command, hands on its output by lines, and ends it when it hangs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time;

use crate::guardian;

/// Longer than the slowest single test or a compiler's silence over doctests; a test that says
/// nothing for so long waits for something that will not come.
const SILENCE: Duration = Duration::from_secs(600);

/// How it ended.
#[derive(Debug)]
pub(in crate::cli) enum Ended {
    Well,
    /// With this status.
    Badly(String),
}

/// Its standard output and error come as one stream, in their order.
pub(in crate::cli) async fn run(mut command: Command, mut line: impl FnMut(&str)) -> anyhow::Result<Ended> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer).stdin(Stdio::null()).process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.as_std().get_program().to_string_lossy()))?;
    // The command holds the writing end too, and would keep the pipe open.
    drop(command);
    let _group = match child.id() {
        Some(id) => Some(Group::new(id)?),
        None => None,
    };
    let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?;
    let mut lines = BufReader::new(reader).split(b'\n');
    loop {
        match time::timeout(SILENCE, lines.next_segment()).await {
            Ok(Ok(Some(bytes))) => line(String::from_utf8_lossy(&bytes).trim_end()),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Ok(Ended::Badly(format!("said nothing for {SILENCE:?}"))),
        }
    }
    let status = child.wait().await?;
    Ok(if status.success() { Ended::Well } else { Ended::Badly(status.to_string()) })
}

/// Cargo and the tests below it: killed together.
struct Group(u32);

impl Group {
    fn new(leader: u32) -> anyhow::Result<Self> {
        guardian::watch_group(leader)?;
        Ok(Self(leader))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(leader) = i32::try_from(self.0) {
            // None is left when all went well.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
        guardian::forget_group(self.0);
    }
}
