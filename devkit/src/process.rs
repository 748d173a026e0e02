//! A process group that ends with its handle.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time;

use crate::guardian;

/// How often a wait looks again. Short, since tests wait for it; a look costs microseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A killed process is gone within milliseconds; one that is not after 2 s hangs in the kernel.
const GONE_LOOKS: u32 = 400;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The whole environment; nothing is inherited but `PATH`, `LANG` and `TMPDIR`.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) folder: PathBuf,
    /// Receives standard output and error, appended.
    pub(crate) log: PathBuf,
    /// Whom to run as, when that is not us.
    pub(crate) user: Option<User>,
    /// What asks it to end in good order.
    pub(crate) stop_signal: Signal,
}

/// Another user's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A running process group, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    leader: Child,
    stop_signal: Signal,
}

// === impl Program ===

impl Program {
    pub(crate) fn new(path: PathBuf, folder: PathBuf) -> Self {
        let log = folder.join("output.log");
        Self {
            path,
            args: Vec::new(),
            env: Vec::new(),
            folder,
            log,
            user: None,
            stop_signal: Signal::SIGTERM,
        }
    }

    pub(crate) fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it as the leader of a process group of its own.
    pub(crate) fn spawn(&self) -> anyhow::Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        // ORDER: the shell waits for a line before it becomes the program, and the line is sent
        // after the guardian knows the group. If we die in between, the shell reads the end of the
        // pipe and leaves: at no moment can a server be left alone.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"read -r go && exec "$0" "$@" </dev/null"#])
            .arg(&self.path)
            .args(&self.args)
            .env_clear()
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        for name in ["PATH", "LANG", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let leader = command.spawn().with_context(|| format!("cannot start {}", self.path.display()))?;
        let mut process = Process { leader, stop_signal: self.stop_signal };
        guardian::watch_group(process.id()).context("the guardian is gone")?;
        if let Some(mut gate) = process.leader.stdin.take() {
            gate.write_all(b"go\n").with_context(|| format!("{} ended at once", self.path.display()))?;
        }
        Ok(process)
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.leader.id()
    }

    /// Its exit status, once it has one.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.leader.try_wait().ok().flatten()
    }

    /// Waits until it has ended, for as long as `limit`.
    pub(crate) async fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = time::Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if time::Instant::now() >= deadline {
                return None;
            }
            time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks the leader to end, waits for `limit`, then kills the group.
    pub(crate) async fn stop(mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal_all(Signal::SIGCONT);
        self.signal(self.stop_signal);
        self.ended_within(limit).await
        // Dropping it kills what is left of the group.
    }

    /// Sends a signal to the leader alone.
    pub(crate) fn signal(&self, signal: Signal) {
        // It fails only when the process is gone already, which every caller accepts.
        let _ = signal::kill(pid(self.id()), signal);
    }

    /// Sends a signal to the group, and to descendants that left it.
    ///
    /// PostgreSQL's backends are sessions of their own, so the group is not enough.
    pub(crate) fn signal_all(&self, signal: Signal) {
        let descendants = descendants(self.id());
        let _ = signal::killpg(pid(self.id()), signal);
        for descendant in descendants {
            let _ = signal::kill(pid(descendant), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let descendants = descendants(self.id());
        self.signal_all(Signal::SIGKILL);
        // Reaped, so that the port and the files are free when this returns.
        let _ = self.leader.wait();
        for _ in 0..GONE_LOOKS {
            if !descendants.iter().any(|&one| lives(one)) {
                break;
            }
            nap();
        }
        guardian::forget_group(self.id());
    }
}

#[expect(clippy::disallowed_methods, reason = "a destructor cannot await; at most 2 s in total")]
fn nap() {
    std::thread::sleep(Duration::from_millis(5));
}

fn pid(id: u32) -> Pid {
    // Process ids fit: the kernel's type is `i32`.
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

/// Whether the process runs. One that ended and waits for its parent to notice does not.
fn lives(id: u32) -> bool {
    stat(id).is_some_and(|stat| stat.state != 'Z')
}

/// All processes below `root`; none where there is no `/proc`.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: Vec<(u32, u32)> = entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, stat(id)?.parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}

struct Stat {
    state: char,
    parent: u32,
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // `pid (name) state ppid …`; the name may hold anything, so count from its end.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}
