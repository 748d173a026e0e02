//! A service as a process serves it: its router within all that every service's HTTP has.

mod accept;
mod layers;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::get;
use tramline_observability::{Health, Lifecycle};

use crate::problem::Problem;
use crate::shell::Shell;

pub use self::serve::{End, ServeConfig, serve};

/// A service that is built, and not served yet.
#[derive(Clone, Debug)]
pub struct Service {
    shell: Shell,
    router: Router,
    seeded: Seeded,
}

/// The question whether the demo accounts are in the service's own store; its answer stays yes.
#[derive(Clone, Default)]
struct Seeded(Arc<Mutex<Option<Question>>>);

type Question = Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, bool> + Send + Sync>;

// === impl Service ===

impl Service {
    pub(crate) fn new(shell: &Shell, router: Router, health: bool) -> Self {
        let seeded = Seeded::default();
        let router = if health {
            let (state, seeded) = (shell.health().clone(), seeded.clone());
            router.route("/health", get(async move || answer(&state, &seeded).await))
        } else {
            router
        };
        Self { shell: shell.clone(), router: layers::wrap(shell, router), seeded }
    }

    /// With the demo seed, `GET /health` is 200 only once `seeded` says that the three accounts are there.
    #[must_use]
    pub fn when_seeded<F>(self, seeded: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        if self.shell.common().demo_seed {
            let question: Question = Arc::new(move || Box::pin(seeded()));
            *self.seeded.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(question);
        }
        self
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shell.common().name
    }

    /// The router as it is served; tests send requests into it without a port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Its health.
    #[must_use]
    pub fn health(&self) -> &Health {
        self.shell.health()
    }

    /// Whether it is ready and, with the demo seed, has the accounts: what `GET /health` says.
    pub async fn is_well(&self) -> bool {
        self.health().ready().await.is_ready() && self.seeded.holds().await
    }

    /// The life of the process that it is in.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        self.shell.lifecycle()
    }

    /// Its shell.
    #[must_use]
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// Where the configuration says that it is served.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.shell.common().http_addr
    }
}

// === impl Seeded ===

impl Seeded {
    async fn holds(&self) -> bool {
        let question = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(question) = question else { return true };
        let holds = question().await;
        if holds {
            // Accounts do not go away by themselves: from now on it costs nothing.
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        holds
    }
}

impl std::fmt::Debug for Seeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seeded")
    }
}

async fn answer(health: &Health, seeded: &Seeded) -> Result<axum::Json<serde_json::Value>, Problem> {
    if !health.ready().await.is_ready() {
        return Err(Problem::unavailable("the service is not ready"));
    }
    if !seeded.holds().await {
        return Err(Problem::unavailable("the demo accounts are not here yet"));
    }
    Ok(axum::Json(serde_json::json!({ "status": "ok", "service": health.service() })))
}

#[cfg(test)]
mod tests;
