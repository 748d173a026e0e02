//! What the four servers have in common.

pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;
pub(crate) mod redis;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use nix::sys::signal::Signal;
use tokio::time;

use crate::ports::Port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// RabbitMQ, the slowest, needs 3 s on an idle core, and ten times that while others compile.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A server that has not ended in good order by then is killed. The services drain for 20 s at most, then flush.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// How often a wait looks again, unless the server minds being asked.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

type Probe = Box<dyn Fn(SocketAddr) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A server: its programs, its ports, its folder. Ends when dropped.
pub(crate) struct Server {
    name: &'static str,
    /// The last one is the server itself; those before it must run for it.
    programs: Vec<Program>,
    /// The first one is where it serves.
    ports: Vec<Port>,
    probe: Probe,
    look_again: Duration,
    running: Mutex<Vec<Process>>,
    // ORDER: dropped after the processes, which write there.
    scratch: Scratch,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start<P, F>(
        name: &'static str,
        programs: Vec<Program>,
        ports: Vec<Port>,
        scratch: Scratch,
        probe: P,
    ) -> anyhow::Result<Self>
    where
        P: Fn(SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        let server = Self::new(name, programs, ports, scratch, probe);
        server.launch()?;
        server.ready(START_LIMIT).await?;
        Ok(server)
    }

    /// One that does not run yet.
    pub(crate) fn new<P, F>(
        name: &'static str,
        programs: Vec<Program>,
        ports: Vec<Port>,
        scratch: Scratch,
        probe: P,
    ) -> Self
    where
        P: Fn(SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        Self {
            name,
            programs,
            ports,
            probe: Box::new(move |addr| Box::pin(probe(addr))),
            look_again: LOOK_AGAIN,
            running: Mutex::new(Vec::new()),
            scratch,
        }
    }

    /// Asked less often while it starts.
    pub(crate) fn looking_every(mut self, pause: Duration) -> Self {
        self.look_again = pause;
        self
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.ports[0].addr()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The id of the server's own process group, if it runs.
    pub(crate) fn group(&self) -> Option<u32> {
        self.running().last().map(Process::id)
    }

    /// Ends everything in good order; returns how the server itself ended.
    pub(crate) async fn stop(&self) -> Option<ExitStatus> {
        let mut running = std::mem::take(&mut *self.running());
        let server = running.pop()?;
        let status = server.stop(STOP_LIMIT).await;
        while let Some(helper) = running.pop() {
            helper.stop(STOP_LIMIT).await;
        }
        status
    }

    pub(crate) fn kill(&self) {
        let mut running = std::mem::take(&mut *self.running());
        // The server first: a helper's absence must not be what it notices.
        while running.pop().is_some() {}
    }

    pub(crate) fn signal(&self, signal: Signal) {
        for process in self.running().iter() {
            process.signal_all(signal);
        }
    }

    pub(crate) async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        self.launch()?;
        self.ready(START_LIMIT).await
    }

    /// Starts the programs, without waiting for anything.
    pub(crate) fn launch(&self) -> anyhow::Result<()> {
        let mut running = self.running();
        running.clear();
        for program in &self.programs {
            running.push(program.spawn()?);
        }
        Ok(())
    }

    /// Waits until it answers. On failure it is killed.
    pub(crate) async fn ready(&self, limit: Duration) -> anyhow::Result<()> {
        let mut guard = KillUnlessReady { server: self, ready: false };
        let deadline = time::Instant::now() + limit;
        while !self.answers().await {
            if let Some(status) = self.exited() {
                bail!("{} ended with {status}:\n{}", self.name, self.last_words());
            }
            if time::Instant::now() >= deadline {
                bail!("{} is not ready after {limit:?}:\n{}", self.name, self.last_words());
            }
            time::sleep(self.look_again).await;
        }
        guard.ready = true;
        Ok(())
    }

    /// Whether it answers now.
    pub(crate) async fn answers(&self) -> bool {
        (self.probe)(self.addr()).await
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn exited(&self) -> Option<ExitStatus> {
        self.running().iter_mut().rev().find_map(Process::exited)
    }

    /// The end of its output, for a message.
    fn last_words(&self) -> String {
        let log = self.programs.last().map(|program| &program.log);
        let output = log.and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
        let tail = output.len().saturating_sub(4096);
        String::from_utf8_lossy(&output[tail..]).into_owned()
    }

    fn running(&self) -> MutexGuard<'_, Vec<Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A start that failed or was given up leaves nothing running.
struct KillUnlessReady<'a> {
    server: &'a Server,
    ready: bool,
}

impl Drop for KillUnlessReady<'_> {
    fn drop(&mut self) {
        if !self.ready {
            self.server.kill();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("addr", &self.addr())
            .field("running", &self.group())
            .finish_non_exhaustive()
    }
}

/// The methods that all handles share, written once.
macro_rules! server_methods {
    ($handle:ident) => {
        impl $handle {
            /// Where it listens. Stays the same over restarts.
            #[must_use]
            pub fn addr(&self) -> std::net::SocketAddr {
                self.server.addr()
            }

            /// Its folder: data, configuration and output.
            #[must_use]
            pub fn folder(&self) -> &std::path::Path {
                self.server.folder()
            }

            /// The id of its process group, while it runs.
            #[must_use]
            pub fn process_group(&self) -> Option<u32> {
                self.server.group()
            }

            /// Ends it in good order; data and port stay reserved for [`restart`](Self::restart).
            ///
            /// # Cancel safety
            ///
            /// If dropped, it is killed at once.
            pub async fn stop(&self) {
                self.server.stop().await;
            }

            /// Ends it as `kill -9` would: all its processes, at once. It is gone on return.
            pub async fn kill(&self) {
                self.server.kill();
            }

            /// Freezes it: connections stay open and nothing answers. Nothing happens if it is
            /// stopped.
            pub fn pause(&self) {
                self.server.signal(nix::sys::signal::Signal::SIGSTOP);
            }

            /// Lets it go on after [`pause`](Self::pause).
            pub fn resume(&self) {
                self.server.signal(nix::sys::signal::Signal::SIGCONT);
            }

            /// Stops it if it runs, starts it with the same data on the same port, and returns when
            /// it answers.
            ///
            /// # Errors
            ///
            /// If it does not come up; the message holds the end of its output.
            ///
            /// # Cancel safety
            ///
            /// If dropped, it is stopped.
            pub async fn restart(&self) -> anyhow::Result<()> {
                self.server.restart().await
            }
        }
    };
}
use server_methods;
