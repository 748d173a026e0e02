//! The verifier's side: access tokens checked, in every process that sees one.

use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::clock::after;
use crate::config::VerifierConfig;
use crate::metrics::VerifierMetrics;
use crate::revocation::Revocations;
use crate::token::access;
use crate::token::{Claims, TokenError};

mod key_cache;
mod key_source;

pub use self::key_source::KeySource;

/// Checks access tokens. Clones share keys, remembered tokens and revocations.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    config: VerifierConfig,
    keys: key_cache::KeyCache,
    revocations: Revocations,
    /// Verified tokens by their SHA-256: the token itself is nowhere kept.
    verified: Cache<[u8; 32], Arc<Claims>>,
    metrics: VerifierMetrics,
}

// === impl Verifier ===

impl Verifier {
    /// A verifier with keys from `source`, which asks `revocations` at each check.
    #[must_use]
    pub fn new(config: VerifierConfig, source: KeySource, revocations: Revocations) -> Self {
        let metrics = VerifierMetrics::new();
        Self(Arc::new(Shared {
            keys: key_cache::KeyCache::new(source, &config, metrics.clone()),
            verified: Cache::new(config.cached_tokens),
            revocations,
            metrics,
            config,
        }))
    }

    /// Checks an access token: signature, algorithm, issuer, audience, time, revocations.
    ///
    /// A token seen before costs one hash and two look-ups.
    ///
    /// # Errors
    ///
    /// The [`TokenError`] that the caller answers with.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let outcome = self.decide(token).await;
        let metrics = &self.0.metrics;
        match &outcome {
            Ok(_) | Err(TokenError::Missing) => {}
            Err(TokenError::Invalid) => metrics.invalid.increment(1),
            Err(TokenError::Expired) => metrics.expired.increment(1),
            Err(TokenError::Revoked) => metrics.revoked.increment(1),
            Err(TokenError::Unavailable) => metrics.unavailable.increment(1),
        }
        outcome
    }

    /// Fetches the keys now, so that the first request need not wait. Called at start.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] when they cannot be had; the next check tries again.
    pub async fn warm(&self) -> Result<(), TokenError> {
        self.0.keys.fetch().await
    }

    /// Whether any key is known: a verifier without one is not ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.keys.is_known()
    }

    /// The revocations asked at each check.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    async fn decide(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let shared = &*self.0;
        let name: [u8; 32] = Sha256::digest(token).into();
        let known = shared.verified.get(&name);
        let seen = known.is_some();
        let claims = match known {
            Some(claims) => claims,
            None => Arc::new(self.open::<Claims>(token, &shared.config.audience).await?),
        };
        // Time and revocations are asked each time: a remembered token is only a signature spared.
        if let Err(error) = self.current(&claims) {
            shared.verified.remove(&name);
            return Err(error);
        }
        if seen {
            shared.metrics.cached.increment(1);
        } else {
            shared.metrics.verified.increment(1);
            shared.verified.insert(name, Arc::clone(&claims));
        }
        Ok(claims)
    }

    /// Checks everything but time and revocations.
    pub(crate) async fn open<T: DeserializeOwned>(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<T, TokenError> {
        let kid = access::key_id(token)?;
        let key = self.0.keys.key(&kid).await?;
        access::open(token, &key, &self.0.config.issuer, audience)
    }

    /// Checks time and revocations.
    pub(crate) fn current(&self, claims: &Claims) -> Result<(), TokenError> {
        let config = &self.0.config;
        let now = config.clock.now();
        if now >= after(claims.expires_at(), config.leeway) {
            return Err(TokenError::Expired);
        }
        if claims.issued_at() > after(now, config.leeway.max(MAX_AHEAD)) {
            return Err(TokenError::Invalid);
        }
        self.0.revocations.check(claims)
    }

    pub(crate) fn config(&self) -> &VerifierConfig {
        &self.0.config
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("ready", &self.is_ready())
            .field("revocations", &self.0.revocations)
            .finish_non_exhaustive()
    }
}

/// A token from further in the future than this was signed by a clock nobody should trust.
const MAX_AHEAD: std::time::Duration = std::time::Duration::from_secs(60);
