//! Where a verifier's keys come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::BoxError;
use crate::token::{Jwks, KeyRing};

type Fetch = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Jwks, BoxError>> + Send>> + Send + Sync;

/// Gives the issuer's public keys.
#[derive(Clone)]
pub struct KeySource(Arc<Fetch>);

// === impl KeySource ===

impl KeySource {
    /// Keys fetched by a closure, for example from a JWKS URL.
    pub fn fetch<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Jwks, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(fetch())))
    }

    /// Keys that never change.
    #[must_use]
    pub fn fixed(jwks: Jwks) -> Self {
        Self::fetch(move || std::future::ready(Ok(jwks.clone())))
    }

    /// The issuer's own keys: for a verifier in the issuer's process.
    #[must_use]
    pub fn ring(ring: KeyRing) -> Self {
        Self::fetch(move || {
            let ring = ring.clone();
            async move { Ok(ring.jwks().await) }
        })
    }

    pub(crate) async fn keys(&self) -> Result<Jwks, BoxError> {
        (self.0)().await
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource")
    }
}
