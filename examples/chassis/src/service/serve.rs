//! Serving one service, or several in one process.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tramline_observability::Lifecycle;
use tramline_observability::admin::{self, AdminConfig};
use tramline_observability::lifecycle::{DrainReport, Phase, TaskEnd};
use tramline_observability::metrics::MetricsHandle;
use tramline_streaming_proxy::server::ServerConfig;

use super::{Service, accept};

/// What [`serve`] serves with.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServeConfig {
    /// The HTTP listeners' settings: the defaults of the proxy library's server, but that a connection may be idle for
    /// 75 s, above the 60 s that nginx keeps an upstream connection, so that it is nginx that closes.
    pub accept: ServerConfig,
    /// The admin listener, and what its `/metrics` shows.
    pub admin: Option<(TcpListener, Option<MetricsHandle>)>,
    /// How long the drain may take.
    pub drain_timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self { accept: accept::config(), admin: None, drain_timeout: Duration::ZERO }
    }
}

/// How [`serve`] ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct End {
    /// What the drain did.
    pub report: DrainReport,
    /// The task that failed, when that was the reason to end.
    pub failed: Option<TaskEnd>,
}

/// Serves until `shutdown` completes, or a task of `lifecycle` ends that should not; then drains: readiness off,
/// listeners closed (in the order given: the gateway before the services that it asks), consumers, relays, sockets,
/// the rest.
pub async fn serve(
    services: Vec<(Service, TcpListener)>,
    config: ServeConfig,
    lifecycle: &Lifecycle,
    shutdown: impl Future<Output = ()> + Send,
) -> End {
    let healths: Vec<_> = services.iter().map(|(service, _)| service.health().clone()).collect();
    let draining = healths.clone();
    lifecycle.on(Phase::Ready, "readiness", move || async move {
        draining.iter().for_each(tramline_observability::Health::set_draining);
    });
    lifecycle.spawn(Phase::Accept, "http", move |stop| listen(services, config.accept, stop));
    if let Some((listener, metrics)) = config.admin {
        let mut admin = AdminConfig::default();
        admin.metrics = metrics;
        admin.healths = healths;
        lifecycle
            .spawn(Phase::Flush, "admin", move |stop| admin::serve(listener, admin, stop.cancelled_owned()));
    }
    let failed = tokio::select! {
        () = shutdown => None,
        end = lifecycle.ended_early() => {
            tracing::error!(task = end.name, "draining: a task is gone");
            Some(end)
        }
    };
    let report = lifecycle.drain(config.drain_timeout).await;
    tracing::info!(took = ?report.took, aborted = ?report.aborted, "drained");
    End { report, failed }
}

async fn listen(services: Vec<(Service, TcpListener)>, config: ServerConfig, stop: CancellationToken) {
    let each = services.into_iter().map(|(service, listener)| {
        let own = CancellationToken::new();
        let run = accept::run(listener, service.router(), config.clone(), own.clone().cancelled_owned());
        let handle: JoinHandle<()> = tokio::spawn(run);
        // When the drain's time is over, the listeners end with this task.
        (own, AbortOnDropHandle::new(handle))
    });
    let running: Vec<_> = each.collect();
    stop.cancelled().await;
    for (own, handle) in running {
        own.cancel();
        let _ = handle.await;
    }
}
