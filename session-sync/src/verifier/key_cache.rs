//! Public keys by id: fetched when they get old, or when an unknown id appears, but not in a storm.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;

use crate::clock::{Clock, after};
use crate::config::VerifierConfig;
use crate::error::{BoxError, ErrorKind};
use crate::metrics::VerifierMetrics;
use crate::token::{Jwks, TokenError};
use crate::verifier::KeySource;

pub(crate) struct KeyCache {
    source: KeySource,
    clock: Clock,
    max_age: Duration,
    min_interval: Duration,
    timeout: Duration,
    keys: ArcSwap<Keys>,
    /// Held by the one caller that fetches; holds when a fetch last ended. A caller that goes away in the middle of
    /// its fetch leaves no trace, so that the next one fetches.
    fetching: tokio::sync::Mutex<Option<Timestamp>>,
    /// Whether the last fetch failed: then an unknown key may be a new one.
    failed: AtomicBool,
    metrics: VerifierMetrics,
}

#[derive(Default)]
struct Keys {
    /// `None`: never fetched.
    fetched_at: Option<Timestamp>,
    by_id: HashMap<String, DecodingKey>,
}

// === impl KeyCache ===

impl KeyCache {
    pub(crate) fn new(source: KeySource, config: &VerifierConfig, metrics: VerifierMetrics) -> Self {
        Self {
            source,
            clock: config.clock.clone(),
            max_age: config.max_key_age,
            min_interval: config.min_fetch_interval,
            timeout: config.fetch_timeout,
            keys: ArcSwap::default(),
            fetching: tokio::sync::Mutex::new(None),
            failed: AtomicBool::new(false),
            metrics,
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.keys.load().by_id.is_empty()
    }

    /// The key with this id.
    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, TokenError> {
        let keys = self.keys.load_full();
        let fresh = keys.fetched_at.is_some_and(|at| self.clock.now() < after(at, self.max_age));
        if let Some(key) = keys.by_id.get(kid) {
            if !fresh
                && let Ok(mut last) = self.fetching.try_lock()
                && self.is_due(*last)
            {
                // A key that was withdrawn must go; while the issuer is away the old ones serve.
                let _ = self.fetch_under(&mut last).await;
                return self.known(kid).ok_or(TokenError::Invalid);
            }
            return Ok(key.clone());
        }
        let mut last = self.fetching.lock().await;
        // Whoever held the lock may have fetched it meanwhile.
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        if self.is_due(*last) {
            self.fetch_under(&mut last).await?;
        }
        match self.known(kid) {
            Some(key) => Ok(key),
            None if self.is_known() && !self.failed.load(Ordering::Acquire) => Err(TokenError::Invalid),
            None => Err(TokenError::Unavailable),
        }
    }

    pub(crate) async fn fetch(&self) -> Result<(), TokenError> {
        let mut last = self.fetching.lock().await;
        self.fetch_under(&mut last).await
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.keys.load().by_id.get(kid).cloned()
    }

    fn is_due(&self, last: Option<Timestamp>) -> bool {
        let now = self.clock.now();
        // A clock that was set back must not stop fetching: `last` in the future is due.
        last.is_none_or(|at| now >= after(at, self.min_interval) || now < at)
    }

    async fn fetch_under(&self, last: &mut Option<Timestamp>) -> Result<(), TokenError> {
        let now = self.clock.now();
        let fetched = match tokio::time::timeout(self.timeout, self.source.keys()).await {
            Ok(Ok(jwks)) => parse(&jwks),
            Ok(Err(error)) => Err(error),
            Err(late) => Err(BoxError::from(late)),
        };
        *last = Some(now);
        self.failed.store(fetched.is_err(), Ordering::Release);
        match fetched {
            Ok(by_id) => {
                self.metrics.fetched.increment(1);
                self.keys.store(std::sync::Arc::new(Keys { fetched_at: Some(now), by_id }));
                Ok(())
            }
            Err(error) => {
                self.metrics.fetch_failed.increment(1);
                tracing::warn!(error = &*error as &dyn std::error::Error, "keys not fetched");
                Err(TokenError::Unavailable)
            }
        }
    }
}

/// The Ed25519 keys of a set. Keys of other kinds are not for us.
fn parse(jwks: &Jwks) -> Result<HashMap<String, DecodingKey>, BoxError> {
    let mut keys = HashMap::new();
    for jwk in &jwks.keys {
        let ours = jwk.kty == "OKP" && jwk.crv == "Ed25519" && !jwk.kid.is_empty();
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        if !ours || !signs || keys.len() >= MAX_KEYS {
            continue;
        }
        // The library slices the bytes without looking: a short key would panic there.
        if decoded_len(&jwk.x) != Some(32) {
            continue;
        }
        if let Ok(key) = DecodingKey::from_ed_components(&jwk.x) {
            keys.insert(jwk.kid.clone(), key);
        }
    }
    if keys.is_empty() {
        return Err(Box::new(crate::Error::with(ErrorKind::Crypto, "the key set has no Ed25519 key")));
    }
    Ok(keys)
}

fn decoded_len(x: &str) -> Option<usize> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(x).ok().map(|bytes| bytes.len())
}

/// An issuer has two or three; the rest would be a mistake or an attack.
const MAX_KEYS: usize = 32;
