//! One run of one target.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::cli::bench::bed::{Percentiles, allow_files, output, start};
use crate::cli::bench::cpus::Cpus;
use crate::cli::bench::proxy::config;
use crate::cli::bench::proxy::programs::Programs;
use crate::cli::bench::proxy::rows::{Front, Load, Row, Target};
use crate::cli::bench::syscalls::Counter;
use crate::ports::Port;
use crate::scratch::Scratch;
use crate::server::Server;

/// What the load program tells; see the package `benches`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) answers: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) switches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resident_kib: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
    /// Of the pass that counts them, an answer; not of the load program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syscalls: Option<f64>,
}

/// The origin, and what is needed to put a target before it.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    programs: &'a Programs,
    /// What our example takes besides.
    ours: &'a [String],
    counter: Option<Counter>,
    /// Certificate and key of all.
    keys: Scratch,
    /// The origin on a processor beside a proxy of one thread, and one that goes where it likes.
    origins: [Server; 2],
}

/// Long enough for some thousand answers.
const COUNTED: &str = "0.5";

/// strace makes everything slower, not longer.
const COUNT_LIMIT: Duration = Duration::from_secs(30);

// === impl Bed ===

impl<'a> Bed<'a> {
    /// Starts the origins.
    pub(super) async fn start(programs: &'a Programs, ours: &'a [String]) -> anyhow::Result<Self> {
        allow_files();
        let origins = [
            origin(programs, Cpus::choose(1).load()).await?,
            origin(programs, Cpus::choose(2).load()).await?,
        ];
        let keys = Scratch::new("keys", None)?;
        let mut certify = programs.load(None);
        output(certify.arg("certificate").arg(keys.path()), COUNT_LIMIT).await.context("a certificate")?;
        Ok(Self { programs, ours, counter: Counter::find(), keys, origins })
    }

    /// Starts the target, looks at its header work, runs the row's load, counts system calls, and stops it.
    pub(super) async fn run(&self, row: &Row, target: Target, quick: bool) -> anyhow::Result<Report> {
        let cpus = Cpus::choose(row.threads);
        let origin = &self.origins[usize::from(row.threads > 1)];
        let server = self.target(target, row, &cpus, origin.addr()).await?;
        let process = server.group().context("it has ended")?;
        let routes = target.routes().filter(|_| row.load == Load::Routes).map(|routes| routes.to_string());
        let load = |arguments: &[&str]| {
            let mut command = self.programs.load(cpus.load());
            command.args(arguments).arg("--addr").arg(server.addr().to_string());
            if row.front.is_tls() {
                command.arg("--tls").arg(self.keys.path());
            }
            if row.front.is_http2() {
                command.arg("--http2");
            }
            if let Some(routes) = routes.as_ref().filter(|_| arguments.first() == Some(&"small")) {
                command.arg("--routes").arg(routes);
            }
            command.arg("--process").arg(process.to_string());
            command
        };
        if target.is_proxy() {
            output(&mut load(&["check"]), row.load.limit()).await.context("its header work")?;
        }
        let mut report = report(&mut load(row.load.arguments(quick)), row.load.limit()).await?;
        if let Some(counter) = self.counter.as_ref().filter(|_| row.load.is_small()) {
            let pass = load(&["small", "--warmup", "0", "--seconds", COUNTED]);
            let (counted, told) = counter.count(process, pass, COUNT_LIMIT).await.context("system calls")?;
            report.syscalls = Some(each(counted, parsed(&told)?.answers));
        }
        // Nothing is under way, and some take minutes to end in good order.
        server.kill();
        Ok(report)
    }

    async fn target(
        &self,
        target: Target,
        row: &Row,
        cpus: &Cpus,
        origin: SocketAddr,
    ) -> anyhow::Result<Server> {
        let (threads, connections) = (row.threads, row.load.connections());
        let keys = self.keys.path().to_string_lossy();
        let port = Port::reserve()?;
        let scratch = Scratch::new("proxy", None)?;
        let folder = scratch.path().to_string_lossy().into_owned();
        let (path, first) = self.programs.target(target)?;
        let mut arguments: Vec<String> = first.iter().map(|one| one.to_string_lossy().into_owned()).collect();
        let file = scratch.path().join("proxy.conf").to_string_lossy().into_owned();
        match target {
            Target::Nginx => {
                std::fs::write(
                    &file,
                    config::nginx(&folder, (port.addr(), origin), (threads, connections), (row.front, &keys)),
                )?;
                let error_log = format!("{folder}/error.log");
                arguments.extend(["-p", &folder, "-e", &error_log, "-c", &file].map(str::to_owned));
            }
            Target::Haproxy => {
                std::fs::write(
                    &file,
                    config::haproxy((port.addr(), origin), (threads, connections), (row.front, &keys)),
                )?;
                arguments.extend(["-db", "-f", &file].map(str::to_owned));
            }
            Target::NodeHttpProxy => arguments.extend([port.addr().to_string(), origin.to_string()]),
            Target::Ours => {
                arguments.extend([port.addr().to_string(), format!("http://{origin}")]);
                arguments.extend(["--threads".to_owned(), threads.to_string()]);
                if row.front == Front::Http2 {
                    arguments.push("--h2c".to_owned());
                }
                arguments.extend(self.ours.iter().cloned());
            }
            Target::OursFull | Target::OursTenThousand => {
                arguments.extend([port.addr().to_string(), origin.to_string()]);
                let routes = target.routes().unwrap_or_default();
                arguments.extend(["--routes".to_owned(), routes.to_string()]);
                if row.front.is_tls() {
                    arguments.extend(["--tls".to_owned(), keys.clone().into_owned()]);
                }
            }
            Target::Relay
            | Target::HyperOwn
            | Target::HyperLegacy
            | Target::AxumReverseProxy
            | Target::Pingora => {
                arguments.extend([port.addr().to_string(), origin.to_string()]);
                arguments.extend(["--threads".to_owned(), threads.to_string()]);
            }
        }
        start(target.name(), path, arguments, cpus.server(), vec![port], scratch).await
    }

    /// Whether system calls are counted.
    pub(super) fn counts(&self) -> bool {
        self.counter.is_some()
    }
}

async fn origin(programs: &Programs, cpus: Option<&str>) -> anyhow::Result<Server> {
    let port = Port::reserve()?;
    let arguments = vec![port.addr().to_string()];
    start("the origin", programs.origin(), arguments, cpus, vec![port], Scratch::new("origin", None)?).await
}

async fn report(command: &mut Command, limit: Duration) -> anyhow::Result<Report> {
    let report = parsed(&output(command, limit).await?)?;
    ensure!(report.cpu_ns.is_some_and(|ns| ns > 0), "the proxy used no time: another process than it");
    Ok(report)
}

fn parsed(output: &str) -> anyhow::Result<Report> {
    let last = output.lines().last().context("it told nothing")?;
    let report: Report = serde_json::from_str(last).with_context(|| format!("no report: {last}"))?;
    ensure!(report.answers > 0 && report.seconds > 0.0, "an empty report");
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
fn each(sum: u64, answers: u64) -> f64 {
    sum as f64 / answers as f64
}
