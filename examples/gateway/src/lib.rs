//! The gateway: the one door. It proxies to the services, keeps the sockets, limits, and serves the front end.

mod config;
mod deps;
mod health;
mod http;
mod limits;
mod live;
mod page;
mod proxying;
mod routes;
mod sockets;

use std::time::Duration;

use chassis::Service;
use chassis::config::ConfigError;
use tramline_observability::lifecycle::Phase;

pub use crate::config::{Config, RateLimits, Upstreams};
pub use crate::deps::Deps;

use crate::health::SystemHealth;
use crate::limits::Limits;
use crate::live::Sampler;
use crate::routes::Watch;
use crate::sockets::{Engines, Sockets};

/// How long sockets may take to leave: each is told a moment of its own to come back at.
const SOCKETS_LEAVE: Duration = Duration::from_secs(5);

/// Builds the gateway; it is ready when its feeds and revocations are there.
///
/// # Errors
///
/// A variable that does not fit, named.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every service is built this way: it owns what it is built of"
)]
pub fn build(config: Config, deps: Deps) -> Result<Service, ConfigError> {
    let Deps { shell, cache, tickets, backplane, metrics } = deps;
    let auth = shell.auth()?;
    let limits = Limits::open(&config.rate_limits, shell.common(), auth.clone())?;
    let forwarder = proxying::forwarder(routes::load(&config)?, shell.common())?;
    let watch = Watch::new(&config, forwarder.clone())?;
    let sockets = Sockets::open(
        &config,
        &shell,
        &auth,
        Engines { tickets, cache: cache.clone(), backplane },
        forwarder.clone(),
    )?;

    let lifecycle = shell.lifecycle();
    sockets.bridge(&shell);
    let sampler = Sampler::new(sockets.rooms().clone(), shell.hub().clone(), metrics);
    lifecycle.spawn(Phase::Sockets, "system-live", move |stop| async move {
        stop.run_until_cancelled(sampler.run()).await;
    });
    let drained = sockets.rooms().clone();
    lifecycle.on(Phase::Sockets, "sockets", move || async move {
        drained.drain(SOCKETS_LEAVE).await;
    });
    if let Some(watch) = watch {
        lifecycle.spawn(Phase::Accept, "routes", move |stop| async move {
            stop.run_until_cancelled(watch.run()).await;
        });
    }
    shell.cache(&cache);

    let health = SystemHealth::new(shell.health().clone(), &config.upstreams);
    let state = http::State { proxy: proxying::answering(forwarder), sockets, health };
    Ok(shell.service_at_the_edge(http::router(state, limits, &config.origins)))
}
