//! The two ways to have a system: all in this process, or five processes on real engines.

use std::sync::LazyLock;
use std::time::Duration;

use chassis::config::Vars;
use devkit::{System, engines};
use stack::{Options, Stack};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tramline_observability::telemetry::Guard;
use tramline_observability::{Telemetry, TelemetryConfig};

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Logs and traces of all systems of this process, which outlive each of them: those of the first that starts would end
/// with it, for the others too.
static TELEMETRY: LazyLock<Option<Guard>> =
    LazyLock::new(|| Telemetry::init(&TelemetryConfig::new("stack")).ok());

/// The system on embedded engines, in this process.
pub(crate) struct Embedded {
    pub(crate) url: String,
    stop: oneshot::Sender<()>,
    run: JoinHandle<std::process::ExitCode>,
}

impl Embedded {
    /// Starts it on free ports, with these variables.
    pub(crate) async fn start(vars: &[(&str, &str)]) -> anyhow::Result<Self> {
        chassis::run::install_crypto();
        LazyLock::force(&TELEMETRY);
        let vars = Vars::new(vars.iter().copied());
        let stack = Stack::bind(Options::ephemeral(&vars)?).await?;
        let url = format!("http://{}", stack.summary().ports.gateway);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let run = tokio::spawn(stack.run_until(
            move |_| {
                let _ = ready.send(());
            },
            async move {
                let _ = stopped.await;
            },
        ));
        tokio::time::timeout(LIMIT, is_ready).await??;
        Ok(Self { url, stop, run })
    }

    /// Drains it and checks that it ended well.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        let code = tokio::time::timeout(LIMIT, self.run).await??;
        anyhow::ensure!(format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS), "{code:?}");
        Ok(())
    }
}

/// Five processes on RabbitMQ, Redis and PostgreSQL; `None`, said aloud, where those are not installed.
pub(crate) async fn processes() -> anyhow::Result<Option<System>> {
    if engines::amqp().await.is_none()
        || engines::redis().await.is_none()
        || engines::postgres().await.is_none()
    {
        return Ok(None);
    }
    System::start().await.map(Some)
}

/// Asks until the answer is there: for what only a question can show. Bounded, and without a guess of how long.
pub(crate) async fn until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await? {
                return anyhow::Ok(answer);
            }
        }
    };
    tokio::time::timeout(LIMIT, asking).await.map_err(|_| anyhow::anyhow!("never: {what}"))?
}
