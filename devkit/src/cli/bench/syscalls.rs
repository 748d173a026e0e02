//! How many system calls a server makes, counted from outside in a pass of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::bench::bed::output;
use crate::process::descendants;
use crate::program;
use crate::scratch::Scratch;

/// What counts. perf costs the server a few percent and strace most of its speed, but both count the same.
#[derive(Clone, Debug)]
pub(super) enum Counter {
    Perf(PathBuf),
    Strace(PathBuf),
}

const EVENT: &str = "raw_syscalls:sys_enter";

// === impl Counter ===

impl Counter {
    /// The one that is there and may count.
    pub(super) fn find() -> Option<Self> {
        let perf = program::find("perf").filter(|perf| {
            let mut trial = std::process::Command::new(perf);
            trial.args(["stat", "-x,", "-e", EVENT, "true"]);
            trial.output().is_ok_and(|output| {
                output.status.success() && first_number(&String::from_utf8_lossy(&output.stderr)).is_some()
            })
        });
        perf.map(Self::Perf).or_else(|| program::find("strace").map(Self::Strace))
    }

    /// The calls that a process and those below it make while `pass` runs, and what `pass` tells.
    pub(super) async fn count(
        &self,
        process: u32,
        pass: Command,
        limit: Duration,
    ) -> anyhow::Result<(u64, String)> {
        let mut processes = vec![process];
        processes.extend(descendants(process));
        let scratch = Scratch::new("count", None)?;
        let file = scratch.path().join("count");
        let told = match self {
            Self::Perf(perf) => {
                let mut command = Command::new(perf);
                let list: Vec<String> = processes.iter().map(u32::to_string).collect();
                command.args(["stat", "-x,", "-e", EVENT, "-p", &list.join(","), "-o"]).arg(&file).arg("--");
                command.arg(pass.as_std().get_program()).args(pass.as_std().get_args());
                output(command.stdin(Stdio::null()).kill_on_drop(true), limit).await?
            }
            Self::Strace(strace) => {
                let mut command = Command::new(strace);
                command.args(["-f", "-c", "-o"]).arg(&file);
                for process in &processes {
                    command.arg("-p").arg(process.to_string());
                }
                traced(command, processes.len(), pass, limit).await?
            }
        };
        let text = std::fs::read_to_string(&file).context("no count")?;
        let counted = match self {
            Self::Perf(_) => first_number(&text),
            Self::Strace(_) => total(&text),
        };
        Ok((counted.with_context(|| format!("no count in: {text}"))?, told))
    }
}

/// Runs `pass` while strace is attached to so many processes.
async fn traced(
    mut strace: Command,
    processes: usize,
    mut pass: Command,
    limit: Duration,
) -> anyhow::Result<String> {
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = strace.spawn().context("strace")?;
    let mut lines = BufReader::new(child.stderr.take().context("strace's words")?).lines();
    let attached = async {
        for _ in 0..processes {
            match lines.next_line().await? {
                Some(line) if line.contains("attached") => {}
                other => bail!("strace is not attached: {}", other.unwrap_or_default()),
            }
        }
        Ok(())
    };
    timeout(limit, attached).await.context("strace hangs")??;
    let told = output(&mut pass, limit).await;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).context("strace has ended")?;
    // It detaches and writes its table.
    signal::kill(Pid::from_raw(id), Signal::SIGINT)?;
    let words = async { while let Ok(Some(_)) = lines.next_line().await {} };
    let (ended, ()) =
        timeout(limit, async { tokio::join!(child.wait(), words) }).await.context("strace hangs")?;
    ensure!(ended.is_ok(), "strace cannot be waited for");
    told
}

/// perf's table: `COUNT,,EVENT,…`, after lines that are none.
fn first_number(text: &str) -> Option<u64> {
    text.lines().find(|line| line.contains(EVENT))?.split(',').next()?.parse().ok()
}

/// strace's table ends with its sums: `100.00  SECONDS  USECS/CALL  CALLS  [ERRORS]  total`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read() {
        let perf = "# started on a day\n\n45678,,raw_syscalls:sys_enter,1002003,100.00,,\n";
        assert_eq!(first_number(perf), Some(45678));
        assert_eq!(first_number("<not counted>,,raw_syscalls:sys_enter,0,100.00,,"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      60.00    0.600000           3    200000           writev\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    1.000000           2    401234        12 total\n";
        assert_eq!(total(strace), Some(401_234));
    }
}
