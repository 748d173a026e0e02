//! How a service gets its verifier: keys, revocations, and the feed that keeps them current.

use std::sync::Arc;

use tramline_observability::health::Need;
use tramline_session_sync::revocation::{RevocationEntry, RevocationsConfig};
use tramline_session_sync::{BoxError, Jwks, KeySource, Revocations, Verifier, VerifierConfig};
use url::Url;

use super::Auth;
use crate::config::ConfigError;
use crate::http_client::JsonClient;
use crate::revocations::{self, RevocationSnapshot};
use crate::shell::Shell;

/// Where public keys come from.
pub type Keys = KeySource;

/// Gives the revocations that are in force, from where sessions live.
#[derive(Clone)]
pub struct Snapshot(Arc<Fetch>);

type Fetch = dyn Fn() -> futures_util::future::BoxFuture<'static, Result<Vec<RevocationEntry>, BoxError>>
    + Send
    + Sync;

// === impl Shell ===

impl Shell {
    /// Checks tokens with the keys at `JWKS_URL` and the revocations beside it.
    ///
    /// Call it once, before [`Shell::service`]: the extractors find it from then on. What
    /// [`use_auth`](Self::use_auth) gave before is kept.
    ///
    /// # Errors
    ///
    /// `JWKS_URL` is missing or cannot have a sibling, or `REDIS_URL` does not parse.
    pub fn auth(&self) -> Result<Auth, ConfigError> {
        if let Some(auth) = self.auth_handle() {
            return Ok(auth);
        }
        let jwks_url = self.common().jwks_url.clone().ok_or_else(|| ConfigError::missing("JWKS_URL"))?;
        let snapshot_url = jwks_url.join("revocations").map_err(|e| ConfigError::new("JWKS_URL", e))?;
        let client = JsonClient::new();
        self.auth_with(
            Keys::fetch(fetch_keys(client.clone(), jwks_url)),
            Snapshot::fetched(client, snapshot_url),
        )
    }

    /// Like [`auth`](Self::auth), for the process that has the keys and sessions itself.
    ///
    /// # Errors
    ///
    /// `REDIS_URL` does not parse.
    pub fn auth_with(&self, keys: Keys, snapshot: Snapshot) -> Result<Auth, ConfigError> {
        let config = RevocationsConfig::default();
        let revocations = match &self.common().redis_url {
            Some(url) => {
                Revocations::redis(url.expose(), config).map_err(|e| ConfigError::new("REDIS_URL", e))?
            }
            None => Revocations::memory(config),
        };
        let auth = Auth::new(Verifier::new(VerifierConfig::default(), keys, revocations));
        revocations::keep(self, &auth, snapshot);
        let verifier = auth.verifier().clone();
        // Optional: the keys come with the first token that needs them.
        self.health().check("keys", Need::Optional, move || {
            let verifier = verifier.clone();
            async move { if verifier.is_ready() { Ok(()) } else { verifier.warm().await } }
        });
        self.set_auth(auth.clone());
        Ok(auth)
    }

    /// Checks tokens with `auth` as it is: for tests, which make their own keys and call this before `build`.
    pub fn use_auth(&self, auth: Auth) {
        self.set_auth(auth);
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// A snapshot that a closure gives.
    pub fn new<F>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<RevocationEntry>, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(fetch())))
    }

    fn fetched(client: JsonClient, url: Url) -> Self {
        Self::new(move || {
            let (client, url) = (client.clone(), url.clone());
            async move { Ok(client.get::<RevocationSnapshot>(&url).await?.revocations) }
        })
    }

    pub(crate) async fn entries(&self) -> Result<Vec<RevocationEntry>, BoxError> {
        (self.0)().await
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

fn fetch_keys(
    client: JsonClient,
    url: Url,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Result<Jwks, BoxError>> + Send + Sync {
    move || {
        let (client, url) = (client.clone(), url.clone());
        Box::pin(async move { Ok(client.get(&url).await?) })
    }
}
