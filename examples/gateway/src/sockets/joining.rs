//! Who may join which room.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use tower::ServiceExt;
use tramline_cache::{Cache, Key, Policy};
use tramline_streaming_proxy::{Forwarder, ProxyBody};
use tramline_ws_rooms::{Access, Authoriser, Identity, RoomId};
use uuid::Uuid;

/// `payment:<id>`: the payment's parties and the admins, by the word of the payments service.
pub(super) struct Parties {
    cache: Cache,
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
    pub(super) fn new(cache: Cache, forwarder: Forwarder) -> Self {
        Self { cache, forwarder }
    }

    async fn may_see(&self, identity: &Identity, payment: Uuid) -> Access {
        // A ticket carries no token to ask with; a connection opened by one joins these rooms after `auth`.
        if identity.token.is_empty() {
            return Access::Forbidden;
        }
        let Ok(key) =
            Key::new("payment-room", &[identity.user_id.clone(), identity.role.clone(), payment.to_string()])
        else {
            return Access::Forbidden;
        };
        let (forwarder, token) = (self.forwarder.clone(), identity.token.clone());
        let policy = Policy::new(KEPT);
        let asked = self.cache.get_or_load(&key, &policy, move || async move {
            // Only an answer is kept; a service that is away is asked again.
            tokio::time::timeout(ASKED, ask(forwarder, payment, &token)).await.ok().flatten().ok_or(Away)
        });
        match asked.await {
            Ok(true) => Access::Allowed,
            Ok(false) => Access::Forbidden,
            Err(Away) => Access::Unavailable,
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

#[derive(Clone, Copy, Debug)]
struct Away;

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
