//! What measurements of servers share: programs on processors, and what they tell.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::Server;

/// In µs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// Both sides of 10,000 proxied connections, and what else a program opens.
const OPEN_FILES: u64 = 65_536;

/// Starts a program on these processors; it is there when it takes connections on the first of its
/// ports.
pub(super) async fn start(
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    cpus: Option<&str>,
    ports: Vec<Port>,
    scratch: Scratch,
) -> anyhow::Result<Server> {
    let folder = scratch.path().to_owned();
    let program = match cpus.zip(program::find("taskset")) {
        // It becomes the program, which keeps its process id.
        Some((cpus, taskset)) => {
            let arguments = arguments.into_iter().map(Into::into);
            let all = ["-c".into(), cpus.into(), path.into_os_string()].into_iter().chain(arguments);
            Program::new(taskset, folder).args(all.collect::<Vec<std::ffi::OsString>>())
        }
        None => Program::new(path, folder).args(arguments),
    };
    let probe = |addr| async move { TcpStream::connect(addr).await.is_ok() };
    Server::start(name, vec![program], ports, scratch, probe).await
}

/// What a program prints; its own words when it fails.
pub(super) async fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let output = timeout(limit, command.output()).await.context("it hangs")?.context("cannot run it")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Many open files, for us, and so for all that we start. As an ordinary user, as many as we may.
pub(super) fn allow_files() {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, hard.max(OPEN_FILES)).is_err() {
        // What it is not enough for fails by itself, and says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
