//! A process of its own, from its arguments to its exit code.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tramline_observability::lifecycle::shutdown_signal;
use tramline_observability::metrics::{Recorder, RecorderConfig};
use tramline_observability::{Lifecycle, Telemetry, TelemetryConfig, telemetry};

use crate::config::{Common, ConfigError, EXIT_CONFIG, LogFormat, Process, Vars};
use crate::service::{ServeConfig, Service, serve};
use crate::shell::Shell;

/// The command-line switches of a process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Switches {
    /// `--check-config`: parse everything, say so, end.
    pub check_config: bool,
    /// `--demo-seed`: the three demo accounts.
    pub demo_seed: bool,
}

/// How long telemetry may take to flush, after everything else has ended.
const FLUSH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs a service as a process of its own: reads the configuration, builds the service, serves it until SIGTERM or
/// Ctrl-C, drains, and gives the exit code: 0 after a drain, 64 for a wrong configuration, 70 when a task failed, 1
/// for anything else.
///
/// `configure` reads the service's own variables; `build` opens engines and makes the service, inside the runtime.
/// No port is open before both have succeeded.
pub fn run<C>(
    process: &Process,
    args: impl IntoIterator<Item = String>,
    vars: impl IntoIterator<Item = (String, String)>,
    configure: impl FnOnce(&Vars, &Common) -> Result<C, ConfigError>,
    build: impl FnOnce(C, &Shell) -> Result<Service, ConfigError>,
) -> ExitCode {
    let vars = Vars::new(vars);
    let parsed = (|| {
        let switches = Switches::parse(args)?;
        let mut common = Common::from_vars(&vars, process)?;
        common.demo_seed = switches.demo_seed;
        Ok((switches, configure(&vars, &common)?, common))
    })();
    let (switches, config, common) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return wrong_config(process.name, &error),
    };
    if switches.check_config {
        say(format_args!("{}: the configuration is good", process.name));
        return ExitCode::SUCCESS;
    }
    install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(process.name, &error),
    };
    runtime.block_on(async {
        match live(common, config, build).await {
            Ok(code) => code,
            Err(Failure::Config(error)) => wrong_config(process.name, &error),
            Err(Failure::Other(error)) => failure(process.name, &*error),
        }
    })
}

/// Installs the process's TLS provider, once: more than one in a build is a panic at the first connection.
pub fn install_crypto() {
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The settings of telemetry that the shared variables name.
#[must_use]
pub fn telemetry_config(common: &Common, service_name: &str) -> TelemetryConfig {
    let mut config = TelemetryConfig::new(service_name);
    config.instance_id = Some(common.instance_id.clone());
    config.log_format = match common.log_format {
        LogFormat::Json => telemetry::LogFormat::Json,
        LogFormat::Pretty => telemetry::LogFormat::Pretty,
    };
    common.log_filter.clone_into(&mut config.filter);
    config.otlp_endpoint =
        common.otlp_endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    config
}

enum Failure {
    Config(ConfigError),
    Other(Box<dyn std::error::Error + Send + Sync>),
}

async fn live<C>(
    common: Common,
    config: C,
    build: impl FnOnce(C, &Shell) -> Result<Service, ConfigError>,
) -> Result<ExitCode, Failure> {
    // Listening before anything else: a signal that comes during the start drains, too.
    let signal = tokio::spawn(shutdown_signal());
    let guard = Telemetry::init(&telemetry_config(&common, common.name)).map_err(Failure::other)?;
    let metrics = Recorder::global(&RecorderConfig::default()).map_err(Failure::other)?;
    tell_what_is_not_built(&common);
    let lifecycle = Lifecycle::new();
    let hub = Shell::open_hub(&common).map_err(Failure::Config)?;
    let closed = hub.clone();
    lifecycle.on(tramline_observability::lifecycle::Phase::Flush, "hub", move || async move {
        closed.shutdown().await;
    });
    let (http, admin) = (common.http_addr, common.admin_addr);
    let drain_timeout = common.drain_timeout;
    let shell = Shell::new(common, hub, lifecycle.clone());
    let service = build(config, &shell).map_err(Failure::Config)?;

    let http = TcpListener::bind(http).await.map_err(Failure::other)?;
    let admin = TcpListener::bind(admin).await.map_err(Failure::other)?;
    tracing::info!(http = ?http.local_addr().ok(), admin = ?admin.local_addr().ok(), "listening");
    let serving =
        ServeConfig { admin: Some((admin, Some(metrics))), drain_timeout, ..ServeConfig::default() };
    let shutdown = async {
        match signal.await {
            Ok(Ok(name)) => tracing::info!(signal = name, "asked to end"),
            other => tracing::error!(?other, "signals cannot be heard"),
        }
    };
    let end = serve(vec![(service, http)], serving, &lifecycle, shutdown).await;
    guard.shutdown(FLUSH_TIMEOUT).await;
    // A drain that aborted someone is told in the log; the process ended as it was asked to.
    Ok(if end.failed.is_some() { ExitCode::from(70) } else { ExitCode::SUCCESS })
}

/// A variable that someone set and nothing obeys yet must not look obeyed.
fn tell_what_is_not_built(common: &Common) {
    if common.sentry_dsn.is_some() {
        tracing::warn!("SENTRY_DSN is set, but nothing is sent to Sentry yet");
    }
}

// === impl Failure ===

impl Failure {
    fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

// === impl Switches ===

impl Switches {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// One that is none of ours.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, ConfigError> {
        let mut switches = Self::default();
        for arg in args {
            match arg.as_str() {
                "--check-config" => switches.check_config = true,
                "--demo-seed" => switches.demo_seed = true,
                _ => {
                    return Err(ConfigError::new(
                        arg,
                        "is no switch; there are --check-config and --demo-seed",
                    ));
                }
            }
        }
        Ok(switches)
    }
}

/// Says what is wrong with the configuration, in one line on standard error, and gives exit code 64.
#[must_use]
#[expect(clippy::print_stderr, reason = "the contract: one line on standard error, before there is a log")]
pub fn wrong_config(name: &str, error: &ConfigError) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::from(EXIT_CONFIG)
}

#[expect(clippy::print_stdout, reason = "the answer to --check-config")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the log may not be there yet")]
fn failure(name: &str, error: &dyn std::error::Error) -> ExitCode {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        line.push_str(": ");
        line.push_str(&error.to_string());
        next = error.source();
    }
    eprintln!("{name}: {line}");
    ExitCode::FAILURE
}
