//! The auth service: accounts, sessions, and the keys that sign what the others trust.

mod account;
mod activity;
mod config;
mod create_admin;
mod demo;
mod deps;
mod http;
mod issuer;
mod journal;
mod store;

use std::time::Duration;

use chassis::auth::{Keys, Snapshot};
use chassis::cache::forgetting;
use chassis::config::ConfigError;
use chassis::{Service, Shell};
use tramline_observability::lifecycle::Phase;
use tramline_session_sync::password::{PasswordConfig, Passwords};
use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig};

pub use crate::config::Config;
pub use crate::create_admin::create_admin;
pub use crate::deps::Deps;

use crate::issuer::Issuer;
use crate::store::Store;

/// Expired sessions are told of within this.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The policy's name in headers and in Redis; the gateway's, per address, is `refresh`.
const RENEWALS: &str = "refresh-session";

/// Builds the service; it starts to work at once and is ready when its database and hub are.
///
/// # Errors
///
/// A variable that does not fit, named.
pub fn build(config: Config, deps: Deps) -> Result<Service, ConfigError> {
    let Deps { shell, db, attempts, tickets, cache } = deps;
    let issuer = Issuer::new(db.clone(), config.key_file);
    let (keys, snapshot) = (issuer.clone(), issuer.clone());
    let auth = shell.auth_with(
        Keys::fetch(move || {
            let issuer = keys.clone();
            async move { Ok(issuer.sessions()?.keys().jwks().await) }
        }),
        Snapshot::new(move || {
            let issuer = snapshot.clone();
            async move { Ok(issuer.sessions()?.revoked_snapshot().await?) }
        }),
    )?;
    let opened = issuer.clone();
    shell.database_with(&db, move || {
        let issuer = opened.clone();
        async move { issuer.open().await }
    });

    shell.cache(&cache);
    let store = Store::new(db, &cache).map_err(|fault| ConfigError::new("REDIS_URL", fault))?;
    let handled = store.clone();
    let handler = forgetting(store.clone(), move |event, cx| activity::handle(handled.clone(), event, cx));
    shell.consume(contracts::AUTH_QUEUE, Shell::consumer_config("auth"), handler);
    let swept = issuer.clone();
    let lifecycle = shell.lifecycle();
    let started = shell.clone();
    lifecycle.spawn(Phase::Consumers, "session-sweep", move |stop| async move {
        if started.started(&stop).await
            && let Ok(sessions) = swept.sessions()
        {
            sessions.run_sweeps(SWEEP_EVERY, stop.cancelled()).await;
        }
    });
    let forgotten = store.clone();
    lifecycle.spawn(Phase::Consumers, "activity-retention", move |stop| async move {
        stop.run_until_cancelled(activity::forget_old(forgotten)).await;
    });

    let passwords = Passwords::new(&PasswordConfig::default());
    let (started, warmed, verifier) = (shell.clone(), passwords.clone(), auth.verifier().clone());
    lifecycle.spawn(Phase::Consumers, "warm-up", move |stop| async move {
        // The first unknown e-mail must not take longer than the others, nor the first token find no key.
        if started.started(&stop).await {
            if let Err(error) = warmed.warm().await {
                tracing::warn!(%error, "the first unknown e-mail will take longer than the others");
            }
            if let Err(error) = verifier.warm().await {
                tracing::warn!(%error, "the keys come with the first token");
            }
        }
        stop.cancelled().await;
    });
    if shell.common().demo_seed {
        demo::spawn(&shell, store.clone(), passwords.clone());
    }
    let seeded = store.clone();
    let renewals = match &shell.common().redis_url {
        Some(url) => Limiter::redis(url.expose(), RENEWALS, config.rate_limit, LimiterConfig::default())
            .map_err(|fault| ConfigError::new("REDIS_URL", fault))?,
        None => Limiter::memory(RENEWALS, config.rate_limit, LimiterConfig::default()),
    };
    let origins = config.origins;
    let state = http::State { store, issuer, auth, passwords, attempts, tickets, origins, renewals };
    Ok(shell.service(http::router(state)).when_seeded(move || {
        let store = seeded.clone();
        async move { store.knows_demo_accounts().await }
    }))
}
