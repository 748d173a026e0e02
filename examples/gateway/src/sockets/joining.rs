//! Who may join which room.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use tower::ServiceExt;
use tramline_cache::{Cache, CacheConfig, Policy, Store};
use tramline_streaming_proxy::{Forwarder, ProxyBody};
use tramline_ws_rooms::{Access, Authoriser, Identity, RoomId};
use uuid::Uuid;

/// `payment:<id>`: the payment's parties and the admins, by the word of the payments service.
pub(super) struct Parties {
    /// By user, role and payment: whoever asks with another role is asked for anew.
    answers: Cache<(String, String, Uuid), bool>,
    forwarder: Forwarder,
}

/// Rooms of the admins.
pub(super) struct Admins;

/// How long a payment's parties are believed; they do not change, the contract's bound is 60 s.
const KEPT: Duration = Duration::from_secs(30);

/// How long the payments service may take to answer, by the contract.
const ASKED: Duration = Duration::from_secs(2);

/// More than any payment with its metadata and states.
const ANSWER_BYTES: usize = 64 * 1024;

impl Parties {
    /// # Errors
    ///
    /// A cache that has its answers already.
    pub(super) fn new(cache: &Store, forwarder: Forwarder) -> Result<Self, tramline_cache::Error> {
        let mut config = CacheConfig::new("payment-room");
        config.policy = Policy::new(KEPT);
        Ok(Self { answers: cache.cache(config)?, forwarder })
    }

    async fn may_see(&self, identity: &Identity, payment: Uuid) -> Access {
        // A ticket carries no token to ask with; a connection opened by one joins these rooms after `auth`.
        if identity.token.is_empty() {
            return Access::Forbidden;
        }
        let key = (identity.user_id.clone(), identity.role.clone(), payment);
        let (forwarder, token) = (self.forwarder.clone(), identity.token.clone());
        let asked = self.answers.get_or_load(&key, move || async move {
            // Only an answer is kept; a service that is away is asked again.
            tokio::time::timeout(ASKED, ask(forwarder, payment, &token))
                .await
                .ok()
                .flatten()
                .ok_or("the payments service does not say")
        });
        match asked.await {
            Ok(shown) if *shown => Access::Allowed,
            Ok(_) => Access::Forbidden,
            Err(_) => Access::Unavailable,
        }
    }
}

impl Authoriser for Parties {
    async fn may_join(&self, identity: &Identity, _: &RoomId, id: &str) -> Access {
        match id.parse() {
            Ok(payment) => self.may_see(identity, payment).await,
            Err(_) => Access::Forbidden,
        }
    }
}

impl Authoriser for Admins {
    async fn may_join(&self, identity: &Identity, _: &RoomId, _: &str) -> Access {
        if identity.role == contracts::Role::Admin.as_str() { Access::Allowed } else { Access::Forbidden }
    }
}

/// Whether the payments service shows the payment to the token's user; `None` when it does not say.
async fn ask(forwarder: Forwarder, payment: Uuid, token: &str) -> Option<bool> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("/api/payments/{payment}"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(ACCEPT, "application/json")
        .header(HOST, "gateway")
        .body(ProxyBody::empty())
        .ok()?;
    let response = match forwarder.oneshot(request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "the payments service cannot be asked about a room");
            return None;
        }
    };
    let status = response.status();
    // Read to its end, so that the connection is kept for the next question.
    axum::body::to_bytes(axum::body::Body::new(response.into_body()), ANSWER_BYTES).await.ok()?;
    match status {
        StatusCode::OK => Some(true),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Some(false),
        _ => None,
    }
}
