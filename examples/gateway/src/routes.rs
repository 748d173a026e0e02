//! The table of routes: the one that is built in, or a file that is watched.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::config::ConfigError;
use metrics::counter;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tramline_streaming_proxy::{Forwarder, Routes};

use crate::config::{Config, Upstreams};

/// Where the four services are, without a file of one's own.
const BUILT_IN: &str = include_str!("../routes.toml");

const RELOADS: &str = "gateway.routes.reloads";

/// How often the file is looked at. Watching by the kernel does not see what is mounted over a network.
const LOOK: Duration = Duration::from_secs(1);

/// A larger table is a mistake: ten thousand routes have about 1 MiB.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// A file that is read again on SIGHUP and when it changes.
pub(crate) struct Watch {
    path: PathBuf,
    upstreams: Upstreams,
    forwarder: Forwarder,
    /// What was read last, good or bad, or why it was not.
    last: Result<String, String>,
    hangup: Signal,
}

/// The table that `config` names.
pub(crate) fn load(config: &Config) -> Result<Routes, ConfigError> {
    match &config.routes_file {
        None => table(BUILT_IN, &config.upstreams).map_err(|fault| ConfigError::new("routes.toml", fault)),
        Some(path) => {
            let fault = |fault: &dyn std::fmt::Display| {
                ConfigError::new("ROUTES_FILE", format!("{}: {fault}", path.display()))
            };
            let text = read(path).map_err(|error| fault(&error))?;
            table(&text, &config.upstreams).map_err(|error| fault(&error))
        }
    }
}

fn table(
    text: &str,
    upstreams: &Upstreams,
) -> Result<Routes, tramline_streaming_proxy::route::config::TableError> {
    Routes::from_toml(text, |name| upstreams.by_variable(name).map(str::to_owned))
}

// === impl Watch ===

impl Watch {
    /// Of the file that `config` names, if it names one.
    pub(crate) fn new(config: &Config, forwarder: Forwarder) -> Result<Option<Self>, ConfigError> {
        let Some(path) = config.routes_file.clone() else { return Ok(None) };
        metrics::describe_counter!(RELOADS, "Tables of routes that were read again, by result");
        let hangup = signal(SignalKind::hangup()).map_err(|fault| ConfigError::new("ROUTES_FILE", fault))?;
        // The first look reads it once more, so that no change before it is missed.
        let last = Err(String::new());
        Ok(Some(Self { path, upstreams: config.upstreams.clone(), forwarder, last, hangup }))
    }

    /// Never ends.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = ticks.tick() => false,
            };
            let path = self.path.clone();
            let text = match tokio::task::spawn_blocking(move || read(&path)).await {
                Ok(text) => text.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            // What is the same is told once, unless someone asks.
            if asked || text != self.last {
                self.last = text;
                self.take();
            }
        }
    }

    fn take(&self) {
        let routes = match &self.last {
            Ok(text) => table(text, &self.upstreams).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        let result = match routes {
            Ok(routes) => {
                tracing::info!(path = %self.path.display(), routes = routes.iter().count(), "routes were read");
                self.forwarder.set_routes(routes);
                "ok"
            }
            Err(faults) => {
                for fault in faults.lines() {
                    tracing::error!(path = %self.path.display(), fault, "routes stay as they were");
                }
                "failed"
            }
        };
        counter!(RELOADS, "result" => result).increment(1);
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_SIZE { Err(io::Error::other("the file is too large")) } else { Ok(text) }
}
